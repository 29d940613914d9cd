"""The logits of all stages: their mean in each pixel, and the foreground that they show."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from napari_iclsam.core.fusion.threshold import best_bin, histogram, lower_edge
from napari_iclsam.core.images.crops import (
    Crop,
    Region,
    find_region,
)
from napari_iclsam.core.images.geometry import resize

_CANVAS = 1024
"""Logits are summed at the size of the image, or smaller, so that its longer side has at most so
many pixels."""

_LATTICE = 512
"""What was found is read at every n-th pixel, so that there are at most so many on the longer
side."""

_COMPONENT = 0.15
"""A component counts as found if it has this share of the largest one's sum of probabilities."""


class LogitSum:
    """Sum of the logits of full image and crops, and how many of them there are at each pixel.

    Attributes
    ----------
    total, count : Tensor, (L, 1, h, w)
    """

    def __init__(self, full_image: Tensor, shape: tuple[int, int]) -> None:
        scale = min(1.0, _CANVAS / max(shape))
        height = max(1, round(scale * shape[0]))
        width = max(1, round(scale * shape[1]))
        # a copy, since the sum grows in place and the logits are used again
        self.total = resize(full_image, (height, width)).clone()
        # the full image covers each pixel once, so that no division by zero is possible
        self.count = torch.ones_like(self.total)

    def add(self, label: int, crop: Crop, logits: Tensor) -> None:
        """Add the logits (1, s, s) of a crop."""
        height, width = self.total.shape[-2:]
        rows, columns = crop.slices((height, width))
        part = self.total[label, :, rows, columns]
        size = (part.shape[-2], part.shape[-1])
        part += resize(logits[None], size)[0]
        self.count[label, :, rows, columns] += 1

    def mean(self) -> Tensor:
        """Return the mean logits, (L, 1, h, w)."""
        return self.total / self.count

    def mean_of(self, label: int) -> Tensor:
        """Return the mean logits of a label, (h, w)."""
        return self.total[label, 0] / self.count[label, 0]


def find_foreground(logits: Tensor) -> Region | None:
    """Return where logits (h, w) show foreground, without small components; None if nowhere."""
    # components are found on the CPU, where large images take long, and a box needs no single
    # pixels
    step = math.ceil(max(logits.shape) / _LATTICE)
    sampled = logits[step // 2 :: step, step // 2 :: step]
    counts = histogram(sampled.flatten()[None])
    threshold = lower_edge(best_bin(counts))
    mask = (sampled >= threshold).cpu().numpy()
    components, _ = ndimage.label(mask)
    probabilities = torch.sigmoid(sampled).cpu().numpy() * mask
    # by probability and not by area: a large, doubtful component is no reason to move a crop
    sums = np.bincount(components.ravel(), probabilities.ravel())
    is_large = sums >= _COMPONENT * sums.max()
    large = is_large[components]
    return find_region(mask & large)
