"""Pictures of filled volumes: the first, a middle and the last plane of each label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import find_boundaries

Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]

_GREEN = (60, 220, 60)
_RED = (255, 60, 60)

_MARGIN = 12
"""Pixels around the object."""

_SIDE = 240
"""Least height of a panel, in pixels."""


def draw_label(image: NDArray[Any], truth: Mask, found: Mask, given: list[int], path: Path) -> None:
    """Write a picture of three planes, one below the other: truth (green) beside result (red).

    Parameters
    ----------
    image, truth, found : ndarray, (Z, H, W)
    given : list of int
        Planes that were labelled, which are not drawn.
    path : Path
    """
    held = np.setdiff1d(np.flatnonzero((truth | found).any(axis=(1, 2))), given)
    region = _around(np.any(truth | found, axis=0))
    low, high = np.percentile(image, (0.5, 99.5))
    rows = []
    for plane in (held[0], held[len(held) // 2], held[-1]):
        values = np.clip((image[plane][region] - low) / max(high - low, 1e-9), 0, 1)
        grey = np.repeat((255 * values).astype(np.uint8)[..., None], 3, axis=2)
        panels = (
            _outlined(grey, truth[plane][region], _GREEN),
            _outlined(grey, found[plane][region], _RED),
        )
        rows.append(np.concatenate(panels, axis=1))
    Image.fromarray(np.concatenate(rows)).save(path)


def _around(mask: Mask) -> tuple[slice, slice]:
    slices = []
    for axis in (1, 0):
        held = np.flatnonzero(mask.any(axis=axis))
        slices.append(slice(max(0, int(held[0]) - _MARGIN), int(held[-1]) + _MARGIN))
    return slices[0], slices[1]


def _outlined(grey: Picture, mask: Mask, color: tuple[int, int, int]) -> Picture:
    """Return an enlarged picture with the outline of a mask, and a line at its right and below."""
    times = max(1, round(_SIDE / len(grey)))
    larger = grey.repeat(times, axis=0).repeat(times, axis=1)
    edges = find_boundaries(mask.repeat(times, axis=0).repeat(times, axis=1), mode="inner")
    larger[edges] = color
    larger[-1], larger[:, -1] = 255, 255
    return larger
