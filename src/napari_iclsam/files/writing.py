"""Labels written in the kind of file that a name asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.files.dicom_seg import check_segmentation, write_segmentation
from napari_iclsam.files.label_planes import AnyLabels, highest_of
from napari_iclsam.files.metaimage import write_metaimage
from napari_iclsam.files.names import JPEG_SUFFIXES, Kind, result_kind, suffix
from napari_iclsam.files.nifti import write_nifti
from napari_iclsam.files.nrrd import write_seg_nrrd
from napari_iclsam.files.omezarr_labels import write_omezarr
from napari_iclsam.files.optional import needed
from napari_iclsam.files.picture import write_picture
from napari_iclsam.files.space import Space
from napari_iclsam.files.tiff import write_tiff
from napari_iclsam.files.units import unit_of

Styles = Mapping[int, LabelStyle]

_WRITERS: dict[Kind, Callable[[Path, NDArray[Any], Space, Styles], None]] = {
    "tiff": lambda path, labels, space, styles: write_tiff(path, labels, space),
    "nifti": lambda path, labels, space, styles: write_nifti(path, labels, space),
    "picture": lambda path, labels, space, styles: write_picture(path, labels, space),
    "dicom": write_segmentation,
    "nrrd": write_seg_nrrd,
    "metaimage": lambda path, labels, space, styles: write_metaimage(path, labels, space),
}
"""TIFF, NIfTI, PNG and MetaImage keep no names and colors. OME-Zarr is written by planes."""

_LIBRARIES: dict[Kind, Callable[[], Any]] = {
    "dicom": lambda: needed("highdicom", "DICOM-SEG", "dicom-seg"),
    "nrrd": lambda: needed("nrrd", "NRRD", "nrrd"),
    "metaimage": lambda: needed("SimpleITK", "MetaImage", "mha"),
    "omezarr": lambda: needed("zarr", "OME-Zarr", "zarr"),
}
"""What is missing is said before anything is computed; see `needed`."""

_WRITTEN = ".tif, .png, .nii, .nii.gz, .ome.zarr, .dcm, .seg.nrrd or .mha"


def check_writable_as(path: Path, highest: int, *, stack: bool, space: Space | None = None) -> None:
    """Raise unless labels up to ``highest`` can be kept under this name.

    Parameters
    ----------
    path : Path
    highest : int
    stack : bool
        Whether there are several planes.
    space : Space, optional
        Of the image, if it was read.

    Raises
    ------
    ValueError
        The kind of file cannot hold them.
    ModuleNotFoundError
        Its library is not installed.
    """
    kind = result_kind(path)
    end = suffix(path)
    if kind is None or end in JPEG_SUFFIXES:
        why = "JPEG changes the numbers" if kind else f"{end or 'no suffix'} is not among them"
        raise ValueError(f"Labels are written as {_WRITTEN}; {why}: {path}.")
    if kind == "picture" and stack:
        raise ValueError(
            "A PNG file holds one plane and this is a stack: name a .tif or .nii.gz file, not "
            f"{path}."
        )
    if kind == "picture" and highest > np.iinfo(np.uint16).max:
        raise ValueError(
            f"A PNG file holds labels up to 65535 and there is a {highest}: name a .tif file, not "
            f"{path}."
        )
    if kind in _LIBRARIES:
        _LIBRARIES[kind]()
    if kind == "dicom" and space is not None:
        check_segmentation(path, space, highest)


def write_labels(path: Path, labels: AnyLabels, space: Space, styles: Styles | None = None) -> None:
    """Write labels in the smallest integers that hold them, in the space of their image.

    Parameters
    ----------
    path : Path
        Its suffix says the kind of file.
    labels : ndarray or `LabelPlanes`, (H, W) or (Z, H, W)
        0 or more.
    space : Space
        Of the image.
    styles : mapping of int to LabelStyle, optional
        Names and colors, for kinds of files that keep them.

    Raises
    ------
    ValueError
        See `check_writable_as`.
    OSError
        The disk is full, or the place cannot be written to.
    """
    highest = highest_of(labels)
    check_writable_as(path, highest, stack=labels.ndim == 3)
    kind = result_kind(path)
    assert kind is not None
    # A layer's unit is spelled as pint does it: "micrometer".
    space = replace(space, unit=unit_of(space.unit))
    dtype = _smallest_integer(highest)
    if kind == "omezarr":
        # plane by plane: no copy of them all
        write_omezarr(path, labels, space, styles or {}, dtype)
    else:
        _WRITERS[kind](path, np.asarray(labels).astype(dtype), space, styles or {})


def _smallest_integer(highest: int) -> type[np.integer[Any]]:
    for kind in (np.uint8, np.uint16):
        if highest <= np.iinfo(kind).max:
            return kind
    # Signed, as more programs read it; labels end below 2**31.
    return np.int32
