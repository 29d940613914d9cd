"""Image files <-> arrays with their spatial metadata. Knows no model and no viewer.

The only readers and writers, for the command line and for the window.
"""

from napari_iclsam.files.names import labels_suffix, stem, suffix
from napari_iclsam.files.pairs import NamedPair, pairs_by_name
from napari_iclsam.files.reading import FilePair, as_stack, read_image, read_labels, read_pair
from napari_iclsam.files.space import ImageFile, Nifti, Space, Storage
from napari_iclsam.files.writing import check_writable_as, write_labels

__all__ = [
    "FilePair",
    "ImageFile",
    "NamedPair",
    "Nifti",
    "Space",
    "Storage",
    "as_stack",
    "check_writable_as",
    "labels_suffix",
    "pairs_by_name",
    "read_image",
    "read_labels",
    "read_pair",
    "stem",
    "suffix",
    "write_labels",
]
