"""The generator that a run iterates; networks and the last task are kept between runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_iclsam._qt.background.process_state import (
    with_thread_count_kept,
    without_garbage_collection,
)
from napari_iclsam._qt.run.request import Job, Request, SliceNumber
from napari_iclsam._qt.run.run_progress import RunProgress
from napari_iclsam._qt.run.run_step import RunStep, RunSummary
from napari_iclsam._qt.run.segmenter_store import SegmenterStore
from napari_iclsam._qt.viewer.label_styles import compile_colors
from napari_iclsam.core.images.intensity import check_image
from napari_iclsam.core.images.planes import PlaneError
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.prediction import Prediction, Progress
from napari_iclsam.core.steps import mapped

if TYPE_CHECKING:
    from napari_iclsam.core.segmenter import ICLSAM
    from napari_iclsam.core.task import Task


class Session:
    """Networks and the last task, kept from run to run: the second run is quick.

    Parameters
    ----------
    segmenters : SegmenterStore
    """

    def __init__(self, segmenters: SegmenterStore) -> None:
        self._segmenters = segmenters
        self._task: Task | None = None
        self._fitted_by: ICLSAM | None = None

    def steps(self, request: Request) -> Generator[RunStep, None, RunSummary]:
        """Fit the task and segment all slices, step by step. Iterated in the worker.

        Raises
        ------
        ValueError, TypeError, OSError, MemoryError
            See `napari_iclsam.core`; the messages are for the user.
        """
        progress = RunProgress(request.total)
        yield _step(progress, "Loading the models")
        segmenter = self._segmenters.get(request.models, request.settings)
        # before networks are loaded: faulty examples are reported at once
        support = request.read_support()
        with without_garbage_collection():
            segmenter.networks  # noqa: B018 (loads them)
        with without_garbage_collection(), with_thread_count_kept():
            compile_colors(support.styles)
        task = yield from self._task_steps(segmenter, request, support, progress)
        absences: Counter[int] = Counter()
        for job in request.jobs:
            yield from _job_steps(task, job, progress, absences)
        return RunSummary(
            progress.done,
            progress.seconds,
            task.provenance.device,
            (*_expected_quality(task), *_absent_labels(support, absences, progress.done)),
        )

    def forget_task(self) -> None:
        """Fit the next task anew, whatever its examples."""
        self._task = None

    def _task_steps(
        self, segmenter: ICLSAM, request: Request, support: SupportSet, progress: RunProgress
    ) -> Generator[RunStep, None, Task]:
        """Return the last task if it is this one, else fit it."""
        task = self._task
        if task is not None and self._fitted_by is segmenter and _is_same(task.support, support):
            return task
        from napari_iclsam.core.in_context.fine_tuning import STEPS

        def as_run_step(fitted: Progress) -> RunStep:
            expected = STEPS if fitted.stage == "fine_tune" else len(support)
            progress.count_preparation(fitted, expected)
            if fitted.prediction is None:
                return _step(progress, fitted.message)
            return _step(
                progress, fitted.message, request.preview, fitted.prediction, is_preview=True
            )

        steps = segmenter.fit_steps(support, _read_preview(request))
        task = yield from mapped(steps, as_run_step)
        self._task = task
        self._fitted_by = segmenter
        return task


def _job_steps(
    task: Task, job: Job, progress: RunProgress, absences: Counter[int]
) -> Generator[RunStep, None, None]:
    """Segment the slices of one image; count in how many of them a label was not found."""
    progress.start_job()
    for found in _located_steps(task, job):
        if found.prediction is None:
            message = f"Segmenting slice {progress.done + 1} of {progress.total}"
            yield _step(progress, message)
            continue
        progress.count_slice()
        for label, boxes in found.prediction.boxes.items():
            absences[label] += not len(boxes)
        assert found.plane is not None
        message = f"Slice {progress.done} of {progress.total} is done"
        yield _step(progress, message, SliceNumber(job.number, found.plane), found.prediction)


def _located_steps(task: Task, job: Job) -> Generator[Progress, None, None]:
    """Segment the slices of a job; an error names the image and the position of the slice."""
    try:
        yield from task.stack_steps(job.slices)
    except PlaneError as error:
        position = ", ".join(map(str, job.slices.positions[error.plane]))
        place = f"{job.name}, slice {position}" if position else job.name
        raise ValueError(f"{place}: {error.reason}") from error


def _step(
    progress: RunProgress,
    message: str,
    slice_number: SliceNumber | None = None,
    prediction: Prediction | None = None,
    *,
    is_preview: bool = False,
) -> RunStep:
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


def _read_preview(request: Request) -> NDArray[Any] | None:
    """Read the slice of the preview; None if it is no image, which is said when its turn comes."""
    if request.preview is None:
        return None
    slices = request.jobs[request.preview.job].slices
    try:
        return check_image(slices[request.preview.number])
    except (ValueError, TypeError):
        return None


def _is_same(a: SupportSet, b: SupportSet) -> bool:
    return a.fingerprint() == b.fingerprint() and a.styles == b.styles


def _expected_quality(task: Task) -> list[str]:
    """Return a sentence for each label on how well the examples segmented each other."""
    sentences = []
    for label, score in task.cross_validated.items():
        sentences.append(f"{task.support.name(label)}: expected Dice about {score.fused:.2f}.")
    return sentences


def _absent_labels(support: SupportSet, absences: Counter[int], slices: int) -> list[str]:
    """Return a sentence on the labels that were found in none of so many slices."""
    absent = []
    for label in support.ids:
        if slices and absences[label] == slices:
            absent.append(support.name(label))
    return [f"Nothing found of: {', '.join(absent)}."] if absent else []
