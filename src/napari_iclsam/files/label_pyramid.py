"""Labels of a plane that grow on disk, in several resolutions, and can be shown meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.omezarr_labels import new_levels
from napari_iclsam.files.space import Space


@dataclass(frozen=True, slots=True, eq=False)
class LabelPyramid:
    """Labels (H, W) in an OME-Zarr. Coarser levels have every second row and column.

    Attributes
    ----------
    levels : list of zarr.Array
        Finest first.
    """

    levels: list[Any]

    @classmethod
    def create(cls, path: Path, shape: tuple[int, int], space: Space, dtype: Any) -> LabelPyramid:
        """Make a folder for labels that are empty yet."""
        return cls(new_levels(path, shape, space, dtype))

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""
        return tuple(self.levels[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the stored labels."""
        dtype: np.dtype[Any] = np.dtype(self.levels[0].dtype)
        return dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(self.levels[0][key])

    def __setitem__(self, rows: slice, labels: NDArray[Any]) -> None:
        """Write whole rows into all levels."""
        for number, level in enumerate(self.levels):
            step = 2**number
            skipped = -rows.start % step
            taken = labels[skipped::step, ::step]
            first = (rows.start + skipped) // step
            level[first : first + len(taken)] = taken
