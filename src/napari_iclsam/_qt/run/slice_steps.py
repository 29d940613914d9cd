"""The steps of segmenting the slices of an image, by themselves or as slices of a stack."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_iclsam._qt.run.example_stack import ExampleStack
from napari_iclsam._qt.run.request import Job
from napari_iclsam._qt.viewer.layers import position_in_words
from napari_iclsam.core.images.planes import PlaneError
from napari_iclsam.core.prediction import Progress

if TYPE_CHECKING:
    from napari_iclsam.core.task import Task


def slice_steps(
    task: Task, stack: ExampleStack | None, job: Job, *, interpolate: bool = True
) -> Generator[Progress, None, None]:
    """Segment the slices of a job; an error names the image and the position of the slice.

    Slices of a stack may be interpolated, if ``interpolate`` is true.
    """
    try:
        if stack is None:
            yield from task.stack_steps(job.slices)
        else:
            yield from _stack_steps(task, stack, job, interpolate=interpolate)
    except PlaneError as error:
        at = job.slices.positions[error.plane] if stack is None else (error.plane,)
        place = f"{job.name}, {position_in_words(job.stack_names, at)}" if at else job.name
        raise ValueError(f"{place}: {error.reason}") from error


def _stack_steps(
    task: Task, stack: ExampleStack, job: Job, *, interpolate: bool
) -> Generator[Progress, None, None]:
    """Segment slices of the stack that the examples are slices of; number them as the job does."""
    from napari_iclsam.core.labelled_stack import LabelledStack
    from napari_iclsam.core.stack_task import StackTask

    labelled = LabelledStack(stack.volume, 0, stack.pairs, job.spacing)
    planes = stack.planes_of(job)
    number_of = {plane: number for number, plane in enumerate(planes)}
    for step in StackTask(task, labelled, interpolate=interpolate).steps(planes):
        if step.plane is None:
            yield step
        else:
            yield replace(step, plane=number_of[step.plane])
