"""One channel of a level of an OME-Zarr that stays on disk: planes are read when needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = tuple[int | slice, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ZarrPlanes:
    """An image as an array, perhaps with a last axis of colors; each access reads from disk.

    Attributes
    ----------
    path : Path
        For messages.
    stored : zarr.Array
    key : tuple of int or slice
        What is taken of each stored axis: a number, or all.
    color_axis : int, optional
        The stored axis that holds the colors.
    """

    path: Path
    stored: Any
    key: Index
    color_axis: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along the axes that are left, and the colors."""
        sizes = [self.stored.shape[axis] for axis in self._axes]
        colors = [] if self.color_axis is None else [self.stored.shape[self.color_axis]]
        return (*sizes, *colors)

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the stored array."""
        dtype: np.dtype[Any] = np.dtype(self.stored.dtype)
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes, that of the colors included."""
        return len(self.shape)

    def __getitem__(self, key: int | slice | Index) -> NDArray[Any]:
        """Read a part, given by numbers and slices of the first axes.

        Raises
        ------
        ValueError
            If a chunk is damaged.
        """
        full = list(self.key)
        wanted = key if isinstance(key, tuple) else (key,)
        # axes that are not named are taken as a whole, as in NumPy
        for axis, index in zip(self._axes, wanted, strict=False):
            full[axis] = index
        try:
            values = np.asarray(self.stored[tuple(full)])
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"{self.path} cannot be read as OME-Zarr: {error}") from error
        if self.color_axis is None:
            return values
        # numbers drop their axes
        before = [index for index in full[: self.color_axis] if isinstance(index, slice)]
        return np.moveaxis(values, len(before), -1)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all."""
        return np.asarray(self[()], dtype)

    @property
    def _axes(self) -> list[int]:
        """Stored axes that are left, without that of the colors."""
        kept = []
        for axis, index in enumerate(self.key):
            if isinstance(index, slice) and axis != self.color_axis:
                kept.append(axis)
        return kept
