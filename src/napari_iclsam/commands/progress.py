"""Steps of the method as progress bars on the error stream: the output can go to a file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import rich.progress as bars
from rich.console import Console
from rich.table import Column

from napari_iclsam.commands.short_names import shortened
from napari_iclsam.core.prediction import Progress
from napari_iclsam.weights.transfer import Transfer

T = TypeVar("T")

WIDTH = 80
"""Columns at most: what is longer would wrap in a usual terminal, and be drawn again and again."""


def follow(
    steps: Generator[Progress, None, T],
    title: str,
    on_step: Callable[[Progress], object] | None = None,
) -> T:
    """Run steps to their end, show how far they are, and return what they return."""
    with _bar(bars.MofNCompleteColumn(), bars.TimeElapsedColumn()) as progress:
        task = progress.add_task(title, total=None)
        # A for loop would lose what the steps return.
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if on_step is not None:
                on_step(step)
            # A single image has no count worth showing.
            total = step.total if step.total > 1 else None
            description = f"{shortened(title)}: {step.message}"
            progress.update(task, completed=step.done, total=total, description=description)


@contextmanager
def transfer_bar(title: str) -> Iterator[Callable[[Transfer], None]]:
    """Show how far a download or a check is; yields what to call at each step."""
    with _bar(
        bars.DownloadColumn(), bars.TransferSpeedColumn(), bars.TimeRemainingColumn()
    ) as progress:
        task = progress.add_task(title, total=None)

        def show(transfer: Transfer) -> None:
            description = f"{shortened(title)}: {transfer.stage}"
            progress.update(
                task, completed=transfer.done, total=transfer.total, description=description
            )

        yield show


def _bar(*columns: bars.ProgressColumn) -> bars.Progress:
    """Return a bar that vanishes when it is done, and is not drawn unless somebody watches."""
    # The output may be piped into a file or a program.
    console = Console(stderr=True)
    console.width = min(console.width, WIDTH)
    # the description takes what the others leave over, and is cut
    middle = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    return bars.Progress(
        bars.SpinnerColumn(),
        bars.TextColumn("{task.description}", markup=False, table_column=middle),
        bars.BarColumn(bar_width=12),
        *columns,
        console=console,
        expand=True,
        transient=True,
        disable=not console.is_terminal,
    )
