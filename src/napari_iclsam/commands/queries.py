"""Images to segment: checked before anything is computed, read again when their turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.commands.examples import ReadExamples
from napari_iclsam.commands.inputs import Reading
from napari_iclsam.commands.placement import Bands, Placement, Planes, is_on_disk, place, planes_of
from napari_iclsam.core.images.intensity import check_contrast, check_image
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.images.windows import Window, Windowed, ct_window
from napari_iclsam.files import (
    AnyLabels,
    ImageFile,
    LabelPlanes,
    LabelRows,
    Space,
    as_stack,
    read_image,
)

D = TypeVar("D", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """An image to segment.

    Attributes
    ----------
    path : Path
    space : Space
        Of the file as it was read.
    placement : Placement
        How its planes lie.
    window : Window, optional
        Grey values that become black and white.
    notes : tuple of str
        What is to be said of the way it was read.
    is_blank : bool
        Whether it has one value everywhere, so that nothing can be found in it.
    is_large : bool
        Whether it is a plane that stays on disk.
    """

    path: Path
    space: Space
    placement: Placement
    window: Window | None = None
    notes: tuple[str, ...] = ()
    is_blank: bool = False
    is_large: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Size without colors, with the planes as they are segmented."""
        return self.placement.turned_shape

    @property
    def axis(self) -> int | None:
        """Axis that the planes of a stack are stacked along; None for a single plane."""
        return self.placement.axis


def read_query(
    path: Path, reading: Reading, examples: ReadExamples, *, blank_allowed: bool = False
) -> Query:
    """Read and check an image to segment.

    Parameters
    ----------
    path : Path
    reading : Reading
    examples : ReadExamples
        What they are like tells slices that were saved as colors from colors.
    blank_allowed : bool
        Take an image of one value; otherwise it is an error.

    Raises
    ------
    OSError, ValueError
        See `read_image`; also if a plane is not one of finite numbers, or all pixels are equal.
    """
    file = _read(path, reading, examples)
    placement = place(file, reading.axis, examples.reference)
    planes = planes_of(file, placement)
    is_blank = _check_planes(planes, placement, path)
    if is_blank and not blank_allowed:
        check_contrast(planes[0], f"image {path}")
    window = None if is_blank else _window_for(planes, reading, examples)
    notes = list(file.notes)
    for note in (placement.note, _about_bits(file.array.dtype, window, examples)):
        if note:
            notes.append(note)
    is_large = placement.axis is None and is_on_disk(file.array)
    return Query(path, file.space, placement, window, tuple(notes), is_blank, is_large)


def read_again(query: Query, reading: Reading, examples: ReadExamples) -> ArrayLike:
    """Read a query: (H, W) or a stack, perhaps with colors, its planes as they are segmented.

    A stack of an OME-Zarr stays on disk, and so does a large plane.
    """
    file = _read(query.path, reading, examples)
    # The first reading was dropped: a batch of stacks is not held in memory.
    array = query.placement.apply(file.array, file)
    if query.window is None:
        return array
    is_in_memory = not is_on_disk(array)
    return query.window.apply(array) if is_in_memory else Windowed(array, query.window)


def read_stored(query: Query, reading: Reading, examples: ReadExamples) -> ArrayLike:
    """Read a query as its file stores it: without a turn, in the grey values of the file.

    What is large stays on disk.
    """
    return _read(query.path, reading, examples).array


def labels_as_stored(query: Query, labels: NDArray[D]) -> NDArray[D]:
    """Return values of the planes as they were segmented in the way that the file stores them."""
    return query.placement.undo(labels)


def result_as_stored(query: Query, labels: AnyLabels) -> AnyLabels:
    """Return labels as the file stores planes; those not in an array of numpy lie so already."""
    if isinstance(labels, LabelPlanes | LabelRows):
        return labels
    return labels_as_stored(query, labels)


def _check_planes(planes: Planes | Bands, placement: Placement, path: Path) -> bool:
    """Check that planes hold finite numbers; return whether all of them are one value.

    Whole numbers are finite: of a stack on disk, no more is read than tells two values apart.
    """
    first: Any = None
    is_blank = True
    for number, plane in enumerate(planes):
        called = f"image {path}"
        if placement.axis is not None:
            called = f"plane {placement.number_in_file(number)} of {path}"
        check_image(plane, called)
        # Of the whole: single planes at the end of a stack often show nothing.
        first = plane.flat[0] if first is None else first
        is_blank = is_blank and bool((plane == first).all())
        if not is_blank and not np.issubdtype(plane.dtype, np.inexact):
            break
    return is_blank


def _read(path: Path, reading: Reading, examples: ReadExamples) -> ImageFile:
    """Read a file; slices that were saved as colors are slices if the examples have no colors."""
    part = examples.resolution.part_of(path, reading.part)
    file = read_image(path, part, in_memory=False)
    # Three slices and three colors may be stored alike; the examples tell which are meant.
    is_grey = all(image.ndim == 2 for image in examples.support.images)
    return as_stack(file) if file.storage.planar and is_grey else file


def _window_for(
    planes: Sequence[NDArray[Any]], reading: Reading, examples: ReadExamples
) -> Window | None:
    """Return the window that was given, else that of the examples if all are CT."""
    given = reading.window or examples.given_window
    if given is not None:
        return given if given.suits(planes[0]) else None
    if examples.on_scale_of_stack:
        return examples.window
    # Photographs or MRI beside examples of CT do not share its unit.
    if examples.window is None or ct_window(planes) is None:
        return None
    return examples.window


def _about_bits(dtype: np.dtype[Any], window: Window | None, examples: ReadExamples) -> str:
    """Say that the images of a task may have been scaled by a window that is missing here."""
    # Of examples that were read here the window is known.
    if not examples.of_task or window is not None:
        return ""
    is_8bit = all(image.dtype == np.uint8 for image in examples.support.images)
    if not is_8bit or dtype == np.uint8:
        return ""
    return (
        "The examples have 8 bits and this image has more: if they were made with --window, "
        "give it here, too."
    )
