"""The generator that a run iterates; networks and the last task are kept between runs."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari_iclsam._qt.background.process_state import (
    with_thread_count_kept,
    without_garbage_collection,
)
from napari_iclsam._qt.run.example_stack import example_stack_of, read_preview
from napari_iclsam._qt.run.job_steps import request_steps, run_step
from napari_iclsam._qt.run.request import Request
from napari_iclsam._qt.run.run_notes import (
    SliceNotes,
    absent_labels,
    expectation,
    expected_overlap,
    interpolated_slices,
    seen_in_tiles,
)
from napari_iclsam._qt.run.run_progress import RunProgress
from napari_iclsam._qt.run.run_step import RunStep, RunSummary
from napari_iclsam._qt.run.segmenter_store import SegmenterStore
from napari_iclsam._qt.viewer.label_styles import compile_colors
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.prediction import Progress
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
        # of the last task: its own may have been cut into tiles
        self._support: SupportSet | None = None
        self._fitted_by: ICLSAM | None = None
        self._is_sparing = False

    @classmethod
    def with_cache(cls, cache_bytes: int | None) -> Session:
        """Return a session that finds models by name and keeps so many bytes of embeddings."""
        return cls(SegmenterStore(cache_bytes))

    def steps(self, request: Request) -> Generator[RunStep, None, RunSummary]:
        """Fit the task and segment all slices, step by step. Iterated in the worker.

        Raises
        ------
        ValueError, TypeError, OSError, MemoryError
            See `napari_iclsam.core`; the messages are for the user.
        """
        progress = RunProgress(request.total)
        yield run_step(progress, "Loading the models")
        segmenter = self._segmenters.get(request.models, request.settings)
        # before networks are loaded: faulty examples are reported at once
        support = request.read_support()
        given = support.decided_labels()
        yield replace(run_step(progress, "Loading the models"), example_labels=given)
        stack = None
        if segmenter.uses_neighbors:
            stack = example_stack_of(request)
        if stack is not None:
            support = stack.on_one_scale(support)
        with without_garbage_collection():
            segmenter.networks  # noqa: B018 (loads them)
        with without_garbage_collection(), with_thread_count_kept():
            compile_colors(support.styles)
        preview = read_preview(request, stack)
        # of a stack, the labelled slices tell the rest
        fit = partial(segmenter.fit_steps, support, preview, sparing=stack is not None)
        task = yield from self._task_steps(segmenter, request, support, fit, progress)
        notes = SliceNotes()
        failures = yield from request_steps(task, stack, request, progress, notes)
        # a stack whose slices are the examples is seen slice by slice, as a whole
        tiles = seen_in_tiles(task, request) if stack is None else []
        return RunSummary(
            progress.done,
            progress.seconds,
            task.provenance.device,
            (*interpolated_slices(notes), *failures, *tiles, *absent_labels(support, notes)),
            request.unit,
            expected_overlap(task),
            expectation(task),
        )

    def forget_task(self) -> None:
        """Fit the next task anew, whatever its examples."""
        self._task = None

    def _task_steps(
        self,
        segmenter: ICLSAM,
        request: Request,
        support: SupportSet,
        fit: partial[Generator[Progress, None, Task]],
        progress: RunProgress,
    ) -> Generator[RunStep, None, Task]:
        """Return the last task if it is this one, else fit it."""
        task = self._task
        is_known = self._fitted_by is segmenter and self._is_sparing == fit.keywords["sparing"]
        if task is not None and is_known and _is_same(self._support, support):
            return task
        from napari_iclsam.core.in_context.fine_tuning import schedule_for

        tuning_steps = schedule_for(sparing=fit.keywords["sparing"]).steps

        def as_run_step(fitted: Progress) -> RunStep:
            expected = tuning_steps if fitted.stage == "fine_tune" else len(support)
            progress.count_preparation(fitted, expected)
            if fitted.prediction is None:
                return run_step(progress, fitted.message)
            return run_step(
                progress, fitted.message, request.preview, fitted.prediction, is_preview=True
            )

        task = yield from mapped(fit(), as_run_step)
        self._task = task
        self._support = support
        self._fitted_by = segmenter
        self._is_sparing = fit.keywords["sparing"]
        return task


def _is_same(a: SupportSet | None, b: SupportSet) -> bool:
    if a is None:
        return False
    return a.fingerprint() == b.fingerprint() and a.styles == b.styles
