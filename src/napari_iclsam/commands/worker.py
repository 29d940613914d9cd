"""What a worker process does: fit a task once, then segment files by it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

from napari_iclsam.commands.examples import ReadExamples
from napari_iclsam.commands.file_run import FileReport, FileWork, file_steps
from napari_iclsam.commands.inputs import Reading
from napari_iclsam.commands.model import Model
from napari_iclsam.commands.query_run import NO_OBJECTS, ObjectWishes, Work
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.steps import drain
from napari_iclsam.core.task import Task
from napari_iclsam.core.task_file import SavedTask, read_task, write_task

T = TypeVar("T")


class StoppedError(Exception):
    """The run was stopped by who began it."""


@dataclass(frozen=True, slots=True, eq=False)
class SentTask:
    """A task for worker processes, small enough to be sent with each file.

    Attributes
    ----------
    file : Path
        Task file, on a disk that all workers see.
    device : str
    examples : ReadExamples
        Without their images and labels, which are in the file.
    reading : Reading
    stop : Path
        Workers stop as soon as this file exists: a message would not reach a function that runs.
    objects : ObjectWishes
    """

    file: Path
    device: str
    examples: ReadExamples
    reading: Reading
    stop: Path
    objects: ObjectWishes = NO_OBJECTS


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A task that is fitted in this process."""

    task: Task
    work: Work


_fitted: dict[Path, Fitted] = {}
"""The task of this process by its file: models are loaded, and the task is fitted, once."""


def send_task(work: Work, model: Model, folder: Path) -> SentTask:
    """Write a task into a folder that workers see, and return what they are sent.

    Raises
    ------
    OSError
        Such as a full disk; it names the folder.
    """
    file = folder / "task.iclsam"
    saved = SavedTask(work.examples.support, model.settings, model.choice)
    try:
        write_task(saved, file)
    except OSError as error:
        why = error.strerror or str(error)
        message = f"{why}; the task for the workers is written there"
        raise OSError(error.errno, message, str(folder.parent)) from error
    examples = replace(work.examples, support=SupportSet((), (), ()))
    stop = folder / "stop"
    return SentTask(file, model.choice.device, examples, work.reading, stop, work.objects)


def use_threads(count: int) -> None:
    """Let the arithmetic of this process use so many threads, and no more."""
    torch.set_num_threads(count)
    threadpool_limits(count)


def fitted(sent: SentTask) -> Fitted:
    """Return the task, fitted in this process.

    Raises
    ------
    OSError, ValueError
        See `napari_iclsam.load_task`.
    """
    if sent.file not in _fitted:
        saved = read_task(sent.file)
        model = Model(replace(saved.models, device=sent.device), saved.settings)
        task = drain(model.segmenter().fit_steps(saved.support))
        examples = replace(sent.examples, support=saved.support)
        # One task at a time: networks are large.
        _fitted.clear()
        _fitted[sent.file] = Fitted(task, Work(examples, sent.reading, sent.objects))
    return _fitted[sent.file]


def segment_file(sent: SentTask, file: FileWork) -> FileReport:
    """Segment a file and publish its result.

    Raises
    ------
    StoppedError
        If the run was stopped meanwhile.
    ValueError
        If the task cannot be fitted. What is wrong with the file is in its report.
    """
    here = fitted_or_said(sent)
    return drain_unless_stopped(sent, file_steps(here.task, file, here.work))


def drain_unless_stopped(sent: SentTask, steps: Generator[Any, None, T]) -> T:
    """Run steps to their end, and return what they return.

    Raises
    ------
    StoppedError
        If the run was stopped meanwhile.
    """
    with closing(steps):
        while True:
            # When a run is over, its task is gone, and so is the file that says to stop.
            if sent.stop.exists() or not sent.file.exists():
                raise StoppedError
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result


def fitted_or_said(sent: SentTask) -> Fitted:
    """Return the task, fitted in this process; errors are ones that can be sent to another.

    Raises
    ------
    ValueError
        If the task cannot be fitted.
    """
    try:
        return fitted(sent)
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
        # Some errors cannot be sent to another process, their words can.
        raise ValueError(str(error)) from None
