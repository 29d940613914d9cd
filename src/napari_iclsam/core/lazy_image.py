"""Images that are read part by part: one grey scale for all parts, without reading the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.crops import PixelSlices
from napari_iclsam.core.images.intensity import check_image, to_rgb8
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.volume.intensity import GreyScale, estimate_grey_scale

_SAMPLES = 6
"""So many windows along each axis are read to find the grey scale."""

_WINDOW = 256
"""Pixels of a side of these windows."""


@dataclass(frozen=True, slots=True, eq=False)
class LazyImage:
    """A plane that is read in parts.

    Attributes
    ----------
    array : ArrayLike, (H, W) or (H, W, 3 or 4)
        numpy, dask or zarr.
    scale : GreyScale
        Of all parts.
    """

    array: ArrayLike
    scale: GreyScale

    @classmethod
    def of(cls, array: ArrayLike) -> LazyImage:
        """Make one with a scale that is estimated from windows all over the array.

        Raises
        ------
        ValueError
            If it is not one plane.
        """
        if not is_plane(array.shape):
            raise ValueError(
                "The image must be one plane, (height, width) or (height, width, 3 or 4 channels); "
                f"got shape {tuple(array.shape)}. Choose one plane first."
            )
        return cls(array, estimate_grey_scale(sample_windows(array)))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.array.shape[0]), int(self.array.shape[1])

    def read(self, place: PixelSlices) -> NDArray[np.uint8]:
        """Return a part as (h, w, 3).

        Raises
        ------
        ValueError
            If a pixel is not finite, or cannot be read.
        """
        rows, columns = place
        name = f"part at row {rows.start}, column {columns.start} of the image"
        part = check_image(np.asarray(self.array[place]), name)
        return to_rgb8(self.scale.to_uint8(part))


def is_plane(shape: tuple[int, ...]) -> bool:
    """Tell whether an array of this shape is one image."""
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))


def sample_windows(array: ArrayLike) -> list[NDArray[Any]]:
    """Read windows that are evenly spread over a plane: they stand for its grey values."""
    windows = []
    for top in _starts(array.shape[0]):
        for left in _starts(array.shape[1]):
            place = (slice(top, top + _WINDOW), slice(left, left + _WINDOW))
            windows.append(np.asarray(array[place]))
    return windows


def _starts(length: int) -> list[int]:
    last = max(0, length - _WINDOW)
    count = min(_SAMPLES, last // _WINDOW + 1)
    starts: list[int] = np.linspace(0, last, count).round().astype(int).tolist()
    return starts
