"""NIfTI files: volumes read as (z, y, x), and labels written into the same space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.channels import COLORS, choose_channel
from napari_iclsam.files.space import ImageFile, Nifti, Space, Storage
from napari_iclsam.files.units import unit_of

_WRITABLE_UNITS = {"mm": "mm", "µm": "micron", "m": "meter"}
"""Units of length that a NIfTI header can hold."""


def read_nifti(path: Path, *, channel: str | None = None) -> ImageFile:
    """Read a plane or a volume.

    Axes of size one are dropped as long as two are left: a slice may be stored as (x, y, 1), (1, y,
    z) or (x, 1, z).

    Colors are put last.

    Parameters
    ----------
    path : Path
    channel : str, optional
        Of a color image, the color that is meant.

    Raises
    ------
    ValueError
        If it is damaged, or there is no such color.
    """
    image = _load(path)
    array = np.asanyarray(image.dataobj)
    kept = _axes_kept(array.shape)
    pixels = array.reshape([array.shape[axis] for axis in kept]).T
    # RGB and RGBA voxels (data types 128 and 2304) are read as records of three or four fields.
    color = pixels.dtype.names is not None
    if color:
        pixels = np.stack([pixels[name] for name in pixels.dtype.names], axis=-1)
    if color and channel is not None:
        pixels = pixels[..., choose_channel(COLORS, pixels.shape[-1], channel)]
        color = False
    slope = getattr(image.dataobj, "slope", 1)
    # 0 in the header means: not scaled (NIfTI-1, scl_slope).
    is_scaled = slope not in (0, 1)
    storage = Storage(slope=abs(float(slope)) if is_scaled else 0.0)
    return ImageFile(path, pixels, color, _space_of(image, kept), storage)


def _load(path: Path) -> Any:
    """Open a file; its pixels are read later."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        return nibabel.load(path)
    except (ImageFileError, HeaderDataError) as error:
        raise ValueError(str(error)) from error


def _space_of(image: Any, kept: Sequence[int]) -> Space:
    """Return where the axes lie that are kept, last first."""
    zooms = image.header.get_zooms()
    letters = ""
    sizes: list[float | None] = []
    for axis in reversed(kept):
        letters += "XYZT"[axis] if axis < 4 else "Q"
        sizes.append(float(zooms[axis]) or None)
    unit = unit_of(image.header.get_xyzt_units()[0])
    nifti = Nifti(np.asarray(image.affine, np.float64), image.header.copy(), image.shape)
    return Space(letters, tuple(sizes), unit, nifti=nifti)


def write_nifti(path: Path, labels: NDArray[Any], space: Space) -> None:
    """Write labels, (H, W) or (Z, H, W), with the affine, units and shape of their image.

    Of an image that is no NIfTI file, the spacing makes the affine, in millimeters or micrometers;
    without a spacing voxels have size 1 and no unit.
    """
    import nibabel

    data = labels.T  # a NIfTI file is (x, y, z)
    image = _new_image(data, space) if space.nifti is None else _image_like(data, space.nifti)
    # Viewers then choose colors of labels, and do not interpolate.
    image.header.set_intent("label")
    nibabel.save(image, path)


def _axes_kept(shape: tuple[int, ...]) -> list[int]:
    """Return the axes of a file that are longer than one, and the first others up to two."""
    long = [axis for axis, size in enumerate(shape) if size != 1]
    short = [axis for axis, size in enumerate(shape) if size == 1]
    # A picture has two axes, even one of a single row.
    wanting = max(0, 2 - len(long))
    return sorted(long + short[:wanting])


def _new_image(data: NDArray[Any], space: Space) -> Any:
    import nibabel

    unit = space.unit if space.unit in _WRITABLE_UNITS else ""
    in_millimeters = space.spacing_in("mm")
    # Inches or nanometers, which the header cannot hold, are lengths all the same.
    if not unit and in_millimeters:
        unit = "mm"
    spacing = space.spacing_in(unit) or space.spacing
    sizes = [size or 1.0 for size in reversed(spacing)]
    # An affine has four rows, whatever the axes of the image.
    sizes += [1.0] * (4 - len(sizes))
    image: Any = nibabel.Nifti1Image(data, np.diag(sizes))
    image.header.set_xyzt_units(_WRITABLE_UNITS.get(unit, "unknown"))
    return image


def _image_like(data: NDArray[Any], nifti: Nifti) -> Any:
    import nibabel

    header = nifti.header.copy()
    header.set_data_dtype(data.dtype)
    # The window of the image: its labels would be shown all white, or all black.
    header["cal_min"] = 0
    header["cal_max"] = 0
    # NIfTI-2 holds longer axes; to nibabel its header is also one of NIfTI-1.
    is_nifti2 = isinstance(header, nibabel.Nifti2Header)
    kind: Any = nibabel.Nifti2Image if is_nifti2 else nibabel.Nifti1Image
    return kind(data.reshape(nifti.shape), nifti.affine, header)
