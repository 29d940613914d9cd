"""Labels in several resolutions: each coarser pixel is what most of its pixels are."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.integer[Any]]


def nearest_indices(
    count: int, grid: tuple[float, float], source: tuple[float, float], source_count: int
) -> NDArray[np.intp]:
    """Return for each pixel of an axis the nearest pixel of another grid in the same place.

    Parameters
    ----------
    count, source_count : int
        Pixels of both grids.
    grid, source : tuple of float
        Distance of pixels and place of the first one, of each.
    """
    places = grid[1] + grid[0] * np.arange(count)
    numbers = (places - source[1]) / source[0]
    # Halves go down: rint would go up and down in turn. The rest is rounding of the metadata.
    nearest = np.ceil(np.round(numbers, 6) - 0.5).astype(np.intp)
    return np.clip(nearest, 0, source_count - 1)


def coarser_plane(planes: Integers, shape: tuple[int, int]) -> Integers:
    """Return one plane of a coarser level.

    The commonest label of the pixels that a coarser one covers wins; of several that are equally
    common, the highest. A label that would be lost keeps one pixel.

    Parameters
    ----------
    planes : ndarray, (D, H, W), integers
        Those planes of the finer level that the coarser one covers.
    shape : tuple of int
        Height and width of the coarser plane.
    """
    values = _covered(planes, shape)
    # In order, equal labels lie side by side, and background comes first.
    values.sort(axis=0)
    best: Integers = values[0].copy()
    longest = np.ones(shape, np.int32)
    run = np.ones(shape, np.int32)
    for before, value in pairwise(values):
        run = np.where(value == before, run + 1, 1)
        wins = run >= longest
        best[wins] = value[wins]
        longest[wins] = run[wins]
    _keep_all(best, values)
    return best


def factor(finer: int, coarser: int) -> int:
    """Return how many pixels of a finer axis one of a coarser axis covers."""
    return max(1, round(finer / coarser))


def _covered(planes: Integers, shape: tuple[int, int]) -> Integers:
    """Return the labels under each coarser pixel, (N, h, w)."""
    down = factor(planes.shape[1], shape[0])
    across = factor(planes.shape[2], shape[1])
    whole = planes[:, : shape[0] * down, : shape[1] * across]
    # Beyond the border, pixels are as those at the border.
    lacking = (shape[0] * down - whole.shape[1], shape[1] * across - whole.shape[2])
    whole = np.pad(whole, ((0, 0), (0, lacking[0]), (0, lacking[1])), mode="edge")
    blocks = whole.reshape(len(planes), shape[0], down, shape[1], across)
    values = np.moveaxis(blocks, (1, 3), (-2, -1))
    return np.asarray(values.reshape(-1, *shape))


def _keep_all(best: Integers, values: Integers) -> None:
    """Give each label that won nowhere one pixel, the first of those that hold most of it."""
    number, row, column = np.nonzero(values != best)
    losing = values[number, row, column]
    candidates = np.unique(losing[losing > 0])
    lost = candidates[np.isin(candidates, best, invert=True)]
    is_lost = np.isin(losing, lost)
    pixels = row[is_lost] * best.shape[1] + column[is_lost]
    pairs = np.stack([losing[is_lost].astype(np.int64), pixels])
    (labels, places), shares = np.unique(pairs, axis=1, return_counts=True)
    # by label, then by share from most, then by place
    order = np.lexsort((places, -shares, labels))
    _, firsts = np.unique(labels[order], return_index=True)
    chosen = order[firsts]
    best.reshape(-1)[places[chosen]] = labels[chosen]
