"""Thin objects: vessels, membranes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_THIN = 1.5
"""Mean distance to the edge in pixels, on an image of 256 x 256, below which an object is thin."""


def is_thin(mask: NDArray[np.bool_]) -> bool:
    """Return whether a mask (H, W), which is not empty, shows something thin."""
    distances: NDArray[np.float64] = ndimage.distance_transform_edt(mask)
    # pixels at the edge have a distance of 1 to the next one, of 0.5 to the edge
    mean_distance = float(distances[mask].mean() - 0.5)
    return mean_distance * 256 / math.sqrt(mask.size) < _THIN


def only_one_and_thin(masks: Sequence[NDArray[np.bool_]]) -> bool:
    """Return whether one of the examples' masks (H, W) alone is not empty, and shows a thin object.

    Then nothing can be cross-validated; but one image shows many parts of it.
    """
    known = [mask for mask in masks if mask.any()]
    return len(known) == 1 and is_thin(known[0])
