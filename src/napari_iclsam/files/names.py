"""Names of image files: the stem, the suffix, and the kind of file that the suffix stands for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Kind = Literal["tiff", "nifti", "picture"]

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
}

_DOUBLE_SUFFIXES = (".ome.tif", ".ome.tiff", ".nii.gz")

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
    """Return the kind of file that a name stands for; None if it is not one that is read."""
    return _KINDS.get(suffix(path))


def labels_suffix(path: Path) -> str:
    """Return the suffix for labels of an image: its own, but PNG for JPEG."""
    own = suffix(path)
    # JPEG changes numbers.
    return ".png" if own in JPEG_SUFFIXES else own
