"""Image files <-> arrays with their spatial metadata. Knows no model and no viewer.

The only readers and writers, for the command line and for the window.
"""

from napari_iclsam.files.label_planes import AnyLabels, LabelPlanes, planes_in
from napari_iclsam.files.label_rows import LabelRows
from napari_iclsam.files.names import labels_suffix, result_kind, stem, suffix
from napari_iclsam.files.pairs import NamedPair, labels_beside, pairs_by_name
from napari_iclsam.files.part import WHOLE, Part
from napari_iclsam.files.publishing import (
    check_replaceable,
    home_of,
    place_name,
    publish,
    remove,
)
from napari_iclsam.files.reading import FilePair, as_stack, read_image, read_labels, read_pair
from napari_iclsam.files.space import ImageFile, Nifti, Space, Storage
from napari_iclsam.files.writing import check_writable_as, write_labels

__all__ = [
    "WHOLE",
    "AnyLabels",
    "FilePair",
    "ImageFile",
    "LabelPlanes",
    "LabelRows",
    "NamedPair",
    "Nifti",
    "Part",
    "Space",
    "Storage",
    "as_stack",
    "check_replaceable",
    "check_writable_as",
    "home_of",
    "labels_beside",
    "labels_suffix",
    "pairs_by_name",
    "place_name",
    "planes_in",
    "publish",
    "read_image",
    "read_labels",
    "read_pair",
    "remove",
    "result_kind",
    "stem",
    "suffix",
    "write_labels",
]
