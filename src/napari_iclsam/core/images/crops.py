"""Crops around objects, of one scale in all images of a task, in relative coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PixelSlices = tuple[slice, slice]
"""Rows and columns of an image."""

_SAME_PLACE = 0.15
"""Crops whose centers differ by less than this part of their size show the same."""

_MARGIN = 1.15
"""A crop is at least so many times as large as what lies in it."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where something lies in an image of H x W pixels.

    Attributes
    ----------
    row, column : float
        Center of its bounding box, relative to H and W.
    size : float
        The larger of the box's height and width, relative to H and W.
    """

    row: float
    column: float
    size: float


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of an image of H x W pixels.

    Attributes
    ----------
    row, column : float
        Center, relative to H and W.
    size : float
        Height and width, relative to H and W.
    """

    row: float
    column: float
    size: float

    def slices(self, shape: tuple[int, int]) -> PixelSlices:
        """Return rows and columns in an image (H, W); a crop that leaves it is moved inside."""
        rows = _span(
            self.row,
            self.size,
            shape[0],
        )
        columns = _span(
            self.column,
            self.size,
            shape[1],
        )
        return rows, columns


def find_region(mask: NDArray[np.bool_]) -> Region | None:
    """Return where the foreground of a mask (H, W) lies; None without any."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    height, width = mask.shape
    top = int(rows[0])
    bottom = int(rows[-1]) + 1
    left = int(columns[0])
    right = int(columns[-1]) + 1
    return Region(
        row=(top + bottom) / 2 / height,
        column=(left + right) / 2 / width,
        size=max((bottom - top) / height, (right - left) / width),
    )


def crop_sizes(
    regions: Sequence[Sequence[Region | None]], factor: float, largest: float
) -> dict[int, float]:
    """Return the relative crop size of each label, numbered from 0, that is seen in crops.

    Parameters
    ----------
    regions : sequence of sequence of Region or None
        Of each label in each image.
    factor : float
        Size of the crops, relative to that of the objects.
    largest : float
        Labels whose crops are larger in the mean are left out: they cost a run and show nothing
        new.
    """
    sizes = {}
    for label, of_label in enumerate(regions):
        known = [region for region in of_label if region]
        if not known:
            continue
        size = factor * mean_size(known)
        taken = [crop_size(size, region) for region in known]
        if sum(taken) <= largest * len(known):
            sizes[label] = size
    return sizes


def mean_size(regions: Sequence[Region]) -> float:
    """Return the geometric mean of the sizes."""
    # by ratio: one large object must not decide for many small ones
    logarithms = [math.log(region.size) for region in regions]
    return math.exp(sum(logarithms) / len(logarithms))


def crop_size(size: float, region: Region | None) -> float:
    """Return a crop's relative size: ``size``, or more if its content needs more; at most 1."""
    needed = _MARGIN * region.size if region else 0.0
    # an object larger than the mean would be cut off otherwise
    return min(1.0, max(size, needed))


def plan_crops(
    size: float, found: Region | None, expected: Region, *, reliable: bool
) -> list[Crop]:
    """Return crops around what was found and around its expected place, or the latter if reliable.

    There is none where nothing was found.
    """
    if not found:
        return []
    around_found = _crop_inside(found, crop_size(size, found))
    around_expected = _crop_inside(expected, size)
    distance = max(
        abs(around_found.row - around_expected.row),
        abs(around_found.column - around_expected.column),
    )
    # a second look at the same place costs a run of the network and adds nothing
    if distance < _SAME_PLACE * around_found.size:
        return [around_found]
    return [around_expected] if reliable else [around_found, around_expected]


def _crop_inside(region: Region, size: float) -> Crop:
    """Return a crop around a region, moved into the image where it would leave it."""
    # the same move that `Crop.slices` makes, so that distances of crops are those that will be
    # seen
    row = min(max(region.row, size / 2), 1 - size / 2)
    column = min(max(region.column, size / 2), 1 - size / 2)
    return Crop(row, column, size)


def _span(center: float, size: float, pixels: int) -> slice:
    # at least one pixel: the crop of a tiny object in a small image must not be empty
    length = min(pixels, max(1, round(size * pixels)))
    start = round(center * pixels - length / 2)
    start = min(max(start, 0), pixels - length)
    return slice(start, start + length)
