"""Where the pixels of a file lie, and a file as it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.files.omezarr_metadata import Multiscale
from napari_iclsam.files.units import convert, is_length

Dialect = Literal["plain", "imagej", "ome"]


@dataclass(frozen=True, slots=True, eq=False)
class Nifti:
    """Affine, header and shape (in the file's order: x, y, z) of a NIfTI file."""

    affine: NDArray[np.float64]
    header: Any
    shape: tuple[int, ...]

    @property
    def is_placed(self) -> bool:
        """Whether the file says where it lies; else the affine is made up of voxel sizes."""
        # A code of 0 is "arbitrary coordinates" (NIfTI-1).
        sform = int(self.header["sform_code"])
        qform = int(self.header["qform_code"])
        if max(sform, qform) <= 0:
            return False
        # Broken writers leave an affine of zeros, which places nothing.
        return bool(np.linalg.det(self.affine[:3, :3]))


@dataclass(frozen=True, slots=True)
class OmeZarr:
    """An image in several resolutions, and the number of the one that was read."""

    image: Multiscale
    level: int


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Where the pixels of a file lie.

    Attributes
    ----------
    axes : str
        Letters of the spatial axes (and time) of the array, such as "YX", "ZYX", "TYX".
    spacing : tuple of float or None
        Distance of neighbors along each of these axes, all in one unit; None along an axis of which
        the file does not say; empty where it says nothing.
    unit : str
        Of the spacing: a key of `units.METERS`, a word that is not known, or "" where the file does
        not say.
    dialect : {"plain", "imagej", "ome"}
        How a TIFF file says it.
    nifti : Nifti, optional
        What only a NIfTI file knows.
    stored_axes, stored_shape : str, tuple of int
        Of a TIFF file whose rows or columns are an axis of size one that was dropped: as stored.
    turned : int
        TIFF's orientation (1 to 8) that was applied to the array, and that the pixels are stored
        in.
    omezarr : OmeZarr, optional
        What only an OME-Zarr knows.
    dicom : tuple of Path
        Files of a DICOM series, in the order of their planes.
    """

    axes: str
    spacing: tuple[float | None, ...] = ()
    unit: str = ""
    dialect: Dialect = "plain"
    nifti: Nifti | None = None
    stored_axes: str = ""
    stored_shape: tuple[int, ...] = ()
    turned: int = 1
    omezarr: OmeZarr | None = None
    dicom: tuple[Path, ...] = ()

    def spacing_in(self, unit: str) -> tuple[float | None, ...]:
        """Return the spacing in another unit; empty if either unit is not known."""
        if not (is_length(self.unit) and is_length(unit)):
            return ()
        sizes = []
        for size in self.spacing:
            sizes.append(None if size is None else convert(size, self.unit, unit))
        return tuple(sizes)


@dataclass(frozen=True, slots=True)
class Storage:
    """How the pixels of a file were stored, where that tells what they mean.

    Attributes
    ----------
    planar : bool
        Colors in planes of their own: so are also stacks of three or four planes that were saved
        without a word (tifffile, and napari's writer).
    lossy : bool
        Compressed by a method that changes numbers.
    palette : tuple of (red, green, blue)
        Of a file whose numbers are entries of a palette; empty for any other.
    transparent : int, optional
        The entry of the palette that is transparent, if it is one.
    black_at : int
        The number that stands for black in a file that counts from white (0) to black, where that
        was not undone; 0 in any other.
    turned : int
        Orientation (EXIF, 1 to 8) that was applied.
    slope : float
        Step between numbers that the file can hold; 0 if it holds numbers as they are.
    partial : bool
        Labels of a part of their image: what the file does not reach is background.
    own_planes : bool
        Of an OME-TIFF of several files, only the planes of one were read.
    """

    planar: bool = False
    lossy: bool = False
    palette: tuple[tuple[int, int, int], ...] = ()
    transparent: int | None = None
    black_at: int = 0
    turned: int = 1
    slope: float = 0.0
    partial: bool = False
    own_planes: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """An image and where it came from.

    Attributes
    ----------
    path : Path
    array : ndarray, `ZarrPlanes` or `TiffPlane`
        (H, W) or (Z, H, W), with a last axis of colors if it is a color image. NIfTI's (x, y, z)
        becomes (z, y, x). What stays on disk is read part by part.
    color : bool
    space : Space
    storage : Storage
    notes : tuple of str
        What a reader of the result should know about the way the file was read.
    styles : mapping of int to LabelStyle
        Of labels: names and colors, of those that have any.
    """

    path: Path
    array: NDArray[Any]
    color: bool
    space: Space
    storage: Storage = Storage()
    notes: tuple[str, ...] = ()
    styles: Mapping[int, LabelStyle] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Size without the colors."""
        return self.array.shape[:-1] if self.color else self.array.shape

    @property
    def is_stack(self) -> bool:
        """Whether it has three axes beside the colors."""
        return len(self.shape) == 3
