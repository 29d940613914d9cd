"""Windows around objects, of one scale in all images of a task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Window = tuple[slice, slice]
"""Rows and columns of an image."""

View = tuple[float, float, float]
"""Row and column of a window's centre, and its side, as shares of the image's; see `window_at`."""

_SAME = 0.15
"""Windows whose centres differ by less than this share of their side show the same."""

_MARGIN = 1.15
"""A window is at least so many times as large as what lies in it."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where something lies in an image of H x W pixels.

    Attributes
    ----------
    row, column : float
        Centre of its bounding box, as shares of H and W.
    extent : float
        The larger of the box's height and width, as shares of H and W.
    """

    row: float
    column: float
    extent: float


def region_of(mask: NDArray[np.bool_]) -> Region | None:
    """Return where the foreground of a mask (H, W) lies; None without any."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    (top, bottom), (left, right) = ((int(lines[0]), int(lines[-1]) + 1) for lines in (rows, columns))
    height, width = mask.shape
    extent = max((bottom - top) / height, (right - left) / width)
    return Region((top + bottom) / 2 / height, (left + right) / 2 / width, extent)


def mean_extent(regions: Sequence[Region]) -> float:
    """Return the geometric mean of the extents."""
    return math.exp(sum(math.log(region.extent) for region in regions) / len(regions))


def share_of(extent: float, region: Region | None) -> float:
    """Return the side of a window as a share of the image's: ``extent``, or more if what lies in it needs more."""
    return min(1.0, max(extent, _MARGIN * region.extent if region else 0.0))


def views_of(extent: float, found: Region | None, expected: Region, *, reliable: bool) -> list[View]:
    """Return where to look closer: where something was found, and where it is expected, or there alone if reliably.

    Where nothing was found, there is nothing to look for.
    """
    if not found:
        return []
    share = share_of(extent, found)
    there, elsewhere = _view(found, share), _view(expected, extent)
    if max(abs(there[0] - elsewhere[0]), abs(there[1] - elsewhere[1])) < _SAME * share:
        return [there]
    return [elsewhere] if reliable else [there, elsewhere]


def _view(region: Region, share: float) -> View:
    """Return a window about a region, moved into the image where it would leave it."""
    row, column = (min(max(centre, share / 2), 1 - share / 2) for centre in (region.row, region.column))
    return row, column, share


def window_at(row: float, column: float, share: float, shape: tuple[int, int]) -> Window:
    """Return the window of an image (H, W) about a centre, moved into the image where it would leave it.

    Parameters
    ----------
    row, column : float
        Centre, as shares of H and W.
    share : float
        Height and width of the window, as shares of H and W.
    shape : tuple of int
        H and W.
    """
    return _span(row, share, shape[0]), _span(column, share, shape[1])


def _span(centre: float, share: float, size: int) -> slice:
    length = min(size, max(1, round(share * size)))
    start = min(max(round(centre * size - length / 2), 0), size - length)
    return slice(start, start + length)
