"""A run as the viewer shows it: each prediction is written as soon as it is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_iclsam._qt.run.request import Job, Request
from napari_iclsam._qt.run.run_step import RunStep
from napari_iclsam._qt.viewer.earlier_result import EarlierResult
from napari_iclsam._qt.viewer.example import LayerExample
from napari_iclsam._qt.viewer.large_results import LargeWriter
from napari_iclsam._qt.viewer.result_style import ResultStyle
from napari_iclsam._qt.viewer.result_writer import ResultWriter
from napari_iclsam._qt.viewer.results import Results


@dataclass(frozen=True, slots=True, eq=False)
class JobImage:
    """The layer whose slices a job segments.

    Attributes
    ----------
    image : Layer
    level : int
        Of a multiscale image.
    examples : mapping of int to LayerExample
        By number among the examples of the run: those whose labels belong into its result.
    """

    image: Layer
    level: int
    examples: Mapping[int, LayerExample] = field(default_factory=dict)


class LiveRun:
    """A run that is on, with the layers that it writes into.

    Parameters
    ----------
    request : Request
    images : sequence of JobImage
        By number of the job.
    style : ResultStyle
    results : Results
    """

    def __init__(
        self, request: Request, images: Sequence[JobImage], style: ResultStyle, results: Results
    ) -> None:
        self.request = request
        self._images = images
        self._style = style
        self._results = results
        self._writers: dict[int, ResultWriter] = {}
        self._large: dict[int, LargeWriter] = {}
        self._example_labels: Sequence[NDArray[Any]] = ()
        # made now, while the worker begins: making and adding a layer each take a while
        self._prepared: Labels | None = None
        first = images[0]
        if not request.jobs[0].is_large and self._choose_layer(request.jobs[0]) is None:
            self._prepared = results.make_layer(first.image, first.level, style)

    def write(self, step: RunStep) -> None:
        """Write the prediction of a step, if it has one."""
        if step.example_labels:
            self._example_labels = step.example_labels
        if step.failure is not None:
            self._results.failures[self._images[step.failure.job].image] = step.failure.reason
        if step.bands:
            assert step.slice_number is not None
            self._large_writer(step.slice_number.job).write(step.bands, step.separations)
        if step.prediction is None:
            return
        assert step.slice_number is not None
        writer = self._writer(step.slice_number.job)
        number = step.slice_number.number
        # a preview is worse than what the whole method found in an earlier run
        if not (step.is_preview and writer.has(number)):
            writer.write(number, step.prediction)

    def refresh(self) -> None:
        """Show what was written."""
        for writer in self._all_writers.values():
            if writer.is_alive:
                writer.refresh()

    def finish(self) -> None:
        """End the run, by itself or by the user."""
        for writer in self._writers.values():
            writer.finish()

    @property
    def is_orphaned(self) -> bool:
        """Whether the layer that was written into last is no longer in the viewer."""
        writers = self._all_writers
        return bool(writers) and not writers[max(writers)].is_alive

    @property
    def kept(self) -> int:
        """Number of slices that stay as a person corrected them."""
        return sum(len(writer.kept) for writer in self._writers.values())

    @property
    def layers(self) -> list[Labels]:
        """The layers that were written into."""
        return [writer.labels for writer in self._all_writers.values()]

    @property
    def places(self) -> list[str]:
        """Where results on disk are, in words."""
        return [writer.sentence for writer in self._large.values()]

    @property
    def replaced(self) -> list[EarlierResult]:
        """What was replaced of earlier results."""
        kept = [writer.earlier for writer in self._writers.values() if writer.is_alive]
        return [each for each in kept if each is not None and each.holds_any]

    def _writer(self, job_number: int) -> ResultWriter:
        if job_number not in self._writers:
            self._writers[job_number] = self._open_writer(self.request.jobs[job_number])
        return self._writers[job_number]

    @property
    def _all_writers(self) -> dict[int, ResultWriter | LargeWriter]:
        return {**self._writers, **self._large}

    def _large_writer(self, job_number: int) -> LargeWriter:
        if job_number not in self._large:
            on = self._images[job_number]
            self._large[job_number] = LargeWriter(
                self._results.viewer, on.image, on.level, self._style
            )
            self._results.failures.pop(on.image, None)
        return self._large[job_number]

    def _open_writer(self, job: Job) -> ResultWriter:
        on = self._images[job.number]
        labels = self._choose_layer(job)
        if labels is None:
            # what was prepared is of the first image, which may have failed
            prepared = self._prepared if job.number == 0 else None
            labels = prepared or self._results.make_layer(on.image, on.level, self._style)
            self._results.add_layer(labels)
        self._results.follow(on.image)
        self._prepared = None
        self._results.failures.pop(on.image, None)
        writer = ResultWriter(self._results, labels, on.image, on.level, job.slices, self._style)
        for number, example in on.examples.items():
            # an example that was a correction is in the result already
            if example.labels is not labels:
                writer.copy(example.image_position, self._example_labels[number])
        return writer

    def _choose_layer(self, job: Job) -> Labels | None:
        on = self._images[job.number]
        return self._results.choose_layer(on.image, on.level, job.slices, self._style)
