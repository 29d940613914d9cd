"""How far a batch is, and how long it will take: a line on the error stream, within 80 columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.progress as bars
from rich.console import Console
from rich.table import Column

from napari_iclsam.commands.progress import WIDTH
from napari_iclsam.commands.short_names import shortened
from napari_iclsam.core.prediction import Progress


class BatchBar:
    """A bar of files, with the step of the one that is segmented and the time left.

    Parameters
    ----------
    progress : rich.progress.Progress
    total : int
        Number of files.
    clock : callable
        Returns seconds.
    """

    def __init__(
        self, progress: bars.Progress, total: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._progress = progress
        self._total = total
        self._clock = clock
        self._done = 0
        self._began: float | None = None
        self._task = progress.add_task("", total=total, left="")

    def fit(self, step: Progress) -> None:
        """Show a step of reading the examples, which is not counted."""
        self._progress.update(self._task, description=f"Examples: {step.message}")

    def begin(self) -> None:
        """Begin to measure time: from here on files are segmented."""
        self._began = self._clock()

    def step(self, name: str, step: Progress) -> None:
        """Show a step of a file; each plane of a stack is a part of the file."""
        part = step.done / step.total if step.total > 1 else 0.0
        self._show(f"{shortened(name)}: {step.message}", part)

    def finish(self, name: str) -> None:
        """Count a file that is done."""
        self._done += 1
        self._show(name, 0.0)

    def _show(self, description: str, part: float) -> None:
        done = self._done + part
        left = time_left(self._seconds(), done / self._total)
        self._progress.update(self._task, completed=done, description=description, left=left)

    def _seconds(self) -> float:
        return 0.0 if self._began is None else self._clock() - self._began


def time_left(seconds: float, share: float) -> str:
    """Say how long the rest takes, if a share of the work, from 0 to 1, took so many seconds.

    Files are taken as alike: of a mix of pictures and stacks this is no more than a guess.
    """
    if not share or not seconds:
        return ""
    rest = seconds * (1 - share) / share
    if rest < 90:
        return f"{rest:.0f} s left"
    if rest < 5400:
        return f"{rest / 60:.0f} min left"
    return f"{rest / 3600:.1f} h left"


@contextmanager
def batch_bar(total: int, console: Console | None = None) -> Iterator[BatchBar]:
    """Show a bar that vanishes when the batch is done, and is not there unless somebody watches."""
    console = console or Console(stderr=True)
    # The column in the middle takes what is left over, and cuts.
    middle = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    progress = bars.Progress(
        bars.SpinnerColumn(),
        bars.TextColumn("{task.completed:.0f} of {task.total:.0f}"),
        bars.TextColumn("{task.description}", markup=False, table_column=middle),
        bars.BarColumn(bar_width=16),
        bars.TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
        console=console,
        expand=True,
        transient=True,
        disable=not console.is_terminal,
    )
    console.width = min(console.width, WIDTH)
    with progress:
        yield BatchBar(progress, total)
