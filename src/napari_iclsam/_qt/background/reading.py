"""What is read in a worker: labelled slices, small pictures of examples, dropped image files."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.thumbnails import Picture, picture
from napari_iclsam._qt.viewer.slice_stacks import LabelledPositions, find_labelled_steps
from napari_iclsam.core.images.planes import ArrayLike, is_rgb

_LABEL_WORDS = ("label", "mask", "seg", "truth", "gt", "annotation")


@dataclass(frozen=True, slots=True, eq=False)
class ScannedLabels:
    """The labelled slices of several arrays, by number of the array."""

    of_array: Mapping[int, LabelledPositions]


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Small pictures of examples, by key of the example."""

    of_key: Mapping[Any, Picture]


@dataclass(frozen=True, slots=True, eq=False)
class FilePair:
    """Image and labels that came from files."""

    name: str
    image: NDArray[Any]
    labels: NDArray[Any]


def scan_steps(arrays: Mapping[int, ArrayLike]) -> Generator[None, None, ScannedLabels]:
    """Find the labelled slices of several arrays of labels."""
    found = {}
    for number, array in arrays.items():
        found[number] = yield from find_labelled_steps(array)
    return ScannedLabels(found)


def picture_steps(pairs: Mapping[Any, Pair]) -> Generator[None, None, Pictures]:
    """Make small pictures of pairs."""
    pictures = {}
    for key, pair in pairs.items():
        yield
        image = pair.read_image()
        labels = pair.read_labels()
        # layers may have changed meanwhile; a run refuses what does not fit
        if image.shape[:2] == labels.shape:
            pictures[key] = picture(image, labels)
    return Pictures(pictures)


def read_files_steps(paths: Sequence[str]) -> Generator[None, None, tuple[FilePair, ...]]:
    """Read image files and pair each image with its labels.

    Raises
    ------
    ValueError
        If they are not pairs of 2D images and labels; the message tells what came.
    """
    arrays = {}
    for path in paths:
        yield
        arrays[path] = _read_image(path)
    labels = [path for path in paths if _is_of_labels(path)]
    images = [path for path in paths if not _is_of_labels(path)]
    if len(labels) != len(images) or not images:
        names = ", ".join(Path(path).name for path in paths)
        raise ValueError(
            "Drop as many label images as images, the labels with 'label', 'mask' or 'seg' in "
            f"their names (cell1.png and cell1_labels.png); got {len(images)} images and "
            f"{len(labels)} label images: {names}."
        )
    pairs = []
    # sorted, cell1 and cell2 meet cell1_labels and cell2_labels
    for image, mask in zip(sorted(images), sorted(labels), strict=True):
        pairs.append(FilePair(Path(image).name, arrays[image], _as_labels(arrays[mask], mask)))
    return tuple(pairs)


def _is_of_labels(path: str) -> bool:
    name = Path(path).stem.lower()
    return any(word in name for word in _LABEL_WORDS)


def _read_image(path: str) -> NDArray[Any]:
    if Path(path).suffix.lower() in (".tif", ".tiff"):
        import tifffile

        array = np.asarray(tifffile.imread(path))
    else:
        import imageio.v3 as iio

        array = np.asarray(iio.imread(path))
    if array.ndim == 2 or (array.ndim == 3 and is_rgb(array.shape)):
        return array
    raise ValueError(
        f"{Path(path).name} is not one picture: it has the size {array.shape}. Open stacks as "
        "layers instead."
    )


def _as_labels(array: NDArray[Any], path: str) -> NDArray[Any]:
    # labels that were saved in color have the same values in all channels
    plane = array[..., 0] if array.ndim == 3 else array
    if not (np.issubdtype(plane.dtype, np.integer) or plane.dtype == bool):
        raise ValueError(
            f"{Path(path).name} holds no labels: they must be whole numbers; got {plane.dtype}."
        )
    return plane.astype(np.int32)
