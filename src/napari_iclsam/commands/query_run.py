"""One image or stack segmented, step by step, from its file to its labels."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.commands.examples import ReadExamples
from napari_iclsam.commands.inputs import Reading
from napari_iclsam.commands.queries import Query, read_again
from napari_iclsam.commands.report import Outcome
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.labelled_stack import LabelledStack
from napari_iclsam.core.prediction import Prediction, Progress
from napari_iclsam.core.stack_task import StackTask
from napari_iclsam.core.task import Task
from napari_iclsam.core.volume.labelled_planes import Spacing
from napari_iclsam.files import AnyLabels, LabelPlanes, LabelRows, result_kind

_BLANK = "It has one value everywhere: nothing was looked for, and the result is empty."


@dataclass(frozen=True, slots=True)
class ObjectWishes:
    """What is wanted of the objects of a result, beside their labels.

    Attributes
    ----------
    are_output : bool
        Their ids are written in the place of labels.
    are_measured : bool
        Their measurements are written as a table.
    """

    are_output: bool = False
    are_measured: bool = False

    @property
    def are_wanted(self) -> bool:
        """Whether objects are to be found at all."""
        return self.are_output or self.are_measured


NO_OBJECTS = ObjectWishes()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the result of a query goes.

    Attributes
    ----------
    output : Path
    scratch : Path
        Folder for what is larger than memory, beside the result; who made it removes it.
    """

    output: Path
    scratch: Path


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What images are segmented by, how they are read, and what is wanted of their objects."""

    examples: ReadExamples
    reading: Reading
    objects: ObjectWishes = NO_OBJECTS


def outcome_of(task: Task, query: Query, place: Place) -> Outcome:
    """Return what is known of a query before it is segmented."""
    names = {label: task.support.name(label) for label in task.support.ids}
    labels = _empty_labels(task, query, place)
    outcome = Outcome(query, place.output, names, labels, styles=task.support.styles)
    outcome.separations = task.support.separations
    for note in query.notes:
        outcome.notes[note] = []
    if query.is_blank:
        outcome.notes[_BLANK] = []
    return outcome


def _empty_labels(task: Task, query: Query, place: Place) -> AnyLabels:
    """Return labels to be filled; small ones if they are written part by part."""
    if query.is_large and query.axis is None and task.is_tiled(_size(query)):
        highest = max(task.support.ids)
        dtype = np.uint8 if highest <= np.iinfo(np.uint8).max else np.int32
        return LabelRows.create(place.scratch / "labels.zarr", _size(query), dtype)
    is_by_plane = result_kind(place.output) == "omezarr" and query.placement.turn.is_identity
    if is_by_plane and query.axis == 0:
        return LabelPlanes(query.shape)
    return np.zeros(query.shape, np.int32)


def _size(query: Query) -> tuple[int, int]:
    height, width = query.shape
    return height, width


def query_steps(
    task: Task, query: Query, place: Place, work: Work
) -> Generator[Progress, None, Outcome]:
    """Segment one query step by step, and return what was found."""
    outcome = outcome_of(task, query, place)
    if work.objects.are_measured:
        outcome.certainty = _no_certainty(outcome.labels, place)
    if query.is_blank:
        return outcome
    # Read when its turn comes: the stacks of a batch would not fit into memory together.
    image = read_again(query, work.reading, work.examples)
    if isinstance(outcome.labels, LabelRows):
        yield from _large_steps(task, image, outcome, outcome.labels)
        return outcome
    if query.axis is None:
        outcome.add((yield from task.steps(np.asarray(image))))
        return outcome
    stack = labelled_stack(task, query, image, work)
    if stack is not None:
        yield from _labelled_stack_steps(stack, outcome)
    else:
        yield from _plane_steps(task.stack_steps(image, query.axis), outcome)
    return outcome


def _no_certainty(labels: AnyLabels, place: Place) -> NDArray[np.float16] | LabelRows:
    """Return room for how likely pixels are of their labels."""
    if isinstance(labels, LabelRows):
        return LabelRows.create(place.scratch / "certainty.zarr", labels.shape, np.float16)
    return np.zeros(labels.shape, np.float16)


def _large_steps(
    task: Task, image: ArrayLike, outcome: Outcome, labels: LabelRows
) -> Generator[Progress, None, None]:
    """Segment a plane that is larger than memory into labels on disk."""
    certainty = outcome.certainty if isinstance(outcome.certainty, LabelRows) else None
    result = yield from task.large_steps(image, labels, certainty)
    outcome.take_large(result, task.provenance)


def labelled_stack(task: Task, query: Query, image: ArrayLike, work: Work) -> StackTask | None:
    """Return the task of a stack that the examples are planes of; None for any other image."""
    source = work.examples.stack_of(query.path)
    # The published method segments each plane by itself, whatever is known of its neighbors. Planes
    # and examples that were scaled one by one cannot be compared.
    comparable = task.context.runners.recipe.use_neighbors and image.dtype == np.uint8
    if source is None or query.axis is None or not comparable:
        return None
    # Of examples that were cut into tiles, none is a plane any more.
    if len(task.support) != len(work.examples.support):
        return None
    spacing = _spacing_of(query)
    return StackTask(task, LabelledStack(image, query.axis, source.pairs, spacing))


def _plane_steps(
    steps: Generator[Progress, None, object], outcome: Outcome
) -> Generator[Progress, None, None]:
    for step in steps:
        if step.prediction is not None:
            outcome.add(step.prediction, step.plane)
        yield step


def _labelled_stack_steps(stack: StackTask, outcome: Outcome) -> Generator[Progress, None, None]:
    """Segment the stack that the examples are planes of; labelled planes stay as they are."""
    for step in stack.steps():
        if step.prediction is not None:
            _keep_of_stack(step.stage, step.prediction, step.plane, outcome)
        yield step


def _keep_of_stack(stage: str, prediction: Prediction, plane: int | None, outcome: Outcome) -> None:
    # Each plane comes twice; what is noted of its first answer may not hold of the last.
    if stage == "done":
        outcome.add(replace(prediction, notes=()), plane)
    else:
        outcome.settle(prediction, plane)


def _spacing_of(query: Query) -> Spacing | None:
    """Return the distance of planes, rows and columns, if the file says them."""
    if query.axis is None:
        return None
    values = [value or 0.0 for value in query.placement.turned_spacing(query.space.spacing)]
    if len(values) != 3 or min(values) <= 0:
        return None
    along = values.pop(query.axis)
    return along, values[0], values[1]
