"""Shapes of many objects at once, by sums over pixels, as scikit-image's `regionprops` has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

_AXES = "zyx"

_DIAGONAL = math.sqrt(2)

_STEPS = np.zeros(50)
"""By kind of border pixel: how long the border is there (Benkrid, Crookes, 2000).

The kind is 1, plus 2 for each border pixel beside it and 10 for each one at a corner.
"""

_STEPS[[5, 7, 15, 17, 25, 27]] = 1.0
_STEPS[[21, 33]] = _DIAGONAL
_STEPS[[13, 23]] = (1 + _DIAGONAL) / 2

_BESIDE = ((-1, 0), (1, 0), (0, -1), (0, 1))
_AT_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def measure_shapes(
    numbers: NDArray[np.integer[Any]], count: int, spacing: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    """Measure the shapes of objects.

    Parameters
    ----------
    numbers : ndarray, (Y, X) or (Z, Y, X), integer
        0 is background, 1 to ``count`` are objects; each occurs.
    count : int
    spacing : sequence of float
        Of the pixels along each axis.

    Returns
    -------
    dict of str to ndarray, (count,)
        ``area`` or ``volume``, ``centroid_y``, ..., lengths of the axes of the ellipse or ellipsoid
        with the same second moments; of planes ``eccentricity``, and ``perimeter`` where pixels are
        square; of volumes ``surface``.
    """
    dimensions = numbers.ndim
    places = np.nonzero(numbers)
    owners = numbers[places] - 1
    pixels = np.bincount(owners, minlength=count).astype(float)
    size = "area" if dimensions == 2 else "volume"
    columns = {size: pixels * math.prod(spacing)}
    offsets = []
    for axis, index in enumerate(places):
        at = index * spacing[axis]
        center = np.bincount(owners, at, count) / pixels
        columns[f"centroid_{_AXES[-dimensions:][axis]}"] = center
        # about the center: the squares of large coordinates would drown their differences
        offsets.append(at - center[owners])
    moments = _second_moments(offsets, owners, pixels)
    columns |= axis_lengths(moments)
    if dimensions == 3:
        columns["surface"] = _surfaces(numbers, count, spacing)
    elif is_square(spacing):
        columns["perimeter"] = border_lengths(numbers, count) * spacing[0]
    return columns


def is_square(spacing: Sequence[float]) -> bool:
    """Tell whether pixels are as far apart along each axis."""
    return len({round(step, 9) for step in spacing}) == 1


def _second_moments(
    offsets: Sequence[NDArray[np.float64]],
    owners: NDArray[np.integer[Any]],
    pixels: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the covariance of the pixels of each object, (n, axes, axes)."""
    axes = len(offsets)
    moments = np.zeros((len(pixels), axes, axes))
    for first in range(axes):
        for second in range(first, axes):
            products = offsets[first] * offsets[second]
            moment = np.bincount(owners, products, len(pixels)) / pixels
            moments[:, first, second] = moment
            moments[:, second, first] = moment
    return moments


def axis_lengths(moments: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return lengths of axes, of covariances of pixels, (n, 2, 2) or (n, 3, 3)."""
    ascending = np.asarray(np.linalg.eigvalsh(moments), float)
    values = ascending.clip(min=0)
    smallest = values[:, 0]
    largest = values[:, -1]
    if values.shape[1] == 3:
        # of an ellipsoid, the variance along an axis is a twentieth of its length squared
        return {
            "axis_major_length": np.sqrt(20 * largest),
            "axis_minor_length": np.sqrt(20 * smallest),
        }
    # a single pixel is round
    shares = np.divide(smallest, largest, out=np.ones_like(largest), where=largest > 0)
    return {
        "axis_major_length": 4 * np.sqrt(largest),
        "axis_minor_length": 4 * np.sqrt(smallest),
        "eccentricity": np.sqrt(1 - shares),
    }


def border_lengths(
    numbers: NDArray[np.integer[Any]], count: int, own: slice = slice(None)
) -> NDArray[np.float64]:
    """Return the lengths of the borders of objects (Y, X), in pixels.

    Of some rows alone, those of a whole image if two rows on each side are given, too.
    """
    padded = np.pad(numbers, 1)
    is_border = np.zeros(numbers.shape, bool)
    for step in _BESIDE:
        is_border |= _moved(padded, step) != numbers
    borders = np.pad(np.where(is_border, numbers, 0), 1)
    rows, columns = np.nonzero(borders)
    first, end, _ = own.indices(len(numbers))
    # one further down: they are padded
    is_own = (rows > first) & (rows <= end)
    rows = rows[is_own]
    columns = columns[is_own]
    owners = borders[rows, columns]
    kinds = np.ones(len(rows), np.intp)
    for weight, steps in ((2, _BESIDE), (10, _AT_CORNERS)):
        for down, right in steps:
            kinds += weight * (borders[rows + down, columns + right] == owners)
    return np.asarray(np.bincount(owners - 1, _STEPS[kinds], count), float)


def _moved(padded: NDArray[Any], step: tuple[int, int]) -> NDArray[Any]:
    """Return an array without its rim of one pixel, moved by a step."""
    down, right = step
    height, width = padded.shape
    return padded[1 + down : height - 1 + down, 1 + right : width - 1 + right]


def _surfaces(
    numbers: NDArray[np.integer[Any]], count: int, spacing: Sequence[float]
) -> NDArray[np.float64]:
    """Return the areas of the surfaces of objects (Z, Y, X)."""
    areas = np.zeros(count)
    for index, box in enumerate(ndimage.find_objects(numbers, count)):
        # padded, so that a surface closes at the border of its box and of the image
        padded = np.pad(numbers[box] == index + 1, 1).astype(np.float32)
        vertices, faces, _, _ = marching_cubes(padded, 0.5, spacing=tuple(spacing))
        areas[index] = mesh_surface_area(vertices, faces)
    return areas
