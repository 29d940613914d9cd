"""The reduced size at which planes are compared, so that memory and time stay bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.volume.labelled_planes import LabelledPlanes

_LONGEST = 384
"""Pixels of the longer side of a plane above which planes are reduced."""


def reduction_factor(shape: tuple[int, int]) -> int:
    """Return by which whole number planes (H, W) are reduced; 1 leaves them as they are."""
    return -(-max(shape) // _LONGEST)


def reduce_plane(plane: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Average blocks of ``factor`` x ``factor`` pixels; sides are rounded up."""
    values = plane.astype(np.float32)
    if factor == 1:
        return values
    height, width = plane.shape
    rows = -height % factor
    columns = -width % factor
    # repeated: zeros would darken the last blocks
    padded = np.pad(values, ((0, rows), (0, columns)), mode="edge")
    rows_of_blocks = padded.shape[0] // factor
    columns_of_blocks = padded.shape[1] // factor
    blocks = padded.reshape(rows_of_blocks, factor, columns_of_blocks, factor)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def enlarge_plane(
    plane: NDArray[np.float32], factor: int, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Interpolate a reduced plane linearly to the full size (H, W)."""
    if factor == 1:
        return plane
    # one direction after the other: that costs less than a place for each pixel
    low, high, part = _between_blocks(shape[0], factor, plane.shape[0])
    rows = plane[low] + part[:, None] * (plane[high] - plane[low])
    low, high, part = _between_blocks(shape[1], factor, plane.shape[1])
    return np.asarray(rows[:, low] + part * (rows[:, high] - rows[:, low]), dtype=np.float32)


def _between_blocks(
    length: int, factor: int, blocks: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the blocks before and after each pixel of a side, and the part of the way to go."""
    # centers of pixels onto centers of blocks, or the result would be shifted by half a block
    places = (np.arange(length) + 0.5) / factor - 0.5
    places = np.clip(places, 0, blocks - 1)
    low = places.astype(np.intp)
    high = np.minimum(low + 1, blocks - 1)
    return low, high, (places - low).astype(np.float32)


def reduce_labelled(labelled: LabelledPlanes, factor: int) -> LabelledPlanes:
    """Reduce masks; an object thinner than half a block keeps the blocks that it touches."""
    if factor == 1:
        return labelled
    masks = []
    for mask in labelled.masks:
        share = reduce_plane(mask, factor)
        reduced = share >= 0.5
        # more than half of a thin object would vanish
        if 2 * np.count_nonzero(reduced) * factor**2 < np.count_nonzero(mask):
            reduced = share > 0
        masks.append(reduced)
    return LabelledPlanes(labelled.planes, np.stack(masks))
