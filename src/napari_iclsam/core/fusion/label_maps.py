"""From scores of labels to label images and to maps of each label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

UNDECIDED = 1e-6
"""A score of no more than this rounds to a probability of one half, and is no foreground."""


def label_map(scores: Tensor, ids: Sequence[int]) -> NDArray[np.int32]:
    """Return the label of the largest score (L, 1, H, W) of each pixel, (H, W).

    It is 0 where no score is positive.
    """
    best, index = scores[:, 0].max(dim=0)
    every = torch.tensor(
        ids,
        dtype=torch.int32,
        device=scores.device,
    )
    labels = every[index]
    # background has no score of its own: it is where no label is sure of itself
    return torch.where(best > 0, labels, torch.zeros_like(labels)).cpu().numpy()


def decided(scores: Tensor) -> Tensor:
    """Return scores, zero where they are no more than `UNDECIDED`."""
    # a probability shown as 0.5 beside a label would look like an error
    return F.hardshrink(scores, UNDECIDED)


def by_label(ids: tuple[int, ...], maps: Tensor) -> dict[int, NDArray[np.float32]]:
    """Return maps (L, 1, H, W) by label, (H, W) each."""
    arrays = maps[:, 0].cpu().numpy()
    return dict(zip(ids, arrays, strict=True))
