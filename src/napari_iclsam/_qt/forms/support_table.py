"""The list of examples: a thumbnail, a tick, an order. Files dropped on it are handed on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QSize, Qt, QUrl, Signal
from qtpy.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent, QIcon, QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QSizePolicy, QWidget

from napari_iclsam._qt.thumbnails import SIDE, Picture, overlay, pixmap
from napari_iclsam._qt.viewer.example import Example
from napari_iclsam._qt.viewer.layers import in_words
from napari_iclsam.core.images.support import LabelStyle

_ROLE = Qt.ItemDataRole.UserRole


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """An example and how it looks, once it was looked at."""

    example: Example
    picture: Picture | None = None

    @property
    def styles(self) -> dict[int, LabelStyle]:
        """Names and colors of its labels."""
        return {} if self.picture is None else dict(self.example.styles(self.picture.ids))

    def text(self) -> str:
        """Say what it is, in two lines."""
        if self.picture is None:
            return f"{self.example.title()}\n"
        styles = self.styles
        named = [
            f"{i} {styles[i].name}".strip() if i in styles else str(i) for i in self.picture.ids
        ]
        return f"{self.example.title()} · {in_words(self.picture.size)}\n{', '.join(named) or 'no labels'}"


class SupportTable(QListWidget):
    """Rows of examples. The user ticks, orders and removes; the widget puts in and reads out.

    Attributes
    ----------
    changed : Signal()
        Other rows, another order, or another tick.
    removed : Signal(object)
        The key of a row that the user removed.
    files_dropped : Signal(object)
        Paths that were dropped on the list.
    """

    changed = Signal()
    removed = Signal(object)
    files_dropped = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setIconSize(QSize(SIDE, SIDE))
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragDrop)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSpacing(1)
        self.setToolTip(
            "<p>The examples that define the task. Only ticked ones are used. Drag to reorder; drop a task file "
            "(.iclsam), or image and label files, here.</p>"
        )
        self.itemChanged.connect(self._on_item_changed)
        self.model().rowsMoved.connect(self._on_rows_moved)
        self._fit()

    def rows(self) -> list[Row]:
        """Return all rows in order."""
        return [self._row(n) for n in range(self.count())]

    def ticked(self) -> list[Row]:
        """Return the rows to use, in order."""
        return [
            self._row(n)
            for n in range(self.count())
            if self.item(n).checkState() == Qt.CheckState.Checked
        ]

    def keys(self) -> set[Any]:
        """Return the keys of all rows."""
        return {row.example.key for row in self.rows()}

    def put(self, rows: Iterable[Row], *, ticked: bool = True) -> None:
        """Add rows; a row that is there already gets the new picture, if any, and keeps its place and tick."""
        places = {self._row(n).example.key: n for n in range(self.count())}
        self.blockSignals(True)
        for row in rows:
            item = self.item(places[row.example.key]) if row.example.key in places else None
            if item is not None and row.picture is None:
                continue
            if item is None:
                item = QListWidgetItem()
                item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
                self.addItem(item)
            self._show(item, row)
        self.blockSignals(False)
        self._fit()
        self.changed.emit()

    def drop_rows(self, unwanted: Callable[[Example], bool]) -> None:
        """Take out all rows of a kind."""
        gone = [n for n in range(self.count()) if unwanted(self._row(n).example)]
        for n in reversed(gone):
            self.takeItem(n)
        if gone:
            self._fit()
            self.changed.emit()

    def drop_layer(self, layer: Layer) -> None:
        """Take out the rows of a layer that is gone."""
        self.drop_rows(lambda example: example.depends_on(layer))

    def refresh(self) -> None:
        """Write titles again, after a layer got another name."""
        self.blockSignals(True)
        for n in range(self.count()):
            self._show(self.item(n), self._row(n))
        self.blockSignals(False)

    def remove_selected(self) -> None:
        """Remove the selected rows."""
        for item in self.selectedItems():
            self.removed.emit(item.data(_ROLE).example.key)
            self.takeItem(self.row(item))
        self._fit()
        self.changed.emit()

    def move_selected(self, by: int) -> None:
        """Move the current row up (-1) or down (1)."""
        place = self.currentRow()
        target = place + by
        if place < 0 or not 0 <= target < self.count():
            return
        self.insertItem(target, self.takeItem(place))
        self.setCurrentRow(target)
        self.changed.emit()

    def current(self) -> Row | None:
        """Return the row that the user is at: the selected one, else the first."""
        return self._row(max(self.currentRow(), 0)) if self.count() else None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Remove the selected rows with Delete."""
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.remove_selected()
        else:
            super().keyPressEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Welcome files, and rows of this list."""
        self._welcome(event, super().dragEnterEvent)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        """Welcome files, and rows of this list."""
        self._welcome(event, super().dragMoveEvent)

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand files on; move rows."""
        paths = _paths(event.mimeData().urls())
        if paths:
            event.acceptProposedAction()
            self.files_dropped.emit(paths)
        elif event.source() is self:
            super().dropEvent(event)
            self.changed.emit()

    def _welcome(self, event: Any, otherwise: Callable[[Any], None]) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()
        elif event.source() is self:
            otherwise(event)
        else:
            event.ignore()

    def _row(self, place: int) -> Row:
        row = self.item(place).data(_ROLE)
        assert isinstance(row, Row)
        return row

    def _show(self, item: QListWidgetItem, row: Row) -> None:
        item.setData(_ROLE, row)
        item.setText(row.text())
        item.setToolTip(f"<p>{row.text().replace(chr(10), '<br>')}</p>")
        if row.picture is not None:
            item.setIcon(
                QIcon(pixmap(overlay(row.picture.rgb, row.picture.labels, row.styles), SIDE))
            )
        else:
            item.setSizeHint(QSize(0, SIDE + 6))

    def _fit(self) -> None:
        """Take the height of one to four rows."""
        rows = min(max(self.count(), 1), 4)
        self.setFixedHeight(rows * (SIDE + 8) + 2 * self.frameWidth() + 6)

    def _on_item_changed(self, item: QListWidgetItem) -> None:
        self.changed.emit()

    def _on_rows_moved(self) -> None:
        self.changed.emit()


def _paths(urls: Iterable[QUrl]) -> list[str]:
    return [url.toLocalFile() for url in urls if url.isLocalFile()]
