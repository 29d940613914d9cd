"""One file of a batch: read, segmented, its result published, and a report of what went wrong."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napari_iclsam.commands.object_results import StoredResult, result_steps
from napari_iclsam.commands.outputs import check_targets
from napari_iclsam.commands.queries import Query, read_query
from napari_iclsam.commands.query_run import Place, Work, query_steps
from napari_iclsam.commands.records import Record, image_checksum, record_path, write_record
from napari_iclsam.commands.report import Outcome
from napari_iclsam.commands.task_facts import TaskFacts
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.task import Task
from napari_iclsam.files import check_writable_as, publish, remove, write_labels

State = Literal["done", "kept", "failed"]
"""Of a file of a batch: segmented now, segmented by an earlier run, or not at all."""

_STOPS_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of the disk that all other files would meet, too."""


@dataclass(frozen=True, slots=True)
class FileWork:
    """A file to segment.

    Attributes
    ----------
    path, output : Path
    task : str
        Checksum of the task, for the record.
    workshop : Path
        Folder on the disk of the result, for what is being written.
    overwrite : bool
        Whether a result that exists may be replaced.
    table : Path, optional
        Where the measurements of its objects go, if they are wanted.
    """

    path: Path
    output: Path
    task: str
    workshop: Path
    overwrite: bool
    table: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OpenedFile:
    """A file that was read and checked.

    Attributes
    ----------
    query : Query
    checksum : str
        Of the file before it was read.
    """

    query: Query
    checksum: str


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """What was found in a file, and what is written of it."""

    outcome: Outcome
    result: StoredResult


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of a file.

    Attributes
    ----------
    path, output : Path
    state : State
    entry : mapping
        What a report says of it; empty if it failed.
    lines : tuple of str
        Likewise, for people.
    error : str
        Why it failed.
    facts : TaskFacts, optional
        Of the task that it was segmented by.
    disk_error : int, optional
        Number of an error of the system that stops all other files, too.
    """

    path: Path
    output: Path
    state: State
    entry: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    error: str = ""
    facts: TaskFacts | None = None
    disk_error: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        if self.state == "failed":
            return {"query": str(self.path), "output": None, "error": self.error}
        return dict(self.entry)


def file_steps(task: Task, file: FileWork, work: Work) -> Generator[Progress, None, FileReport]:
    """Segment a file step by step and publish its result; return what became of it."""
    try:
        return (yield from _steps(task, file, work))
    # Whatever is wrong with one file, the others of the batch are to be segmented.
    except Exception as error:  # noqa: BLE001
        return failed(file, error)


def failed(file: FileWork, error: Exception) -> FileReport:
    """Return the report of a file that met an error."""
    number = error.errno if isinstance(error, OSError) else None
    disk_error = number if number in _STOPS_ALL else None
    return FileReport(
        file.path, file.output, "failed", error=_in_words(error), disk_error=disk_error
    )


def _in_words(error: Exception) -> str:
    """Return what went wrong in one line."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}."
    text = " ".join(str(error).split())
    # An error that is not worded for users is named, so that it can be looked up.
    is_ours = isinstance(error, ValueError | TypeError | OSError | ImportError)
    return text if is_ours and text else f"{type(error).__name__}: {text}"


def _steps(task: Task, file: FileWork, work: Work) -> Generator[Progress, None, FileReport]:
    opened = open_file(file, work, task)
    with being_written(file.output, file.workshop) as place:
        scratch = place.with_name(f"{place.name}-parts")
        where = Place(file.output, scratch)
        outcome = yield from query_steps(task, opened.query, where, work)
        result = yield from result_steps(outcome, work, scratch)
        return publish_result(Segmented(outcome, result), file, opened, task)


def open_file(file: FileWork, work: Work, task: Task) -> OpenedFile:
    """Read and check a file, and that its result can be written.

    Raises
    ------
    OSError, ValueError
        See `read_query` and `check_writable_as`.
    """
    # Before it is read: a file that is changed meanwhile is not taken for done later on.
    checksum = image_checksum(file.path)
    query = read_query(file.path, work.reading, work.examples, blank_allowed=True)
    highest = max(task.support.ids)
    check_writable_as(file.output, highest, stack=query.axis is not None, space=query.space)
    return OpenedFile(query, checksum)


def publish_result(
    segmented: Segmented, file: FileWork, opened: OpenedFile, task: Task
) -> FileReport:
    """Write the result of a file, and return the report of it.

    Raises
    ------
    OSError
        Such as a full disk; it names the result.
    """
    outcome = segmented.outcome
    _write_table(segmented.result, file)
    _write(segmented, file, opened.checksum)
    return FileReport(
        file.path,
        file.output,
        "done",
        entry=outcome.to_dict(),
        lines=tuple(outcome.lines()),
        facts=TaskFacts.of(task),
    )


def _write_table(result: StoredResult, file: FileWork) -> None:
    """Write the measurements of a file, if they are wanted; they appear complete."""
    if result.table is None or file.table is None:
        return
    with being_written(file.table, file.workshop) as place:
        result.table.write_csv(place)
        file.table.parent.mkdir(parents=True, exist_ok=True)
        # Copied: a folder of tables may be on another disk.
        shutil.move(place, file.table)


def _write(segmented: Segmented, file: FileWork, checksum: str) -> None:
    """Write the labels of a file; they appear complete, and after their record."""
    result = segmented.result
    query = segmented.outcome.query
    record = Record(file.task, checksum, segmented.outcome.to_dict())
    with being_written(file.output, file.workshop) as place:
        write_labels(place, result.labels, query.space, result.styles)
        record_place = place.with_name(f"{place.name}.json")
        write_record(record_place, record)
        check_targets([file.output], overwrite=file.overwrite)
        # An old result beside the new record would be taken for the new one.
        remove(file.output)
        # A result without a record would be in the way of the next run; a record alone is not.
        record_place.replace(record_path(file.output))
        publish(place, file.output)


@contextmanager
def being_written(target: Path, workshop: Path) -> Iterator[Path]:
    """Yield where to write a target; what is left under this name when the block ends is removed.

    Raises
    ------
    OSError
        Such as a full disk; it names the target.
    """
    # The whole name is kept: writers choose the format by its suffix.
    place = workshop / f"{uuid.uuid4().hex[:12]}-{target.name}"
    try:
        yield place
    except OSError as error:
        # One without a number is a message of ours, which names the file already.
        if error.errno is None:
            raise
        why = error.strerror or os.strerror(error.errno)
        message = f"{why}; nothing of this file was kept"
        raise OSError(error.errno, message, str(target)) from error
    finally:
        for left in workshop.glob(f"{place.name}*"):
            remove(left)
