"""The steps of a plane that is larger than memory: rows are handed over as they are finished."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam._qt.run.request import Job, SliceNumber
from napari_iclsam._qt.run.run_progress import RunProgress
from napari_iclsam._qt.run.run_step import RunStep
from napari_iclsam.core.band_canvas import Band

if TYPE_CHECKING:
    from napari_iclsam.core.task import Task


@dataclass(slots=True, eq=False)
class _Rows:
    """Takes rows as an array does, and keeps them until they are handed over."""

    shape: tuple[int, ...]
    dtype: Any
    waiting: list[tuple[slice, NDArray[Any]]] = field(default_factory=list)

    def __setitem__(self, rows: slice, values: NDArray[Any]) -> None:
        self.waiting.append((rows, values))


def large_steps(
    task: Task, job: Job, progress: RunProgress, unit: str
) -> Generator[RunStep, None, str]:
    """Segment a plane tile by tile; return in which tiles."""
    shape = job.slices.shape[1:3]
    labels = _Rows(shape, np.dtype(np.int32))
    certainty = _Rows(shape, np.dtype(np.float32))
    number = SliceNumber(job.number, 0)
    steps = task.large_steps(job.slices.array, labels, certainty)
    while True:
        try:
            found = next(steps)
        except StopIteration as end:
            progress.count_slice()
            message = f"{unit.capitalize()} {progress.done} of {progress.total} is done"
            last = _step(progress, message, number, _bands(labels, certainty))
            yield replace(last, separations=task.support.separations)
            return f"{end.value.blank} of {end.value.tiles} tiles hold nothing."
        progress.count_tile(found)
        message = (
            f"Segmenting {unit} {progress.done + 1} of {progress.total}: {found.message.lower()}"
        )
        yield _step(progress, message, number, _bands(labels, certainty))


def _bands(labels: _Rows, certainty: _Rows) -> tuple[Band, ...]:
    """Return the rows that wait, and keep them no longer."""
    bands = []
    for (rows, painted), (_, sure) in zip(labels.waiting, certainty.waiting, strict=True):
        bands.append(Band(rows, painted, sure))
    labels.waiting.clear()
    certainty.waiting.clear()
    return tuple(bands)


def _step(
    progress: RunProgress, message: str, number: SliceNumber, bands: tuple[Band, ...]
) -> RunStep:
    step = RunStep(message, progress.done, progress.total, progress.fraction, progress.seconds)
    return replace(step, slice_number=number, bands=bands)
