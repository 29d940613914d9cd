"""The line that shows how far a batch is."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress as Bars
from rich.text import Text

from napari_iclsam.commands.batch_bar import BatchBar, batch_bar, time_left
from napari_iclsam.core.prediction import Progress


@pytest.mark.parametrize(
    ("seconds", "share", "expected"),
    [
        (0, 0, ""),
        (10, 0, ""),
        (10, 0.5, "10 s left"),
        (60, 0.25, "3 min left"),
        (3600, 0.25, "3.0 h left"),
        (10, 1, "0 s left"),
    ],
)
def test_the_rest_takes_as_long_as_what_is_done(
    seconds: float, share: float, expected: str
) -> None:
    assert time_left(seconds, share) == expected


def test_planes_of_a_stack_are_parts_of_its_file() -> None:
    now = [0.0]
    bars = Bars(disable=True)
    bar = BatchBar(bars, 4, lambda: now[0])
    bar.begin()
    bar.finish("a.png")
    now[0] = 30.0
    bar.step("b.tif", Progress("done", "Slice 5 of 10 is done", 5, 10))
    (task,) = bars.tasks
    assert task.completed == 1.5
    assert task.fields["left"] == "50 s left"
    assert task.description == "b.tif: Slice 5 of 10 is done"


@pytest.mark.parametrize("width", [80, 200])
def test_a_line_has_at_most_eighty_columns_whatever_the_name(width: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, legacy_windows=False)
    with batch_bar(120, console) as bar:
        bar.begin()
        bar.step("a" * 150 + ".tif", Progress("embed", "Embedding slice 3 of 100", 3, 100))
    drawn = Text.from_ansi(screen.getvalue()).plain.replace("\r", "\n")
    lines = drawn.splitlines()
    assert any("0 of 120" in line for line in lines)
    assert max(map(cell_len, lines)) <= 80


def test_nothing_is_drawn_where_nobody_watches() -> None:
    screen = io.StringIO()
    with batch_bar(2, Console(file=screen, force_terminal=False)) as bar:
        bar.begin()
        bar.finish("a.png")
    assert screen.getvalue() == ""
