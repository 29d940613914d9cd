"""Specks and holes of a mask, which are far smaller than its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SPECK = 0.3
"""Of the area that nine of ten objects exceed, below which a part is a speck."""

_HOLE = 0.25
"""Of the median area of the objects, up to which a hole is filled."""

_WITH_HOLES = 0.05
"""Of the objects: if more of them have holes, holes belong to what they are."""


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What is too small to be an object or a hole of one.

    Attributes
    ----------
    speck : float
        Connected parts of fewer pixels are dropped.
    hole : float
        Holes of at most so many pixels are filled.
    """

    speck: float = 0.0
    hole: float = 0.0

    def of(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask (H, W) or (Z, H, W) with its holes filled and without its specks."""
        filled = mask | _holes(mask, self.hole) if self.hole else mask
        return _without_specks(filled, self.speck) if self.speck else filled


NO_CLEANING = Cleaning()
"""All parts are objects, and all holes are holes."""


def learn_cleaning(objects: Sequence[NDArray[np.bool_]]) -> Cleaning:
    """Choose by the objects of examples, each a mask (h, w) of its box; one object at least."""
    areas = np.array([np.count_nonzero(each) for each in objects], dtype=np.float64)
    with_hole = [bool(_holes(each, np.inf).any()) for each in objects]
    hole = 0.0 if np.mean(with_hole) > _WITH_HOLES else _HOLE * float(np.median(areas))
    return Cleaning(speck=_SPECK * float(np.quantile(areas, 0.1)), hole=hole)


def _holes(mask: NDArray[np.bool_], largest: float) -> NDArray[np.bool_]:
    """Return holes of at most so many pixels: parts of the background off the border."""
    # with a frame, all background that reaches the border is one part, the first
    framed = np.pad(~mask, 1, constant_values=True)
    parts, areas = _parts(framed, connectivity=1)
    is_hole = areas <= largest
    is_hole[:2] = False
    inside = (slice(1, -1),) * mask.ndim
    return np.asarray(is_hole[parts[inside]])


def _without_specks(mask: NDArray[np.bool_], smallest: float) -> NDArray[np.bool_]:
    parts, areas = _parts(mask, connectivity=mask.ndim)
    is_kept = areas >= smallest
    is_kept[0] = False
    return np.asarray(is_kept[parts])


def _parts(
    mask: NDArray[np.bool_], connectivity: int
) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Return connected parts, numbered from 1, and the pixels of each number, 0 included."""
    structure = ndimage.generate_binary_structure(mask.ndim, connectivity)
    parts, _ = ndimage.label(mask, structure)
    return parts, np.bincount(parts.ravel())
