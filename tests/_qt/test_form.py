"""How the dock is laid out and what it says: places that stay, words, lists, the earlier result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QLabel

from napari_iclsam._qt.forms.elided_combo import ElidedCombo
from napari_iclsam._qt.forms.layer_combo import LayerCombo
from napari_iclsam._qt.forms.support_table import SupportTable
from napari_iclsam._qt.forms.wrapped_label import WrappedLabel, breakable
from napari_iclsam._qt.review.review_queue import ReviewItem
from napari_iclsam._qt.run.closing_words import closing_words
from napari_iclsam._qt.run.run_bar import RunBar
from napari_iclsam._qt.run.run_step import RunStep, RunSummary
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.earlier_result import Change, EarlierResult
from napari_iclsam._qt.viewer.example import LayerExample
from napari_iclsam._qt.viewer.results import ResultRecord
from napari_iclsam._qt.viewer.slice_stacks import SliceOrientation
from tests._qt.conftest import SPACE, Dock, some, stack
from tests._qt.test_query import choose

ALONG_Z = SliceOrientation.of_last_axes(3)


def test_the_buttons_stay_where_they_are_in_every_state(qtbot: Any) -> None:
    bar = RunBar()
    qtbot.addWidget(bar)
    heights = [bar.sizeHint().height()]
    bar.show_models("starter", "cpu", None)
    bar.show_started(6)
    heights.append(bar.sizeHint().height())
    bar.show_step(RunStep("Segmenting slice 3 of 6", 2, 6, seconds=3.0))
    heights.append(bar.sizeHint().height())
    bar.show_models("a model with a long name" * 4, "cpu", 4.8)
    bar.show_idle("Done: 6 slices. " * 30)
    heights.append(bar.sizeHint().height())
    item = ReviewItem(
        Labels(np.zeros((2, 2), int)), Image(np.zeros((2, 2)), name="i" * 99), (), 0.4
    )
    bar.show_review(item, "image")
    bar.show_corrections(3)
    heights.append(bar.sizeHint().height())
    assert len(set(heights)) == 1
    # a long name does not widen the dock
    assert bar.minimumSizeHint().width() < 312


def test_long_words_do_not_widen_a_text(qtbot: Any) -> None:
    name = "patient_0431_session2_cine_shortaxis_reconstruction_0017.nii.gz"
    label = WrappedLabel(f"The labels of {name} look like instances.")
    qtbot.addWidget(label)
    assert label.text() == f"The labels of {name} look like instances."
    assert label.minimumSizeHint().width() < 250
    # none of the letters is cut off in a narrow dock
    label.resize(280, 200)
    flags = Qt.TextFlag.TextWordWrap
    drawn = label.fontMetrics().boundingRect(label.rect(), flags, QLabel.text(label))
    assert drawn.width() <= 280


def test_a_rich_text_keeps_its_tags(qtbot: Any) -> None:
    text = "<span style='font-family:monospacemonospacemonospace'>&nbsp;word</span>"
    assert breakable(text) == text


def test_a_slice_is_named_by_the_axes_of_its_image_where_the_labels_have_none() -> None:
    image = Image(np.zeros((4, 8, 8)), name="scan", axis_labels=("z", "y", "x"))
    labels = Labels(np.zeros((4, 8, 8), int))
    assert LayerExample(image, labels, ALONG_Z, (2,)).title() == "scan, z 2"
    assert LayerExample(Image(np.zeros((4, 8, 8)), name="scan"), labels, ALONG_Z, (2,)).title() == (
        "scan, slice 2"
    )


def test_ten_labels_are_told_as_a_table() -> None:
    expected = {f"part {number} <{number}>": number / 10 for number in range(10)}
    summary = RunSummary(5, 2.0, "cpu", (), "slice", expected, "Expected overlap:")
    said = closing_words(summary, 1, None)
    assert said.startswith("Done: 5 slices, 2.0 s each. Kept as you corrected them: 1.")
    assert said.count("<tr>") == 5
    assert "part 3 &lt;3&gt;" in said


def test_an_update_is_told_in_numbers() -> None:
    summary = RunSummary(1, None, "cpu", (), "image")
    assert "Done: 1 image." in closing_words(summary, 0, Change(0, 1, 0, 9))
    assert "Nothing differs from the earlier" in closing_words(summary, 0, Change(0, 1, 0, 9))
    said = closing_words(RunSummary(9, None, "cpu", ()), 0, Change(2, 9, 30, 400))
    assert "2 of 9 slices differ from the earlier result, 7.5 % of labelled pixels." in said


def test_the_end_of_a_long_layer_name_is_shown(qtbot: Any) -> None:
    pictures = []
    for name in ("a" * 60 + "_01", "a" * 60 + "_02"):
        combo = LayerCombo("")
        qtbot.addWidget(combo)
        combo.resize(QSize(120, 26))
        layer = Image(np.zeros((2, 2)), name=name)
        combo.offer([layer])
        combo.set_layer(layer)
        pictures.append(combo.grab().toImage())
    assert pictures[0] != pictures[1]


def test_the_end_of_a_long_choice_is_shown(qtbot: Any) -> None:
    pictures = []
    for end in ("one", "two"):
        combo = ElidedCombo()
        qtbot.addWidget(combo)
        combo.resize(QSize(120, 26))
        combo.addItem(f"{'a' * 60} {end}")
        pictures.append(combo.grab().toImage())
    assert pictures[0] != pictures[1]


def test_the_names_of_models_fit_into_the_narrowest_dock(dock: Dock) -> None:
    form = dock.widget.models
    starters = [form.sam.itemText(0), form.icl.currentText()]
    assert starters == ["Starter (2 models)", "Starter (in-context)"]
    assert (
        form.sam.itemData(0, Qt.ItemDataRole.ToolTipRole) == "LiteMedSAM and Starter (promptable)"
    )


def test_how_a_run_ended_is_read_without_scrolling(qtbot: Any) -> None:
    bar = RunBar()
    qtbot.addWidget(bar)
    bar.resize(300, bar.sizeHint().height())
    expected = {"grey matter": 0.88, "white matter": 0.73}
    expectation = "Expected overlap, without neighboring slices:"
    summary = RunSummary(51, 3.8, "cpu", (), "slice", expected, expectation)
    bar.show_idle(closing_words(summary, 0, Change(51, 54, 28, 1000)))
    bar.show()
    qtbot.waitExposed(bar)
    assert bar.message.heightForWidth(300) <= bar.message.parentWidget().height()


def test_an_empty_table_says_that_files_can_be_dropped(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = SupportTable()
    qtbot.addWidget(table)
    hinted = table.grab().toImage()
    monkeypatch.setattr("napari_iclsam._qt.forms.support_table._HINT", "")
    assert table.grab().toImage() != hinted


@pytest.mark.parametrize("axis", [0, 2])
def test_going_to_a_slice_shows_it_in_3d_too(axis: int) -> None:
    viewer = ViewerModel()
    layer = viewer.add_labels(np.zeros((6, 7, 8), np.uint8))
    viewer.dims.ndisplay = 3
    orientation = SliceOrientation.stacked_along(3, axis)
    layers.go_to(viewer, layer, orientation, (4,))
    assert viewer.dims.ndisplay == 2
    assert viewer.dims.current_step[axis] == 4
    assert axis not in viewer.dims.displayed


def written(labels: Labels, record: ResultRecord, plane: int, value: int, dice: float) -> None:
    labels.data[plane] = value
    record.note_written(labels, (plane,))
    record.estimates[plane,] = dice


def test_an_earlier_result_comes_back_and_goes_again() -> None:
    image = Image(np.zeros((3, 4, 4)))
    labels = Labels(np.zeros((3, 4, 4), np.uint8))
    record = ResultRecord(image, 0, ALONG_Z, (3, 4, 4))
    written(labels, record, 0, 1, 0.5)
    written(labels, record, 1, 1, 0.6)
    earlier = EarlierResult(labels, record)
    for plane, value in ((0, 2), (1, 1), (2, 1)):
        # a slice is written twice: a first answer, and the settled one
        for each in (7, value):
            earlier.keep((plane,))
            written(labels, record, plane, each, 0.9)
            earlier.compare((plane,))
    # the third slice is new
    assert Change.sum(earlier.changes) == Change(1, 2, 16, 32)
    earlier.swap()
    assert labels.data[:, 0, 0].tolist() == [1, 1, 1]
    assert record.estimates == {(0,): 0.5, (1,): 0.6, (2,): 0.9}
    assert not record.is_corrected(labels, (0,))
    earlier.swap()
    assert labels.data[:, 0, 0].tolist() == [2, 1, 1]
    labels.data[0, 0, 0] = 3
    earlier.swap()
    assert labels.data[0, 0, 0] == 3, "a correction made since stays"


@pytest.fixture
def filled(dock: Dock) -> Dock:
    image, labels = stack(planes=4)
    dock.viewer.add_image(image, name="scan", **SPACE)
    dock.viewer.add_labels(some(labels, 1, 2), name="painted", **SPACE)
    dock.settle()
    return dock


def test_a_scope_chosen_for_other_data_does_not_stick(filled: Dock) -> None:
    query = filled.widget.query
    choose(filled, "current")
    filled.viewer.add_image(np.zeros((40, 48)), name="another")
    filled.settle()
    assert query.chosen == "current"
    filled.viewer.layers.clear()
    image, labels = stack(planes=5)
    filled.viewer.add_image(image, name="next")
    filled.viewer.add_labels(some(labels, 3), name="next labels")
    filled.settle()
    assert query.chosen == "rest"


def test_the_range_is_named_by_its_axis(filled: Dock) -> None:
    choose(filled, "range")
    query = filled.widget.query
    assert query._form.labelForField(query._range).text() == "z from"


def test_all_slices_are_listed_with_their_overlap_and_a_click_shows_one(filled: Dock) -> None:
    form = filled.widget.form.review
    assert form.list.isHidden()
    scan = filled.viewer.layers["scan"]
    labels = Labels(np.zeros((4, 40, 48), np.uint8), name="found", **SPACE)
    filled.viewer.add_layer(labels)
    record = filled.widget.results.open_record(labels, scan, 0, ALONG_Z)
    for plane, dice in ((0, 0.91), (1, 0.4), (3, 0.7)):
        written(labels, record, plane, 1, dice)
    record.needs[3,] = 0.5
    filled.widget.review.update()
    rows = [form.list.topLevelItem(row) for row in range(form.list.topLevelItemCount())]
    assert [[row.text(column) for column in range(3)] for row in rows] == [
        ["z 0", "0.91", ""],
        ["z 1", "0.40", ""],
        ["z 3", "0.70", "unlike its neighbors"],
    ]
    assert filled.widget.bar.check.text() == (
        "Check z 1: overlap about 0.40\nOn screen: z 1, overlap about 0.40"
    )
    form.list.itemClicked.emit(rows[1], 0)
    assert filled.viewer.dims.current_step[0] == 1
    assert form.on_screen.text() == "On screen: z 1, overlap about 0.40, checked"
    filled.viewer.dims.set_current_step(0, 2)
    assert form.on_screen.text() == "The slice on screen was not segmented."


def test_a_run_that_updates_a_result_can_be_taken_back(filled: Dock) -> None:
    swap = filled.widget.output.swap
    filled.segment()
    assert not swap.isEnabled()
    result = filled.result()
    first = result.data.copy()
    painted = filled.viewer.layers["painted"]
    painted.data[1] = 0
    painted.data[1, 5:9, 5:9] = 1
    filled.segment()
    second = result.data.copy()
    assert "slices differ from the earlier result" in filled.widget.bar.message.text()
    swap.click()
    np.testing.assert_array_equal(result.data, first)
    assert filled.widget.bar.message.text().startswith("The earlier result is back")
    assert swap.text() == "Bring back the newer result"
    swap.click()
    np.testing.assert_array_equal(result.data, second)
    assert swap.text() == "Bring back the earlier result"
    filled.viewer.layers.remove(result)
    assert filled.widget.bar.message.text() == ""
    assert not swap.isEnabled()


def test_long_titles_of_examples_keep_their_ends(dock: Dock) -> None:
    image, labels = stack(planes=4)
    name = "experiment 2026-11-29 of plate <7>, field 003.ome.tif"
    dock.viewer.add_image(image, name=name, axis_labels=("z", "y", "x"))
    dock.viewer.add_labels(some(labels, 1), name="painted", axis_labels=("z", "y", "x"))
    dock.settle()
    item = dock.widget.examples.table.item(0)
    title, size = item.text().split("\n")[0].split(" · ")
    assert title.endswith(" 003, z 1")
    assert (len(title), size) == (22, "40 × 48")
    # the tooltip has all of it, as it is
    assert f"{name}, z 1 · 40 × 48".replace("<7>", "&lt;7&gt;") in item.toolTip()
