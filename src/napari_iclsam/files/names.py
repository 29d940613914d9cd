"""Names of image files: the stem, the suffix, and the kind of file that the suffix stands for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from napari_iclsam.files.omezarr_metadata import is_group

Kind = Literal["tiff", "nifti", "picture", "omezarr"]

FOLDER_KINDS: tuple[Kind, ...] = ("omezarr",)
"""Kinds of images that are folders."""

_KINDS: Mapping[str, Kind] = {
    ".tif": "tiff",
    ".tiff": "tiff",
    ".ome.tif": "tiff",
    ".ome.tiff": "tiff",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".png": "picture",
    ".jpg": "picture",
    ".jpeg": "picture",
    ".zarr": "omezarr",
    ".ome.zarr": "omezarr",
}

_DOUBLE_SUFFIXES = (".ome.tif", ".ome.tiff", ".nii.gz", ".ome.zarr")

JPEG_SUFFIXES = (".jpg", ".jpeg")


def suffix(path: Path) -> str:
    """Return the lower-case suffix that names the kind, such as ``.tif`` or ``.ome.tif``."""
    name = path.name.lower()
    # pathlib knows only the last part, ".gz".
    for double in _DOUBLE_SUFFIXES:
        if name.endswith(double):
            return double
    return path.suffix.lower()


def stem(path: Path) -> str:
    """Return the name of a file without its `suffix`."""
    return path.name[: len(path.name) - len(suffix(path))]


def kind_of(path: Path) -> Kind | None:
    """Return the kind of file that a name stands for; None if it is not one that is read.

    Folders are looked into: a group of OME-Zarr inside another has no suffix.
    """
    by_name = _KINDS.get(suffix(path))
    if by_name is None and path.is_dir():
        return "omezarr" if is_group(path) else None
    return by_name


def image_of_labels(path: Path) -> Path | None:
    """Return the OME-Zarr image that a path ``IMAGE/labels/NAME`` lies in; None if it does not."""
    image = path.parent.parent
    is_inside = path.parent.name == "labels" and is_group(image)
    return image if is_inside else None


def result_kind(path: Path) -> Kind | None:
    """Return the kind of file that a result of this name is; None if it is not one."""
    return "omezarr" if image_of_labels(path) else _KINDS.get(suffix(path))


def labels_suffix(path: Path) -> str:
    """Return the suffix for labels of an image: its own, but PNG for JPEG."""
    own = suffix(path)
    # JPEG changes numbers.
    return ".png" if own in JPEG_SUFFIXES else own
