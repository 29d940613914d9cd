"""Objects beside a result: the switch, the layer and its features, the table, the histogram."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_iclsam._qt.objects.object_layer import camera_of
from napari_iclsam._qt.objects.object_panel import ObjectPanel
from napari_iclsam._qt.viewer.slice_stacks import SliceOrientation
from napari_iclsam.core.objects.instances import Separation
from tests._qt.conftest import NAMES, SPACE, Dock, some, stack

SQUARES = ((2, 2, 6), (20, 8, 10), (24, 30, 8))


class Panel:
    """The panel, as a test uses it."""

    def __init__(self, dock: Dock, qtbot: Any) -> None:
        self.dock = dock
        self.form: ObjectPanel = dock.widget.form.objects
        self._qtbot = qtbot

    def choose(self, kind: int) -> None:
        """Choose classes (0) or objects (1), and wait until they are measured."""
        self.form.kind.setCurrentIndex(kind)
        self.form.kind.activated.emit(kind)
        self._qtbot.waitUntil(lambda: not self.form.runner.is_busy, timeout=20_000)

    def objects(self) -> Labels:
        layer = self.dock.viewer.layers["scan [ICL-SAM] objects"]
        assert isinstance(layer, Labels)
        return layer


@pytest.fixture
def panel(dock: Dock, qtbot: Any) -> Panel:
    """Show a stack, and a result that holds three bars through all its slices."""
    image = dock.viewer.add_image(stack(planes=3)[0], name="scan", **SPACE)
    data = np.zeros((3, 40, 48), np.int32)
    for label, (top, left, side) in enumerate(SQUARES, start=1):
        data[:, top : top + side, left : left + side] = min(label, 2)
    made_by = {"napari_iclsam": {"image": "scan", "models": {}}}
    result = Labels(data, name="scan [ICL-SAM]", features=NAMES, metadata=made_by, **SPACE)
    dock.widget.results.add_layer(result)
    dock.widget.results.open_record(result, image, 0, SliceOrientation.of_last_axes(3))
    return Panel(dock, qtbot)


def test_objects_have_a_layer_of_their_own_beside_the_hidden_classes(panel: Panel) -> None:
    panel.choose(1)
    objects = panel.objects()
    assert len(np.unique(objects.data)) == 4
    assert objects.visible
    assert not panel.dock.result().visible
    np.testing.assert_allclose(objects.scale, SPACE["scale"])
    assert "models" not in objects.metadata["napari_iclsam"]
    assert "3 objects" in panel.form.count.text()
    panel.choose(0)
    assert panel.dock.result().visible
    assert not objects.visible


def test_features_are_found_by_the_row_and_by_the_index(panel: Panel) -> None:
    panel.choose(1)
    features = panel.objects().features
    np.testing.assert_array_equal(features["index"], [0, 1, 2, 3])
    assert list(features["name"]) == ["background", "shell", "core", "core"]
    # 3 slices, 2 mm apart, of pixels of half a millimeter
    np.testing.assert_allclose(features["volume"][1:], [54, 150, 96])
    assert "Lengths are in millimeter" in panel.form.count.text()


def test_table_says_how_sure_the_method_is_of_each_object(panel: Panel) -> None:
    record = panel.dock.widget.results.record(panel.dock.result())
    assert record is not None
    certainty = np.zeros((40, 48), np.uint8)
    certainty[:20] = 51
    certainty[20:] = 204
    record.certainty = {(0,): certainty, (1,): certainty}
    panel.choose(1)
    # the third slice is a person's own
    expected = [(0.2 + 0.2 + 1) / 3, (0.8 + 0.8 + 1) / 3, (0.8 + 0.8 + 1) / 3]
    features = panel.objects().features
    np.testing.assert_allclose(features["mean_probability"][1:], expected, atol=1e-3)


def test_objects_are_separated_as_the_examples_teach(panel: Panel) -> None:
    result = panel.dock.result()
    record = panel.dock.widget.results.record(result)
    assert record is not None
    result.data = np.zeros_like(result.data)
    result.data[:, 10:18, 4:36] = 1
    record.separations = {1: Separation(40.0, 0.0)}
    panel.choose(1)
    assert "1 objects" in panel.form.count.text()
    record.separations = {1: Separation(2.0, 0.0)}
    result.data[0, 30, 30] = 2
    panel.choose(1)
    assert "2 objects" in panel.form.count.text()


def test_a_click_on_a_row_leads_to_its_object(panel: Panel) -> None:
    panel.choose(1)
    view = panel.form.table
    view.clicked.emit(panel.form.model.index(2, 0))
    viewer = panel.dock.viewer
    assert panel.objects().selected_label == 3
    row, column = 24 + 3.5, 30 + 3.5
    np.testing.assert_allclose(camera_of(viewer).center[-2:], (row * 0.5 - 3, column * 0.5 + 4))
    assert viewer.dims.point[0] == pytest.approx(12)


def test_an_object_that_is_picked_in_the_viewer_is_selected_in_the_table(panel: Panel) -> None:
    panel.choose(1)
    panel.objects().selected_label = 2
    (index,) = panel.form.table.selectionModel().selectedRows()
    assert panel.form.model.id_at(index.row()) == 2


def test_rows_are_sorted_by_a_column_and_keep_their_objects(panel: Panel) -> None:
    panel.choose(1)
    model = panel.form.model
    names = [model.headerData(n, Qt.Orientation.Horizontal) for n in range(model.columnCount())]
    model.sort(names.index("volume"), Qt.SortOrder.DescendingOrder)
    assert [model.id_at(row) for row in range(3)] == [2, 3, 1]
    assert model.row_of(3) == 1


def test_histogram_shows_the_chosen_measurement(panel: Panel) -> None:
    panel.choose(1)
    histogram = panel.form.histogram
    assert panel.form.column.currentText() == "volume"
    assert histogram.counts.sum() == 3
    assert (histogram.edges[0], histogram.edges[-1]) == (54, 150)
    panel.form.column.setCurrentText("centroid_x")
    assert histogram.edges[-1] == pytest.approx(33.5 * 0.5)


def test_a_corrected_result_is_measured_anew(panel: Panel) -> None:
    panel.choose(1)
    panel.choose(0)
    panel.dock.result().data[:, 2:8, 2:8] = 0
    panel.choose(1)
    assert "2 objects" in panel.form.count.text()
    np.testing.assert_array_equal(np.unique(panel.objects().data), [0, 1, 2])


def test_a_new_run_shows_its_objects_while_these_are_chosen(panel: Panel) -> None:
    painted = some(stack(planes=3)[1], 1)
    panel.dock.viewer.add_labels(painted, name="painted", **SPACE)
    panel.choose(1)
    panel.dock.segment()
    panel.choose(1)
    np.testing.assert_array_equal(panel.objects().data > 0, panel.dock.result().data > 0)


def test_without_an_object_the_table_is_empty(panel: Panel) -> None:
    panel.dock.result().data[...] = 0
    panel.choose(1)
    assert panel.form.count.text().startswith("0 objects")
    assert panel.form.model.rowCount() == 0
    assert panel.form.model.columnCount() > 5


def test_without_a_result_the_panel_says_what_to_do(dock: Dock, qtbot: Any) -> None:
    panel = Panel(dock, qtbot)
    panel.choose(1)
    assert "press Segment" in panel.form.count.text()
    assert not panel.form.shows_objects


def test_table_is_saved_as_csv(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "objects.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    panel.choose(1)
    panel.form.save.click()
    with path.open(encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["1", "2", "3"]
