"""Objects of the result: a switch between classes and objects, a table, a histogram."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.notifications import show_error
from qtpy.QtCore import QModelIndex, QSignalBlocker
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QPushButton,
    QTableView,
    QWidget,
)

from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.forms.form_rows import form_rows
from napari_iclsam._qt.forms.wrapped_label import WrappedLabel
from napari_iclsam._qt.objects.histogram import Histogram
from napari_iclsam._qt.objects.object_layer import (
    go_to_object,
    large_quest_of,
    quest_of,
    reason_against,
    show_objects,
)
from napari_iclsam._qt.objects.object_steps import FoundObjects, large_object_steps, object_steps
from napari_iclsam._qt.objects.table_model import ObjectTableModel
from napari_iclsam._qt.viewer.large_results import large_result
from napari_iclsam._qt.viewer.results import Results
from napari_iclsam.core.prediction import Progress

_HEIGHT = 180
"""Pixels of the table."""

_COLUMN = 66
"""Pixels of one of its columns: four fit into the dock."""


class ObjectPanel(QWidget):
    """A form about the objects of the newest result.

    Parameters
    ----------
    viewer : ViewerModel

    Attributes
    ----------
    kind : QComboBox
        Shows classes, or objects.
    count : QLabel
    column : QComboBox
        Which measurement the histogram shows.
    histogram : Histogram
    table : QTableView
    save : QPushButton
        Writes the table as CSV.
    runner : Runner
        Finds and measures objects.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._results = Results(viewer)
        self._found: FoundObjects | None = None
        # the result that was measured last, its content then, and the layer of its objects
        self._labels: Labels | None = None
        self._checksum = 0
        self._objects: Labels | None = None
        self.runner = Runner(self)
        self.model = ObjectTableModel(self)
        self.kind = QComboBox(
            toolTip="<p>Classes: one number a label. Objects: touching ones separated, one number "
            "each, in a layer of their own with a row of measurements.</p>"
        )
        self.kind.addItems(["Classes", "Objects"])
        self.count = WrappedLabel()
        self.column = QComboBox(toolTip="<p>What the histogram shows.</p>")
        self.histogram = Histogram()
        self.table = _table_view(self.model)
        self.save = QPushButton("Save as CSV…", toolTip="<p>Write the table into a file.</p>")
        self._lay_out()
        self._connect()
        self._show_found(None)

    @property
    def shows_objects(self) -> bool:
        """Whether objects are chosen, not classes."""
        return bool(self.kind.currentIndex())

    def note_finished(self) -> None:
        """Follow a run that has ended: its objects are shown if these are chosen."""
        if self.shows_objects:
            self._show_objects()

    def close_down(self) -> None:
        """Stop measuring."""
        self.runner.close()
        self._follow_selection(None)

    def _lay_out(self) -> None:
        form = form_rows(self)
        form.addRow("Show", self.kind)
        form.addRow(self.count)
        form.addRow("Histogram", self.column)
        for widget in (self.histogram, self.table, self.save):
            form.addRow(widget)

    def _connect(self) -> None:
        self.kind.activated.connect(self._on_kind_chosen)
        self.column.currentIndexChanged.connect(self._show_histogram)
        self.table.clicked.connect(self._on_row_clicked)
        self.save.clicked.connect(self._on_save)
        self.runner.stepped.connect(self._on_stepped)
        self.runner.returned.connect(self._on_measured)
        self.runner.failed.connect(self._on_failed)

    def _newest(self) -> Labels | None:
        """Return the newest result of the viewer."""
        for layer in reversed(self._viewer.layers):
            is_known = self._results.record(layer) is not None or large_result(layer) is not None
            if isinstance(layer, Labels) and is_known:
                return layer
        return None

    def _on_kind_chosen(self) -> None:
        if self.shows_objects:
            self._show_objects()
            return
        self.runner.cancel()
        labels = self._labels or self._newest()
        if labels is not None:
            labels.visible = True
        if self._objects is not None:
            self._objects.visible = False

    def _show_objects(self) -> None:
        """Show the objects of the newest result; they are measured if it has changed."""
        labels = self._newest()
        reason = reason_against(labels)
        if labels is None or reason:
            self.kind.setCurrentIndex(0)
            self.count.setText(reason)
            return
        checksum = _checksum(labels)
        is_known = labels is self._labels and checksum == self._checksum
        if is_known and self._found is not None:
            self._follow_selection(show_objects(self._viewer, labels, self._found))
            return
        self._labels = labels
        self._checksum = checksum
        self.count.setText("Measuring …")
        self.runner.start(self._steps(labels))

    def _steps(self, labels: Labels) -> Callable[[], Any]:
        """Return what measures a result in a worker."""
        large = large_result(labels)
        if large is not None:
            return partial(large_object_steps, large_quest_of(labels, large))
        record = self._results.record(labels)
        assert record is not None
        return partial(object_steps, quest_of(labels, record))

    def _on_stepped(self, step: Progress | None) -> None:
        """Say how far the objects of a plane on disk are."""
        if step is not None and step.total > 1:
            self.count.setText(f"{step.message}: part {step.done + 1} of {step.total} …")

    def _on_measured(self, found: FoundObjects) -> None:
        assert self._labels is not None
        self._show_found(found)
        self._follow_selection(show_objects(self._viewer, self._labels, found))

    def _follow_selection(self, objects: Labels | None) -> None:
        """Follow what is picked in a layer of objects, and no longer in the one before."""
        if self._objects is not None:
            self._objects.events.selected_label.disconnect(self._on_label_selected)
        self._objects = objects
        if objects is not None:
            objects.events.selected_label.connect(self._on_label_selected)

    def _on_failed(self, error: Exception) -> None:
        self._show_found(None)
        self.count.setText(str(error))

    def _show_found(self, found: FoundObjects | None) -> None:
        """Show measurements, or that there are none."""
        self._found = found
        table = None if found is None else found.table
        self.model.show_table(table)
        self.save.setEnabled(table is not None)
        names = [] if table is None else [name for name in table.columns if name != "id"]
        chosen = self.column.currentText()
        with QSignalBlocker(self.column):
            self.column.clear()
            self.column.addItems(names)
            # areas tell most: the first column after the label
            self.column.setCurrentIndex(names.index(chosen) if chosen in names else 1)
        if table is not None:
            unit = f" Lengths are in {table.unit}." if table.unit != "pixel" else ""
            self.count.setText(f"{len(table)} objects.{unit}")
        self._show_histogram()

    def _show_histogram(self) -> None:
        name = self.column.currentText()
        if self._found is None or not name:
            self.histogram.show_values(np.zeros(0), "")
            return
        values = self._found.table.columns[name]
        self.histogram.show_values(values.astype(float), name.replace("_", " "))

    def _on_row_clicked(self, index: QModelIndex) -> None:
        """Lead to the object of a row."""
        number = self.model.id_at(index.row())
        objects = self._objects
        if self._found is None or objects is None or objects not in self._viewer.layers:
            return
        row = {name: values[number - 1] for name, values in self._found.table.columns.items()}
        go_to_object(self._viewer, objects, row)

    def _on_label_selected(self, event: Any) -> None:
        """Show the row of an object that was picked in the viewer."""
        row = self.model.row_of(int(event.source.selected_label))
        if row is not None:
            self.table.selectRow(row)

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save measurements", "objects.csv", "*.csv")
        if path and self._found is not None:
            try:
                self._found.table.write_csv(Path(path))
            except OSError as error:
                show_error(f"{path}: {error.strerror}.")


def _table_view(model: ObjectTableModel) -> QTableView:
    table = QTableView()
    table.setModel(model)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setSortingEnabled(True)
    table.sortByColumn(-1, table.horizontalHeader().sortIndicatorOrder())
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(20)
    table.horizontalHeader().setDefaultSectionSize(_COLUMN)
    table.setFixedHeight(_HEIGHT)
    table.setToolTip("<p>A click on a row leads to the object; on a title, sorts.</p>")
    return table


def _checksum(labels: Labels) -> int:
    """Return a number that tells whether a result was painted in; one on disk cannot be."""
    if large_result(labels) is not None:
        return 0
    return zlib.crc32(np.ascontiguousarray(labels.data).data)
