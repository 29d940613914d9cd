"""Files segmented one after the other, in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

from napari_iclsam.commands.batch_bar import BatchBar
from napari_iclsam.commands.file_run import FileReport, FileWork, file_steps
from napari_iclsam.commands.model import Model
from napari_iclsam.commands.query_run import Work
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.task import Task


def run_here(
    work: Work, model: Model, files: Sequence[FileWork], bar: BatchBar
) -> Generator[FileReport, None, None]:
    """Fit a task and segment files by it, and yield what became of each.

    Raises
    ------
    OSError, ValueError
        If the task cannot be fitted.
    """
    task = _fit(work, model, bar)
    bar.begin()
    for file in files:
        with closing(file_steps(task, file, work)) as steps:
            yield _follow(steps, file.path.name, bar)


def _fit(work: Work, model: Model, bar: BatchBar) -> Task:
    steps = model.segmenter().fit_steps(work.examples.support)
    while True:
        try:
            bar.fit(next(steps))
        except StopIteration as end:
            task: Task = end.value
            return task


def _follow(steps: Generator[Progress, None, FileReport], name: str, bar: BatchBar) -> FileReport:
    while True:
        try:
            bar.step(name, next(steps))
        except StopIteration as end:
            report: FileReport = end.value
            return report
