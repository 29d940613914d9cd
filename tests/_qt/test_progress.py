"""The progress of a run: how far it is, and how often the dock is painted for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qtpy.QtCore import QEvent, QObject

from napari_iclsam._qt.run.run_bar import RunBar
from napari_iclsam._qt.run.run_progress import PREPARATION_SLICES, RunProgress
from napari_iclsam._qt.run.run_step import RunStep
from napari_iclsam.core.prediction import Progress
from tests._qt.conftest import Dock, some, stack

FIT = ("load", "icl", "done", "embed", "embed", "check", "check", "fine_tune", "fine_tune", "fit")


@pytest.fixture
def bar(qtbot: Any) -> Iterator[RunBar]:
    bar = RunBar()
    qtbot.addWidget(bar)
    yield bar
    bar.show_idle("")


@given(stages=st.permutations(FIT), total=st.integers(1, 9))
def test_the_fraction_never_falls_and_ends_at_one(stages: list[Any], total: int) -> None:
    progress = RunProgress(total)
    fractions = [progress.fraction]
    for stage in stages:
        progress.count_preparation(Progress(stage, ""), 2)
        fractions.append(progress.fraction)
    progress.start_job()
    for _ in range(total):
        progress.count_slice()
        fractions.append(progress.fraction)
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == pytest.approx(1)


def test_preparation_and_slices_share_the_bar() -> None:
    progress = RunProgress(PREPARATION_SLICES)
    progress.start_job()
    assert progress.fraction == pytest.approx(0.5)
    assert progress.seconds is None
    progress.count_slice()
    assert progress.seconds is not None


def test_a_step_with_no_time_yet_has_no_time_left() -> None:
    assert RunStep("", 0, 6).seconds_left is None
    assert RunStep("", 2, 6, seconds=1.5).seconds_left == 6


def test_steps_within_a_quarter_of_a_second_are_drawn_once_the_last_of_them(
    bar: RunBar, qtbot: Any
) -> None:
    bar.show_started(6)
    texts = [bar.message.text()]
    for done in range(1, 6):
        bar.show_step(RunStep(f"Slice {done}", done, 6, done / 6))
        texts.append(bar.message.text())
    assert texts == ["Starting"] * 6
    qtbot.waitUntil(lambda: bar.message.text() == "Slice 5", timeout=2000)
    assert bar.progress.format() == "5 of 6"
    assert bar.progress.value() == round(bar.progress.maximum() * 5 / 6)


def test_what_was_still_to_be_drawn_does_not_follow_the_end(bar: RunBar, qtbot: Any) -> None:
    bar.show_started(6)
    bar.show_step(RunStep("Slice 1", 1, 6))
    bar.show_idle("Done.")
    qtbot.wait(400)
    assert bar.message.text() == "Done."
    assert bar.progress.isHidden()


class Paints(QObject):
    """Counts how often a widget is painted."""

    count = 0

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        self.count += event.type() == QEvent.Type.Paint
        return False


def test_a_bar_at_rest_is_not_painted_while_a_run_is_on(bar: RunBar, qtbot: Any) -> None:
    bar.show()
    bar.show_started(6)
    qtbot.waitExposed(bar)
    qtbot.wait(300)
    paints = Paints()
    bar.progress.installEventFilter(paints)
    qtbot.wait(500)
    assert paints.count == 0


def test_the_bar_has_an_end_at_each_step_of_a_run(dock: Dock) -> None:
    image, labels = stack(planes=4)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 1, 2), name="painted")
    fractions: list[float] = []
    ends: list[int] = []

    def note(step: RunStep) -> None:
        fractions.append(step.fraction)
        ends.append(dock.widget.bar.progress.maximum())

    dock.widget.run.runner.stepped.connect(note)
    dock.segment()
    dock.widget.run.runner.stepped.disconnect(note)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert min(ends) > 0
