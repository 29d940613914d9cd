"""Pixels of examples of which nobody knows what they are: neither an object nor background."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

UNKNOWN = -1
"""The number of such pixels in the labels of a support set."""

_RIM = 0.02
"""Width of a rim around objects, as a share of the longer side: up to there, the nearest known
pixel tells what an unknown one is, well enough for a model that knows no third state."""


def mark_unknown(labels: NDArray[Any], numbers: Collection[int]) -> NDArray[Any]:
    """Return labels (H, W) in which some numbers became `UNKNOWN`."""
    if not numbers:
        return labels
    is_unknown = np.isin(labels, list(numbers))
    # unsigned integers hold no number below 0
    signed = labels.astype(np.int64)
    return np.where(is_unknown, UNKNOWN, signed)


def is_painted(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where labels of any shape are objects: neither background nor `UNKNOWN`."""
    return np.asarray((labels != 0) & (labels != UNKNOWN))


def has_unknown(labels: NDArray[Any]) -> bool:
    """Return whether labels have pixels that are `UNKNOWN`."""
    return bool((labels == UNKNOWN).any())


def known_pixels(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of which it is known what they are."""
    return np.asarray(labels != UNKNOWN)


def decided(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return labels without unknown pixels.

    Each has the label of the nearest known pixel if that is not further away than a rim is wide,
    else 0.
    """
    known = known_pixels(labels)
    if known.all() or not known.any():
        return np.where(known, labels, 0)
    distances, nearest = ndimage.distance_transform_edt(~known, return_indices=True)
    filled = labels[tuple(nearest)]
    return np.asarray(np.where(distances <= _rim_of(labels), filled, 0), np.int32)


def without_unknown(rgb: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) in which wide areas of unknown pixels show nothing.

    They have the mean color of the background, so that nothing contradicts their being labelled as
    such. Rims stay as they are.
    """
    known = known_pixels(labels)
    if not known.any():
        return rgb
    hidden = ndimage.distance_transform_edt(~known) > _rim_of(labels)
    background = labels == 0
    # where nothing is background, any color is as good as another
    seen = background if background.any() else known
    shown = rgb.copy()
    shown[hidden] = np.rint(rgb[seen].mean(axis=0))
    return shown


def _rim_of(labels: NDArray[Any]) -> float:
    """Return how wide a rim is, in pixels: at least two."""
    return max(2.0, _RIM * float(max(labels.shape)))
