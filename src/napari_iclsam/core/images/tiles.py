"""Overlapping tiles of large images with many small objects, at the scale of the examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam.core.images.crops import PixelSlices
from napari_iclsam.core.settings import Tile
from napari_iclsam.core.steps import evenly_spaced

_OBJECTS_A_TILE = 15
"""A tile is about so many times as high as the objects, so that they keep their detail."""

_FEWEST_OBJECTS = 4
"""A tile is at least so many times as high as the objects, whatever it is made smaller for."""

_EXAMPLES = 4
"""Examples from which on the in-context model is fine-tuned and weights are cross-validated well:
one large example is cut into as many."""

_LEAST_HALF = 192
"""Smallest side, in pixels, of tiles that are made smaller for that."""

_SIDES = (128, 512)
"""Smallest and largest side of a tile: the input sizes of the in-context models."""

_MANY = 5
"""Objects an example, on average, from which on their size in pixels tells the scale."""

_LARGER = 2.0
"""Images are cut from so many times the side of a tile on."""

_OVERLAP = 0.25
"""Share of a tile that the next one shows again, at least."""

_SIGMA = 0.25
"""Standard deviation of a tile's weights, relative to its side."""

_MOST_EXAMPLES = 8
"""So many tiles of one example are examples: more make fitting slow and add little."""


@dataclass(frozen=True, slots=True)
class TileRule:
    """How large tiles are.

    Attributes
    ----------
    tile : Tile
        What the user wants.
    are_regions : bool
        Whether the examples are regions of images: their pixels are those of the images then.
    """

    tile: Tile = "auto"
    are_regions: bool = False

    def side(self, labels: Sequence[NDArray[np.integer[Any]]]) -> int | None:
        """Return how large tiles of examples (H, W) should be; None to see them whole."""
        if self.tile == "off":
            return None
        if self.tile != "auto":
            return int(self.tile)
        side = tile_side(labels, 0 if self.are_regions else _MANY)
        if side is None or len(labels) >= _EXAMPLES:
            return side
        return min(side, _half(labels))

    def shape(
        self, labels: Sequence[NDArray[np.integer[Any]]], shape: tuple[int, int]
    ) -> tuple[int, int] | None:
        """Return height and width of the tiles in which to see an image (H, W); None for whole.

        They are those of the examples' labels, so that objects have the size that these show.
        """
        side = self.side(labels)
        if side is None:
            return None
        least = _LARGER
        tile = _median_shape(labels)
        if self.tile != "auto":
            least = 1.0
            tile = (side, side)
        larger = max(shape[0] / tile[0], shape[1] / tile[1])
        if larger <= 1 or larger < least:
            return None
        return min(tile[0], shape[0]), min(tile[1], shape[1])


def tile_side(labels: Sequence[NDArray[np.integer[Any]]], many: float = _MANY) -> int | None:
    """Return the side of tiles that suits the objects of examples (H, W).

    None if they show fewer objects than ``many`` each, on average, or none at all.
    """
    diameter = _diameter(labels, many)
    if diameter is None:
        return None
    smallest, largest = _SIDES
    return round(min(max(_OBJECTS_A_TILE * diameter, smallest), largest))


def _half(labels: Sequence[NDArray[np.integer[Any]]]) -> int:
    """Return half the side of the largest example, or more if objects or models need more."""
    diameter = _diameter(labels, 0) or 0.0
    sides: list[int] = [max(painted.shape) for painted in labels]
    return max(max(sides) // 2, _LEAST_HALF, round(_FEWEST_OBJECTS * diameter))


def _diameter(labels: Sequence[NDArray[np.integer[Any]]], many: float) -> float | None:
    """Return the usual diameter of objects, in pixels; None if they are too few."""
    areas: list[NDArray[np.float64]] = []
    for painted in labels:
        for label in np.unique(painted[painted > 0]):
            components, _ = ndimage.label(painted == label)
            areas.append(np.bincount(components.ravel())[1:].astype(float))
    every = np.sort(np.concatenate(areas)) if areas else np.zeros(0)
    if not len(every) or len(every) < many * len(labels):
        return None
    # the median of the pixels: specks and fragments of thin objects must not decide
    middle = np.searchsorted(np.cumsum(every), every.sum() / 2)
    return math.sqrt(4 * every[middle] / math.pi)


def _median_shape(labels: Sequence[NDArray[np.integer[Any]]]) -> tuple[int, int]:
    heights = [painted.shape[0] for painted in labels]
    widths = [painted.shape[1] for painted in labels]
    return round(float(np.median(heights))), round(float(np.median(widths)))


def example_tiles(image: NDArray[Any], labels: NDArray[np.int32], side: int) -> list[PixelSlices]:
    """Return the tiles of an example (H, W) that are examples, without overlap.

    One that is not large is a tile as a whole. Of many tiles, those with objects are taken, evenly
    spaced.
    """
    shape = labels.shape
    if max(shape) < _LARGER * side:
        return [(slice(0, shape[0]), slice(0, shape[1]))]
    tiles = []
    for rows in _spans(shape[0], side):
        for columns in _spans(shape[1], side):
            tiles.append((rows, columns))
    # an example with objects must have contrast
    shown = [tile for tile in tiles if (labels[tile] > 0).any() and np.ptp(image[tile]) > 0]
    # an example without any object shows what is none
    if not shown:
        return tiles[:1]
    return [shown[index] for index in evenly_spaced(len(shown), _MOST_EXAMPLES)]


def plan_tiles(shape: tuple[int, int], tile: tuple[int, int]) -> list[PixelSlices]:
    """Return overlapping tiles of one size that cover an image (H, W), row by row."""
    tiles = []
    for top in _starts(shape[0], tile[0]):
        for left in _starts(shape[1], tile[1]):
            rows = slice(top, top + tile[0])
            tiles.append((rows, slice(left, left + tile[1])))
    return tiles


def tile_weights(tile: tuple[int, int]) -> NDArray[np.float32]:
    """Return how much each pixel of a tile (h, w) counts: a Gaussian, 1 in the center."""
    rows = _gaussian(tile[0])
    columns = _gaussian(tile[1])
    return np.asarray(rows[:, None] * columns, np.float32)


def _gaussian(length: int) -> NDArray[np.float64]:
    # of the pixels' centers, so that both halves are equal
    offsets = (np.arange(length) + 0.5) / length - 0.5
    return np.exp(-0.5 * np.square(offsets / _SIGMA))


def _starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin along an axis: the first and the last at its ends."""
    stride = max(1, math.floor((1 - _OVERLAP) * tile))
    count = 1 + math.ceil((length - tile) / stride)
    starts: list[int] = np.linspace(0, length - tile, count).round().astype(int).tolist()
    return starts


def _spans(length: int, side: int) -> list[slice]:
    """Divide an axis into equal parts of about a length."""
    edges = np.linspace(0, length, max(1, round(length / side)) + 1).round().astype(int)
    return [slice(int(start), int(end)) for start, end in pairwise(edges)]
