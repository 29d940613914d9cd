"""What is minimised besides `napari_iclsam.models.loss`, and what is reported."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def similarity_loss(similarity: Tensor, target: Tensor) -> Tensor:
    """Return the balanced cross-entropy of similarities (N, k, h, w).

    They are 1 on the target and -1 off it; both classes have the same weight.

    The target (N, 1, H, W) is averaged over cells.
    """
    share = F.adaptive_avg_pool2d(target, (similarity.shape[-2], similarity.shape[-1])).expand_as(
        similarity
    )
    object_, rest = (w / w.sum(dim=(2, 3), keepdim=True).clamp_min(1) for w in (share, 1 - share))
    logits = 2 * similarity
    return (
        -(object_ * F.logsigmoid(logits) + rest * F.logsigmoid(-logits)).sum(dim=(2, 3)).mean() / 2
    )


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Return the Dice of each image of a batch (1 where both are empty)."""
    found, truth = logits.flatten(1) > 0, target.flatten(1) > 0.5
    total = found.sum(dim=1) + truth.sum(dim=1)
    return torch.where(total > 0, 2 * (found & truth).sum(dim=1) / total.clamp_min(1), 1.0)
