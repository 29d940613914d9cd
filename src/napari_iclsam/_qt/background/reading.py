"""What is read in a worker: labelled slices, small pictures of examples, dropped image files."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam import files
from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.thumbnails import Picture, picture
from napari_iclsam._qt.viewer.slice_stacks import LabelledPositions, find_labelled_steps
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.files import NamedPair, pairs_by_name
from napari_iclsam.files.label_sets import NamedLabels, understood


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
    """Image and labels that came from files, and what is to be said of all that came together."""

    name: str
    image: NDArray[Any]
    labels: NDArray[Any]
    notes: tuple[str, ...] = ()


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
    """Read image files and pair each image with its labels, as the command line reads them.

    Raises
    ------
    OSError, ValueError
        If it is not clear what belongs together, or a pair is not one of 2D image and labels; the
        message states what came.
    """
    read = []
    named = []
    for pair in pairs_by_name([Path(path) for path in paths]):
        yield
        files_of_pair = _read_plane_pair(pair)
        read.append(files_of_pair)
        named.append(NamedLabels(pair.labels.name, files_of_pair.labels.array))
    # what numbers mean shows in all label images together
    labels = understood(named)
    notes = list(labels.notes)
    for files_of_pair in read:
        notes += files_of_pair.notes
    pairs = []
    for files_of_pair, own in zip(read, labels.examples, strict=True):
        image = files_of_pair.image
        masks = own.labels.astype(np.int32)
        pairs.append(FilePair(image.path.name, image.array, masks, tuple(notes)))
    return tuple(pairs)


def _read_plane_pair(pair: NamedPair) -> files.FilePair:
    read = files.read_pair(pair.image, pair.labels)
    if read.image.is_stack:
        raise ValueError(
            f"{pair.image.name} is not one picture: it has the size {read.image.shape}. Open "
            "stacks as layers instead."
        )
    return read
