"""Measurements of objects of a plane that is larger than memory: sums, band by band."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.banded_objects import row_bands
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.objects.measure import ObjectTable, Scale
from napari_iclsam.core.objects.shapes import axis_lengths, border_lengths, is_square
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.steps import drain

_PIXELS = 4_000_000
"""A band has about so many: sums take about 60 bytes for each."""

_HALO = 2
"""Rows beside a band that tell which way borders of its objects run."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredObjects:
    """Objects of a plane, and what is measured of them besides shapes.

    Attributes
    ----------
    ids : numpy, dask or zarr array, (H, W), integer
        0 is background, 1 to n are objects, and each occurs.
    labels : ndarray, (n + 1,), integer
        By id: the label of an object.
    image : numpy, dask or zarr array, (H, W) or (H, W, C), optional
    certainty : numpy, dask or zarr array, (H, W), optional
        How likely each pixel belongs to its object.
    """

    ids: ArrayLike
    labels: NDArray[np.integer[Any]]
    image: ArrayLike | None = None
    certainty: ArrayLike | None = None

    def __len__(self) -> int:
        return len(self.labels) - 1


def measure_stored(objects: StoredObjects, scale: Scale | None = None) -> ObjectTable:
    """Measure the objects of a plane that is larger than memory, as `measure` does one in memory.

    Parameters
    ----------
    objects : StoredObjects
    scale : Scale, optional
        Pixels by default.
    """
    return drain(measure_steps(objects, scale or Scale.pixels(2)))


def measure_steps(
    objects: StoredObjects, scale: Scale, pixels: int = _PIXELS
) -> Generator[Progress, None, ObjectTable]:
    """Measure the objects of a plane step by step, as `measure` does one in memory.

    It is read twice: offsets are taken from centers, as the squares of large coordinates would
    drown their differences.
    """
    shape = (objects.ids.shape[0], objects.ids.shape[1])
    bands = row_bands(shape, pixels)
    sums = _Sums(len(objects), scale)
    passes = (sums.add, sums.add_offsets)
    for number, add in enumerate(passes):
        for place, rows in enumerate(bands):
            done = number * len(bands) + place
            yield Progress("objects", "Measuring objects", done, len(passes) * len(bands))
            add(objects, rows)
    columns: dict[str, NDArray[Any]] = {
        "id": np.arange(1, len(objects) + 1),
        "label": objects.labels[1:].astype(np.int64),
    }
    return ObjectTable(columns | sums.columns(), scale.unit)


class _Sums:
    """Sums over the pixels of each object."""

    def __init__(self, count: int, scale: Scale) -> None:
        self._count = count
        self._spacing = scale.spacing
        self._sizes = np.zeros(count)
        self._places = np.zeros((2, count))
        self._moments = np.zeros((count, 2, 2))
        self._borders = np.zeros(count)
        self._means: dict[str, NDArray[np.float64]] = {}

    def add(self, objects: StoredObjects, rows: slice) -> None:
        """Take in where pixels of a band lie, and their values."""
        numbers = np.asarray(objects.ids[rows])
        inside = np.nonzero(numbers)
        owners = numbers[inside] - 1
        self._sizes += np.bincount(owners, minlength=self._count)
        for axis, at in enumerate(self._at(inside, rows.start)):
            self._places[axis] += np.bincount(owners, at, self._count)
        for name, values in _values(objects, rows):
            sums = self._means.setdefault(name, np.zeros(self._count))
            sums += np.bincount(owners, values[inside].astype(float), self._count)

    def add_offsets(self, objects: StoredObjects, rows: slice) -> None:
        """Take in how far pixels of a band lie from the centers, once these are known."""
        numbers = np.asarray(objects.ids[rows])
        inside = np.nonzero(numbers)
        owners = numbers[inside] - 1
        centers = self._places / self._sizes
        offsets = []
        for at, center in zip(self._at(inside, rows.start), centers, strict=True):
            offsets.append(at - center[owners])
        for first, second in ((0, 0), (0, 1), (1, 0), (1, 1)):
            products = offsets[first] * offsets[second]
            self._moments[:, first, second] += np.bincount(owners, products, self._count)
        if is_square(self._spacing):
            self._add_borders(objects.ids, rows)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return what `measure` would, in its order."""
        centers = self._places / self._sizes
        columns: dict[str, NDArray[Any]] = {
            "area": self._sizes * math.prod(self._spacing),
            "centroid_y": centers[0],
            "centroid_x": centers[1],
        }
        columns |= axis_lengths(self._moments / self._sizes[:, None, None])
        if is_square(self._spacing):
            columns["perimeter"] = self._borders * self._spacing[0]
        for name, sums in self._means.items():
            columns[name] = sums / self._sizes
        return columns

    def _at(
        self, inside: tuple[NDArray[np.intp], ...], top: int
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        down, across = self._spacing
        return (inside[0] + top) * down, inside[1] * across

    def _add_borders(self, ids: ArrayLike, rows: slice) -> None:
        top = max(0, rows.start - _HALO)
        numbers = np.asarray(ids[top : rows.stop + _HALO])
        own = slice(rows.start - top, rows.stop - top)
        self._borders += border_lengths(numbers, self._count, own)


def _values(objects: StoredObjects, rows: slice) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield what is averaged over the pixels of objects, by its name in the table."""
    if objects.image is not None:
        image = np.asarray(objects.image[rows])
        if image.ndim == 2:
            yield "mean_intensity", image
        else:
            for channel in range(image.shape[-1]):
                yield f"mean_intensity_{channel}", image[..., channel]
    if objects.certainty is not None:
        yield "mean_probability", np.asarray(objects.certainty[rows])
