"""A large plane of a TIFF file that stays on disk: parts are read when needed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.large_image import LARGE
from napari_iclsam.files.optional import needed
from napari_iclsam.files.space import ImageFile
from napari_iclsam.files.tiff_space import tiff_space
from napari_iclsam.files.tiff_values import LOSSY

_PLAIN = (1, 2)
"""Photometric interpretations whose numbers are grey values from black on, or red, green, blue."""


@dataclass(frozen=True, slots=True, eq=False)
class TiffPlane:
    """A plane as an array, perhaps with a last axis of colors; each access reads from disk.

    Attributes
    ----------
    path : Path
    number : int
        Of the series.
    shape : tuple of int
    dtype : dtype
    """

    path: Path
    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes, that of the colors included."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part, given by numbers and slices.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        try:
            return self._read(key)
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"{self.path} cannot be read as TIFF: {error}") from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all."""
        return np.asarray(self[()], dtype)

    def _read(self, key: Any) -> NDArray[Any]:
        import tifffile

        zarr = needed("zarr", "A part of a TIFF file", "zarr")
        # opened each time: a store would keep the file open as long as it is
        with tifffile.TiffFile(self.path) as tif:
            series = tif.series[self.number]
            if series.dataoffset is not None:
                mapped = tifffile.memmap(self.path, series=self.number, mode="r")
                return np.array(mapped[key])
            store = series.aszarr(level=0)
            try:
                return np.asarray(zarr.open_array(store, mode="r")[key])
            finally:
                store.close()


def plane_on_disk(path: Path, tif: Any, series: Any, *, for_labels: bool) -> ImageFile | None:
    """Return the plane of a series, which stays on disk, if it is too large to be read as a whole.

    None if it is small, has further axes, is not stored as it is shown, or zarr is missing, by
    which tifffile reads parts.
    """
    has_colors = series.axes == "YXS" and series.shape[-1] in (3, 4)
    is_plane = series.axes == "YX" or has_colors
    if not is_plane or series.shape[0] * series.shape[1] < LARGE:
        return None
    page = series.keyframe
    tag = page.tags.get("Orientation")
    is_plain = int(page.photometric) in _PLAIN and (tag is None or int(tag.value) == 1)
    # labels in colors, or blurred, are understood as a whole
    if for_labels and (has_colors or page.compression.name in LOSSY):
        return None
    if not is_plain or importlib.util.find_spec("zarr") is None:
        return None
    number = list(tif.series).index(series)
    plane: Any = TiffPlane(path, number, tuple(series.shape), np.dtype(series.dtype))
    return ImageFile(path, plane, has_colors, tiff_space(tif, series.axes))
