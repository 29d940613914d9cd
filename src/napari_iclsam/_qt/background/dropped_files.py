"""Image files that were dropped on the dock, read in a worker as the command line reads them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam import files
from napari_iclsam.files import NamedPair, pairs_by_name
from napari_iclsam.files.label_sets import IN_DOCK, NamedLabels, kinds_of, understood


@dataclass(frozen=True, slots=True, eq=False)
class DroppedPair:
    """Image and labels that came from files.

    Attributes
    ----------
    name : str
    image : ndarray, (H, W) or (H, W, 3 or 4)
    labels : ndarray, (H, W), int32
    """

    name: str
    image: NDArray[Any]
    labels: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class DroppedFiles:
    """What was dropped together.

    Attributes
    ----------
    pairs : tuple of DroppedPair
    notes : tuple of str
        How the files were understood, where that is not obvious.
    """

    pairs: tuple[DroppedPair, ...]
    notes: tuple[str, ...] = ()


def read_files_steps(paths: Sequence[str]) -> Generator[None, None, DroppedFiles]:
    """Read image files and pair each image with its labels.

    Raises
    ------
    OSError, ValueError
        If it is not clear what belongs together, or a pair is not one of 2D image and labels; the
        message tells what came.
    """
    read: list[files.FilePair] = []
    named: list[NamedLabels] = []
    for pair in pairs_by_name(list(map(Path, paths))):
        # the worker can be stopped between two files
        yield
        read.append(_read_pair(pair))
        painted = read[-1].labels
        named.append(NamedLabels(pair.labels.name, painted.array, kinds_of(painted.styles)))
    # the values of labels are understood together: 255 in one file may be 1 in another
    labels = understood(named, IN_DOCK)
    notes = list(labels.notes)
    pairs = []
    for each, own in zip(read, labels.examples, strict=True):
        notes += each.notes
        mask = own.labels.astype(np.int32)
        pairs.append(DroppedPair(each.image.path.name, each.image.array, mask))
    return DroppedFiles(tuple(pairs), tuple(notes))


def _read_pair(pair: NamedPair) -> files.FilePair:
    read = files.read_pair(pair.image, pair.labels)
    if read.image.is_stack:
        raise ValueError(
            f"{pair.image.name} is not one picture: it has the size {read.image.shape}. "
            "Open stacks as layers instead."
        )
    return read
