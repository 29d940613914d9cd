"""Names of image files: the stem, the suffix, and the kind of file that the suffix stands for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from napari_iclsam.files.omezarr_metadata import is_group

Kind = Literal["tiff", "nifti", "picture", "omezarr", "dicom", "nrrd", "metaimage", "microscope"]

FOLDER_KINDS: tuple[Kind, ...] = ("omezarr", "dicom")
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
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".seg.nrrd": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",
    ".dcm": "dicom",
    ".dicom": "dicom",
    ".ima": "dicom",
    ".zarr": "omezarr",
    ".ome.zarr": "omezarr",
}

_MICROSCOPES = (
    ".czi", ".dv", ".ims", ".lif", ".nd2", ".oib", ".oif", ".oir", ".r3d", ".sldy", ".vsi"
)  # fmt: skip
"""Formats that readers of bioio take."""

_READ: Mapping[str, Kind] = {**_KINDS, **dict.fromkeys(_MICROSCOPES, "microscope")}

_DOUBLE_SUFFIXES = (".ome.tif", ".ome.tiff", ".nii.gz", ".ome.zarr", ".seg.nrrd")

_LOOKED_AT = 20
"""Files of a folder that are looked at to find out whether they are DICOM."""

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
    """Return the name of a file without its `suffix`, if that says a kind."""
    end = suffix(path)
    # "1.2.840.4" is the name of a DICOM file or folder, and ".4" a part of it.
    return path.name[: len(path.name) - len(end)] if end in _READ else path.name


def kind_of(path: Path) -> Kind | None:
    """Return the kind of file that a name stands for; None if it is not one that is read.

    Without a suffix that is known, a group of OME-Zarr, a DICOM file and a folder of such files are
    told by what is in them.
    """
    by_name = _READ.get(suffix(path))
    if by_name is not None:
        return by_name
    if path.is_dir():
        if is_group(path):
            return "omezarr"
        # Other files may lie beside those of a series.
        files = sorted(each for each in path.iterdir() if each.is_file())
        return "dicom" if any(map(_is_dicom, files[:_LOOKED_AT])) else None
    return "dicom" if path.is_file() and _is_dicom(path) else None


def _is_dicom(path: Path) -> bool:
    """Tell whether a file begins as part 10 of DICOM says."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def image_of_labels(path: Path) -> Path | None:
    """Return the OME-Zarr image that a path ``IMAGE/labels/NAME`` lies in; None if it does not."""
    image = path.parent.parent
    is_inside = path.parent.name == "labels" and is_group(image)
    return image if is_inside else None


def result_kind(path: Path) -> Kind | None:
    """Return the kind of file that a result of this name is; None if it is not one."""
    return "omezarr" if image_of_labels(path) else _KINDS.get(suffix(path))


def labels_suffix(path: Path) -> str:
    """Return the suffix for labels of an image: its own, but PNG for JPEG, NIfTI for DICOM ..."""
    own = suffix(path)
    if kind_of(path) == "dicom":
        return ".nii.gz"
    if own in _MICROSCOPES:
        return ".ome.tif"
    # A header beside its pixels would be two files.
    if own in (".nrrd", ".nhdr", ".mhd"):
        return ".mha" if own == ".mhd" else ".seg.nrrd"
    # JPEG changes numbers.
    return ".png" if own in JPEG_SUFFIXES else own
