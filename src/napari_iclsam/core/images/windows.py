"""One grey scale for all images that share a unit: a window that was given, or that of CT."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.intensity import CLIPPED, check_image, in_field_of_view
from napari_iclsam.core.images.planes import ArrayLike, plane
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.steps import evenly_spaced

_AIR = (-1100, -200)
"""Hounsfield units that the darkest percent of a CT lies between: air, lung, a mixture with fat."""

_DENSE = (50, 6000)
"""Hounsfield units that its brightest percent lies between: muscle, bone, metal."""

_HIGHEST_8BIT = 255

_LOOKED_AT = 5
"""Planes of a stack that tell whether it is CT."""

_STEP = 4
"""Every so many pixels are looked at along each side."""


@dataclass(frozen=True, slots=True)
class Window:
    """Grey values that become black and white; what lies beyond them becomes so, too."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(
                f"A window has a lower and a higher grey value; got {self.low:g} and {self.high:g}."
            )

    def suits(self, image: ArrayLike) -> bool:
        """Return whether an image can be of this scale.

        One of 8 bits was scaled before, unless the window lies within 8 bits.
        """
        return image.dtype != np.uint8 or (self.low >= 0 and self.high <= _HIGHEST_8BIT)

    def apply(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Scale an image or stack of any shape to 8 bits."""
        shares = (image.astype(np.float32) - self.low) / (self.high - self.low)
        return np.asarray(np.clip(shares, 0, 1) * 255 + 0.5).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Windowed:
    """A stack on disk whose planes are scaled by a window as they are read."""

    volume: ArrayLike
    window: Window

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the stack."""
        return self.volume.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always 8 bits."""
        return np.dtype(np.uint8)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read and scale a part.

        Raises
        ------
        ValueError
            If it is a plane with values that are not finite: scaling would make grey ones of them.
        """
        part = np.asarray(self.volume[key])
        return self.window.apply(check_image(part) if part.ndim == 2 else part)


def ct_window(images: Sequence[NDArray[Any]]) -> Window | None:
    """Return a common window of images in Hounsfield units; None if they do not look like that.

    Each image scaled by itself shows one tissue in another grey wherever bone or air take another
    share of it.

    Parameters
    ----------
    images : sequence of ndarray, (H, W)
        Planes of one or several scans.
    """
    values = _values(images)
    if values is None:
        return None
    # Percentiles, for a single voxel of metal or noise is no tissue.
    dark, bright = np.percentile(values, (1, 99))
    has_air = _AIR[0] <= dark <= _AIR[1]
    is_dense = _DENSE[0] <= bright <= _DENSE[1]
    if not (has_air and is_dense):
        return None
    low, high = np.percentile(values, CLIPPED)
    return Window(float(np.floor(low)), float(np.ceil(high)))


def with_window(support: SupportSet, window: Window) -> SupportSet:
    """Return examples whose images are scaled, as far as the window suits them."""
    images = []
    for image in support.images:
        images.append(window.apply(image) if window.suits(image) else image)
    return support.with_images(images)


def in_window(image: NDArray[Any], window: Window | None) -> NDArray[Any]:
    """Return an image on the scale of others, if it is CT as they are; else as it is."""
    if window is None or ct_window([image]) is None:
        return image
    return window.apply(image)


def stack_in_window(
    volume: ArrayLike, axis: int, numbers: Sequence[int], window: Window | None
) -> ArrayLike:
    """Return a stack on the scale of others, if some of its planes are CT as they are."""
    if window is None:
        return volume
    chosen = [numbers[place] for place in evenly_spaced(len(numbers), _LOOKED_AT)]
    # A plane that cannot be read, or is damaged, is said when its turn comes.
    with suppress(ValueError, TypeError, OSError, RuntimeError):
        if ct_window([plane(volume, axis, number) for number in chosen]) is not None:
            return Windowed(volume, window)
    return volume


def _values(images: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    """Gather grey values of images that may hold Hounsfield units, without padding."""
    gathered = []
    for image in images:
        # Hounsfield units are below zero in air, and never colors.
        if image.ndim != 2 or not _may_be_signed(image.dtype):
            return None
        part = image[::_STEP, ::_STEP]
        gathered.append(part[in_field_of_view(part)])
    return np.concatenate(gathered) if gathered else None


def _may_be_signed(dtype: np.dtype[Any]) -> bool:
    if np.issubdtype(dtype, np.floating):
        return True
    # -1000, air, does not fit into 8 bits.
    return np.issubdtype(dtype, np.signedinteger) and dtype.itemsize > 1
