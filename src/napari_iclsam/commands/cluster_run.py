"""Files segmented by the workers of a dask cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from napari_iclsam.cluster.calls import Answer, Calls, running_calls
from napari_iclsam.cluster.connect import connected
from napari_iclsam.commands.batch_bar import BatchBar
from napari_iclsam.commands.file_run import FileReport, FileWork, failed
from napari_iclsam.commands.stack_parts import Divided, begin_file, join_parts, segment_part
from napari_iclsam.commands.worker import SentTask
from napari_iclsam.core.prediction import Progress


def run_on_cluster(
    sent: SentTask, files: Sequence[FileWork], scheduler: str, bar: BatchBar
) -> Generator[FileReport, None, None]:
    """Segment files on a cluster, and yield what became of each, as soon as it is known.

    Pictures, and stacks with labelled planes, are a call each; other stacks are one in
    `napari_iclsam.commands.stack_parts.PLANES` planes. Workers write the results.

    Raises
    ------
    ConnectionError, ImportError
        See `connected`.
    ValueError
        If the task cannot be fitted.
    """
    with connected(scheduler) as client:
        bar.begin()
        try:
            with running_calls(client) as calls:
                run = _Run(sent, calls, bar)
                for file in files:
                    calls.add(file, begin_file, sent, file)
                for answer in calls.answers():
                    report = run.take(answer)
                    if report is not None:
                        yield report
        finally:
            # A function that runs does not hear of it that its call was withdrawn.
            sent.stop.touch()


class _Run:
    """Stacks that are segmented in parts at the moment, and what follows a part."""

    def __init__(self, sent: SentTask, calls: Calls[FileWork], bar: BatchBar) -> None:
        self._sent = sent
        self._calls = calls
        self._bar = bar
        self._divided: dict[FileWork, Divided] = {}
        self._missing: dict[FileWork, int] = {}

    def take(self, answer: Answer[FileWork]) -> FileReport | None:
        """Take an answer; return the report of its file if there is nothing left to do for it."""
        file = answer.about
        if isinstance(answer.error, MemoryError):
            return self._end(file, failed(file, answer.error))
        # The task itself is at fault, which all files would meet.
        if answer.error is not None:
            raise answer.error
        result: Any = answer.result
        if isinstance(result, Divided):
            self._divide(file, result)
            return None
        if isinstance(result, FileReport):
            return self._end(file, result)
        self._count_part(file)
        return None

    def _divide(self, file: FileWork, divided: Divided) -> None:
        parts = divided.parts()
        self._divided[file] = divided
        self._missing[file] = len(parts)
        for planes in parts:
            self._calls.add(file, segment_part, self._sent, file, planes)

    def _count_part(self, file: FileWork) -> None:
        # One of its parts has failed already, and so has the stack.
        if file not in self._missing:
            return
        self._missing[file] -= 1
        total = len(self._divided[file].parts())
        done = total - self._missing[file]
        message = f"Part {done} of {total} is done"
        self._bar.step(file.path.name, Progress("done", message, done, total))
        if not self._missing[file]:
            self._calls.add(file, join_parts, self._sent, file, self._divided[file])

    def _end(self, file: FileWork, report: FileReport) -> FileReport | None:
        """Return the report of a file, once."""
        was_divided = file in self._divided
        if was_divided and self._missing.pop(file, None) is None:
            return None
        return report
