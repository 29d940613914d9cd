"""The line that shows how far a batch is."""

from __future__ import annotations

import io
from collections.abc import Generator

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress as Bars
from rich.text import Text

from napari_iclsam.commands.batch_bar import BatchBar, batch_bar, time_left
from napari_iclsam.commands.progress import follow, transfer_bar
from napari_iclsam.commands.short_names import shortened
from napari_iclsam.core.prediction import Progress
from napari_iclsam.weights.transfer import Transfer


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


def test_a_long_name_keeps_the_end_that_tells_it_from_others() -> None:
    names = {shortened(f"2026-03-04_plate_07_well_B{well:02}.tif") for well in range(12)}
    assert len(names) == 12
    assert max(map(len, names)) == 18
    assert shortened("cell.png") == "cell.png"
    assert shortened("cell of plate 7.ome.tif", 16) == "cell of plate 7"
    assert shortened("plate-07_well-B02_field-002.nii.gz, z 3", 16) == "plate…d-002, z 3"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Take what is drawn on the error stream, as a wide terminal."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200, legacy_windows=False)
    monkeypatch.setattr("napari_iclsam.commands.progress.Console", lambda **_: console)
    return screen


def widest(screen: io.StringIO) -> int:
    drawn = Text.from_ansi(screen.getvalue()).plain.replace("\r", "\n")
    return max(map(cell_len, drawn.splitlines()))


def test_the_steps_of_one_file_have_at_most_eighty_columns(terminal: io.StringIO) -> None:
    def steps() -> Generator[Progress, None, None]:
        yield Progress("icl", "Segmenting plane 12 of 1052: tile 113 of 225", 1112, 1352)

    follow(steps(), "a" * 90 + "_0012.ome.tiff")
    assert 60 < widest(terminal) <= 80


def test_a_download_has_at_most_eighty_columns(terminal: io.StringIO) -> None:
    with transfer_bar("vit_l_em_organelles") as show:
        show(Transfer("downloading", 1_148_000_123, 1_248_000_123))
    assert 60 < widest(terminal) <= 80
