"""Measurements of objects: one row each, in physical units where the image has them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.objects.shapes import measure_shapes

_ROWS = 10_000
"""Of a table that are written at once."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Distance of neighboring pixels along each axis, and its unit."""

    spacing: tuple[float, ...]
    unit: str = "pixel"

    @classmethod
    def pixels(cls, axes: int) -> Scale:
        """Return the scale of an image that says nothing of its own."""
        return cls((1.0,) * axes)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTable:
    """Measurements, one row an object in the order of the ids.

    Attributes
    ----------
    columns : mapping of str to ndarray, (n,)
        ``id`` and ``label`` first; NaN where an object does not have a measurement.
    unit : str
        Of lengths; areas are in its square, volumes in its cube.
    """

    columns: Mapping[str, NDArray[Any]]
    unit: str = "pixel"

    def __len__(self) -> int:
        return len(self.columns["id"])

    def write_csv(self, path: str | Path) -> None:
        """Write a header and one line an object; without any object the header alone."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*self.columns, "unit"])
            for row in self._rows():
                writer.writerow([*row, self.unit])

    def features(self) -> dict[str, NDArray[Any]]:
        """Return the columns of a napari ``features`` table, by name.

        Row 0 is the background, row i the object i. napari selects the label with the number of a
        row, and the status bar goes by the column ``index``: both are the id.

        Raises
        ------
        ValueError
            If the ids are not 1 to n.
        """
        ids = self.columns["id"]
        if not np.array_equal(ids, np.arange(1, len(ids) + 1)):
            raise ValueError(
                "A features table needs ids from 1 to n without gaps; got others. Number the "
                "objects anew (skimage.segmentation.relabel_sequential)."
            )
        dense: dict[str, NDArray[Any]] = {"index": np.arange(len(ids) + 1)}
        for name, values in self.columns.items():
            if name != "id":
                background = 0 if values.dtype.kind == "i" else math.nan
                dense[name] = np.concatenate([np.array([background], values.dtype), values])
        return dense

    def _rows(self) -> Iterator[Sequence[Any]]:
        # in parts: a million rows of Python's numbers take gigabytes
        for first in range(0, len(self), _ROWS):
            part = slice(first, first + _ROWS)
            columns = [values[part].tolist() for values in self.columns.values()]
            for row in zip(*columns, strict=True):
                # an empty field is what tables understand as missing
                yield ["" if value != value else value for value in row]  # noqa: PLR0124


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """What is measured besides shapes.

    Attributes
    ----------
    image : ndarray, (Y, X) or (Z, Y, X), perhaps with a last axis of colors, optional
    probabilities : ndarray, (Y, X) or (Z, Y, X), optional
        How likely each pixel belongs to its object.
    labels : ndarray, (n + 1,), integer, optional
        By id: the label of an object; 1 for all by default.
    """

    image: NDArray[Any] | None = None
    probabilities: NDArray[np.floating[Any]] | None = None
    labels: NDArray[np.integer[Any]] | None = field(default=None)


def measure(
    ids: NDArray[np.integer[Any]], pixels: Pixels | None = None, scale: Scale | None = None
) -> ObjectTable:
    """Measure the objects of an image.

    Parameters
    ----------
    ids : ndarray, (Y, X) or (Z, Y, X), integer
        0 is background, every other number one object, of any size.
    pixels : Pixels, optional
    scale : Scale, optional
        Pixels by default.

    Returns
    -------
    ObjectTable
        ``id``, ``label``, ``area`` or ``volume``, ``centroid_y``, ..., lengths of the axes;
        ``perimeter`` where pixels are square, ``surface`` in three dimensions; ``mean_intensity``
        (``_0``, ``_1``, ... of colors) and ``mean_probability`` where these are given.

    Raises
    ------
    ValueError
        If the ids have neither two nor three axes, or the scale has another number of them.
    """
    given = pixels or Pixels()
    chosen = scale or Scale.pixels(ids.ndim)
    _check(ids, chosen)
    values, index = np.unique(ids, return_inverse=True)
    # ids without gaps: sums over pixels are kept for each number up to the largest
    numbers = index.reshape(ids.shape) + int(values[0] != 0)
    present = values[values != 0].astype(np.int64)
    columns: dict[str, NDArray[Any]] = {"id": present, "label": _labels(present, given.labels)}
    columns |= measure_shapes(numbers, len(present), chosen.spacing)
    columns |= _means(numbers, len(present), given)
    return ObjectTable(columns, chosen.unit)


def _check(ids: NDArray[np.integer[Any]], scale: Scale) -> None:
    if ids.ndim not in (2, 3):
        raise ValueError(f"Objects are measured in two or three axes; got shape {ids.shape}.")
    if len(scale.spacing) != ids.ndim:
        raise ValueError(
            f"The spacing needs one number for each of {ids.ndim} axes; got {scale.spacing}."
        )


def _labels(
    present: NDArray[np.int64], labels: NDArray[np.integer[Any]] | None
) -> NDArray[np.int64]:
    if labels is None:
        return np.ones_like(present)
    return labels[present].astype(np.int64)


def _means(numbers: NDArray[np.int64], count: int, pixels: Pixels) -> dict[str, NDArray[Any]]:
    """Return means over the pixels of each object."""
    columns = {}
    if pixels.image is not None:
        for name, channel in _channels(pixels.image, numbers.ndim):
            columns[name] = _mean(channel, numbers, count)
    if pixels.probabilities is not None:
        columns["mean_probability"] = _mean(pixels.probabilities, numbers, count)
    return columns


def _channels(image: NDArray[Any], dimensions: int) -> Iterator[tuple[str, NDArray[Any]]]:
    if image.ndim == dimensions:
        yield "mean_intensity", image
        return
    for channel in range(image.shape[-1]):
        yield f"mean_intensity_{channel}", image[..., channel]


def _mean(
    values: NDArray[Any], numbers: NDArray[np.int64], count: int
) -> NDArray[np.floating[Any]]:
    flat = numbers.ravel()
    sums = np.bincount(flat, values.ravel().astype(float), count + 1)
    sizes = np.bincount(flat, minlength=count + 1)
    # the background, which is left out, may have no pixel
    return np.asarray(sums[1:] / sizes[1:], float)
