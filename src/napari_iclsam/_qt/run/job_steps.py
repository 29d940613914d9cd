"""The steps of one image of a run, as the dock shows them; an image that fails is a step, too."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_iclsam._qt.background.runner import EXPECTED
from napari_iclsam._qt.run.example_stack import ExampleStack
from napari_iclsam._qt.run.large_steps import large_steps
from napari_iclsam._qt.run.request import Job, Request, SliceNumber
from napari_iclsam._qt.run.run_notes import SliceNotes
from napari_iclsam._qt.run.run_progress import RunProgress
from napari_iclsam._qt.run.run_step import JobFailure, RunStep
from napari_iclsam._qt.run.slice_steps import slice_steps
from napari_iclsam.core.large_image import TILE
from napari_iclsam.core.prediction import Prediction, Progress

if TYPE_CHECKING:
    from napari_iclsam.core.task import Task


def request_steps(
    task: Task,
    stack: ExampleStack | None,
    request: Request,
    progress: RunProgress,
    notes: SliceNotes,
) -> Generator[RunStep, None, tuple[str, ...]]:
    """Segment all images of a run, and say which of them could not be segmented, and why."""
    sentences: list[str] = []
    for job in request.jobs:
        if job.is_large and task.is_tiled((job.slices.shape[1], job.slices.shape[2])):
            steps = _large_steps(task, job, progress, request.unit, sentences)
        else:
            found = slice_steps(task, stack, job, interpolate=request.interpolate)
            steps = _job_steps(found, job, progress, notes, request.unit)
        # one of several images does not stop the others
        if len(request.jobs) > 1:
            steps = _until_failure(steps, job, progress, sentences)
        yield from steps
    return tuple(sentences)


def _large_steps(
    task: Task, job: Job, progress: RunProgress, unit: str, sentences: list[str]
) -> Generator[RunStep, None, None]:
    progress.start_job()
    sentences.append((yield from large_steps(task, job, progress, unit)))


def _job_steps(
    steps: Generator[Progress, None, None],
    job: Job,
    progress: RunProgress,
    notes: SliceNotes,
    unit: str,
) -> Generator[RunStep, None, None]:
    """Segment the slices of one image; note what is to be known of them."""
    progress.start_job()
    for found in steps:
        if found.prediction is None:
            message = f"Segmenting {unit} {progress.done + 1} of {progress.total}"
            if found.stage == "settle":
                message = "Comparing neighboring slices"
            # of a large image, whose tiles take long
            if found.message.startswith(TILE):
                message = f"{message}: {found.message.lower()}"
            yield run_step(progress, message)
            continue
        if found.stage == "done":
            progress.count_slice()
        assert found.plane is not None
        notes.take(job.number, found.plane, found.prediction)
        message = f"{unit.capitalize()} {progress.done} of {progress.total} is done"
        yield run_step(progress, message, SliceNumber(job.number, found.plane), found.prediction)


def _until_failure(
    steps: Generator[RunStep, None, None], job: Job, progress: RunProgress, failures: list[str]
) -> Generator[RunStep, None, None]:
    """Run the steps of a job; what is wrong with its image is a step, and a sentence."""
    try:
        yield from steps
    except EXPECTED as error:
        failures.append(f"Not segmented: {job.name}: {error}")
        message = f"{job.name} cannot be segmented"
        yield replace(run_step(progress, message), failure=JobFailure(job.number, str(error)))


def run_step(
    progress: RunProgress,
    message: str,
    slice_number: SliceNumber | None = None,
    prediction: Prediction | None = None,
    *,
    is_preview: bool = False,
) -> RunStep:
    """Return a step with the progress as it is now."""
    return RunStep(
        message,
        progress.done,
        progress.total,
        progress.fraction,
        progress.seconds,
        slice_number,
        prediction,
        is_preview,
    )
