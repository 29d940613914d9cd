"""The reader of each kind of file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_iclsam.files.dicom import read_dicom
from napari_iclsam.files.metaimage import read_metaimage
from napari_iclsam.files.microscope import read_microscope
from napari_iclsam.files.names import Kind
from napari_iclsam.files.nifti import read_nifti
from napari_iclsam.files.nrrd import read_nrrd
from napari_iclsam.files.omezarr import read_omezarr
from napari_iclsam.files.part import Part
from napari_iclsam.files.picture import read_picture
from napari_iclsam.files.space import ImageFile
from napari_iclsam.files.tiff import read_tiff


def reader_of(
    kind: Kind, path: Path, part: Part, *, for_labels: bool, in_memory: bool
) -> Callable[[], ImageFile]:
    """Return what reads a file of a kind; see the readers for what may be wrong with it."""
    channel = part.channel
    readers: dict[Kind, Callable[[], ImageFile]] = {
        "tiff": lambda: read_tiff(path, for_labels=for_labels, part=part, in_memory=in_memory),
        "nifti": lambda: read_nifti(path, channel=None if for_labels else channel),
        "picture": lambda: read_picture(path, for_labels=for_labels, channel=channel),
        "nrrd": lambda: read_nrrd(path, for_labels=for_labels),
        "metaimage": lambda: read_metaimage(path),
        "microscope": lambda: read_microscope(path, part),
        "dicom": lambda: read_dicom(path, for_labels=for_labels, part=part),
        "omezarr": lambda: read_omezarr(
            path, for_labels=for_labels, part=part, in_memory=in_memory
        ),
    }
    return readers[kind]
