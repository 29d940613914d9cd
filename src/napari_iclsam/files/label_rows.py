"""Labels of a plane that is larger than memory: on disk, written and read by rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.optional import needed

_CHUNK = 1024
"""Side of a chunk."""

_PIXELS = 16_000_000
"""A band has about so many."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelRows:
    """Labels (H, W) in an array of zarr. They begin empty.

    Attributes
    ----------
    stored : zarr.Array
    """

    stored: Any

    @classmethod
    def create(cls, place: Path, shape: tuple[int, int], dtype: Any = np.int32) -> LabelRows:
        """Make a folder for labels of a height and a width."""
        zarr = needed("zarr", "An image larger than memory", "zarr")
        chunks = tuple(min(size, _CHUNK) for size in shape)
        return cls(zarr.create_array(place, shape=shape, dtype=dtype, chunks=chunks, fill_value=0))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.stored.shape
        return int(height), int(width)

    @property
    def ndim(self) -> int:
        """Number of axes: 2."""
        return 2

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the stored array."""
        dtype: np.dtype[Any] = np.dtype(self.stored.dtype)
        return dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(self.stored[key])

    def __setitem__(self, key: Any, values: NDArray[Any]) -> None:
        self.stored[key] = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all rows in one array."""
        return np.asarray(self[:], dtype)

    def bands(self) -> Iterator[NDArray[Any]]:
        """Yield the rows, many at a time."""
        for rows in row_parts(self.shape):
            yield self[rows]


def row_parts(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield the rows of a plane (H, W), many at a time, all of one that is not large.

    No chunk lies in two of them, as it would be written twice.
    """
    height, width = shape
    rows = max(1, _PIXELS // width // _CHUNK) * _CHUNK
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))
