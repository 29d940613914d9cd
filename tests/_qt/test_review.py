"""Which slices come up for review, and in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_iclsam._qt.review.review_queue import ReviewItem
from napari_iclsam._qt.viewer.results import ResultRecord
from tests._qt.conftest import SPACE, Dock, some, stack


@pytest.fixture
def filled(dock: Dock) -> Dock:
    image, labels = stack(planes=6)
    dock.viewer.add_image(image, name="scan", **SPACE)
    dock.viewer.add_labels(some(labels, 2, 4), name="painted", **SPACE)
    dock.settle()
    return dock


def known(dock: Dock) -> ResultRecord:
    written = dock.widget.results.record(dock.result())
    assert written is not None
    return written


def shown(dock: Dock) -> int:
    return int(dock.viewer.dims.current_step[0])


def press(dock: Dock) -> int:
    """Press the button and return the slice that is shown then."""
    assert dock.widget.bar.check.isEnabled()
    dock.widget.bar.check.click()
    return shown(dock)


def test_there_is_nothing_to_check_before_a_run(filled: Dock) -> None:
    assert not filled.widget.bar.check.isEnabled()
    assert "When a stack has been segmented" in filled.widget.bar.check.toolTip()


def test_slices_come_up_once_each_the_most_doubtful_first(filled: Dock) -> None:
    filled.segment()
    record = known(filled)
    estimates = dict(record.estimates)
    needs = dict(record.needs)
    assert {position for (position,) in estimates} == {0, 1, 3, 5}, (
        "the examples are known to be right"
    )

    def doubt(position: tuple[int, ...]) -> float:
        return max(needs.get(position, 0.0), 1 - estimates[position])

    wanted = sorted(estimates, key=doubt, reverse=True)
    assert f"Check z {wanted[0][0]}: " in filled.widget.bar.check.text()
    assert [(press(filled),) for _ in wanted] == wanted
    assert not filled.widget.bar.check.isEnabled()
    assert filled.viewer.layers.selection.active.name == filled.result().name


def test_the_button_names_the_slice_on_screen(filled: Dock) -> None:
    button = filled.widget.bar.check
    filled.segment()
    estimates = known(filled).estimates
    checked = [press(filled), press(filled)]
    for plane in checked:
        filled.viewer.dims.set_current_step(0, plane)
        leads_to, on_screen = button.text().split("\n")
        assert leads_to.startswith("Check z ")
        assert on_screen == f"On screen: z {plane}, overlap about {estimates[(plane,)]:.2f}"
    # the estimate is of what was there before a correction
    filled.viewer.dims.set_current_step(0, checked[1])
    filled.result().paint((checked[1], 3, 3), 2)
    assert button.text().endswith(f"On screen: z {checked[1]}, corrected")
    # an example was not segmented
    filled.viewer.dims.set_current_step(0, 2)
    assert "On screen" not in button.text()
    # where all was checked, the slice on screen is still named
    while button.isEnabled():
        button.click()
    filled.viewer.dims.set_current_step(0, checked[0])
    assert button.text().startswith(f"Check slices\nOn screen: z {checked[0]}, ")


def item(estimate: float | None, need: float) -> ReviewItem:
    image = Image(np.zeros((2, 4, 4)))
    return ReviewItem(Labels(np.zeros((2, 4, 4), np.int32)), image, (1,), estimate, need)


def test_a_slice_says_why_it_is_to_be_checked() -> None:
    assert item(0.62, 0.1).reason == "overlap about 0.62"
    assert item(0.3, 0.6).state == "low overlap"
    assert item(0.95, 0.5).reason == "unlike its neighbors"
    assert item(None, 0.5).reason == "is nothing there?"


def test_doubt_is_the_larger_of_both() -> None:
    assert item(0.75, 0.1).doubt == 0.25
    assert item(0.75, 0.5).doubt == 0.5
    assert item(None, 0.5).doubt == 0.5


def test_a_slice_that_may_wrongly_be_empty_comes_up(filled: Dock) -> None:
    filled.segment()
    record = known(filled)
    record.estimates.clear()
    record.needs.clear()
    record.needs[(5,)] = 0.6
    record.needs[(0,)] = 0.1
    queue = filled.widget.review.queue
    first = queue.next([filled.viewer.layers["scan"]])
    assert first is not None
    assert first.position == (5,)
    queue.show(first)
    assert queue.next([filled.viewer.layers["scan"]]) is None


def test_the_worst_label_decides(filled: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {1: 0.9, 2: 0.3}

    def estimates_of(_: Any, labels: NDArray[np.int32]) -> dict[int, float]:
        return {label: dice for label, dice in given.items() if (labels == label).any()}

    monkeypatch.setattr("napari_iclsam.core.stack_run._of_found", estimates_of)
    filled.segment()
    found = {(plane,): set(np.unique(filled.result().data[plane])) - {0} for plane in (0, 1, 3, 5)}
    wanted = {p: min(given[i] for i in labels) for p, labels in found.items() if labels}
    assert wanted
    assert known(filled).estimates == wanted


def test_painted_slices_do_not_come_up(filled: Dock) -> None:
    filled.segment()
    doubt = filled.widget.review.queue.next([filled.widget.query.image.layer])
    assert doubt is not None
    filled.result().paint((*doubt.position, 3, 3), 2)
    other = filled.widget.review.queue.next([filled.widget.query.image.layer])
    assert other is not None
    assert other.position != doubt.position
    assert other.title in filled.widget.bar.check.text()


def test_what_is_segmented_again_comes_up_again(filled: Dock) -> None:
    filled.segment()
    first = press(filled)
    assert press(filled) != first
    filled.segment()
    assert press(filled) == first


def test_a_single_image_does_not_come_up(dock: Dock) -> None:
    image, labels = stack(planes=3)
    dock.viewer.add_image(image[0], name="a")
    dock.viewer.add_labels(labels[0], name="a labels")
    dock.settle()
    dock.segment()
    assert known(dock).estimates
    assert not dock.widget.bar.check.isEnabled()


def test_a_preview_is_no_result_to_check(filled: Dock) -> None:
    seen: list[int] = []

    def note(step: Any) -> None:
        if step.is_preview:
            filled.widget.run.redraw()
            seen.append(len(known(filled).estimates))

    filled.widget.run.runner.stepped.connect(note)
    filled.segment()
    filled.widget.run.runner.stepped.disconnect(note)
    assert seen == [0]
