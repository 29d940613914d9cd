"""What is read of layers in a worker: labelled slices, and small pictures of examples."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.thumbnails import Picture, picture
from napari_iclsam._qt.viewer.slice_stacks import LabelledPositions, find_labelled_steps
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.files.label_sets import (
    IN_DOCK,
    LabelSet,
    NamedLabels,
    about_unknown,
    kinds_of,
    understood,
)


@dataclass(frozen=True, slots=True, eq=False)
class ScannedLabels:
    """The labelled slices of several arrays, by number of the array."""

    of_array: Mapping[int, LabelledPositions]


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Small pictures of examples, by key of the example, and what is odd about their labels."""

    of_key: Mapping[Any, Picture]
    labels: LabelSet = field(default_factory=lambda: LabelSet(()))


def scan_steps(arrays: Mapping[int, ArrayLike]) -> Generator[None, None, ScannedLabels]:
    """Find the labelled slices of several arrays of labels."""
    found = {}
    for number, array in arrays.items():
        found[number] = yield from find_labelled_steps(array)
    return ScannedLabels(found)


def picture_steps(
    pairs: Mapping[Any, Pair], titles: Sequence[str], styles: Sequence[Mapping[int, LabelStyle]]
) -> Generator[None, None, Pictures]:
    """Make small pictures of pairs, and look for labels that seem to be meant otherwise.

    Parameters
    ----------
    pairs : mapping of key to Pair
    titles : sequence of str
        What each pair is called in messages.
    styles : sequence of mapping of int to LabelStyle
        Names of its labels.
    """
    pictures = {}
    named = []
    as_made = []
    for title, style, (key, pair) in zip(titles, styles, pairs.items(), strict=True):
        yield
        image = pair.read_image()
        labels = pair.read_labels()
        # layers may have changed meanwhile; a run refuses what does not fit
        if image.shape[:2] == labels.shape:
            pictures[key] = picture(image, labels)
            named.append(NamedLabels(title, labels, kinds_of(style)))
            # otherwise it was the user, or a task, who said what is unknown
            if not pair.reading.ignored and not pair.was_region:
                as_made.append(named[-1])
    yield
    if not named:
        return Pictures(pictures)
    found = understood(named, IN_DOCK)
    notes = (*about_unknown(as_made), *found.notes)
    # the pixels of all examples are not kept
    return Pictures(pictures, replace(found, examples=(), notes=notes))
