"""The list of examples: a thumbnail, a tick, an order. Files dropped on it are handed on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QSize, Qt, QUrl, Signal
from qtpy.QtGui import (
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QIcon,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPixmap,
)
from qtpy.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QSizePolicy, QWidget

from napari_iclsam._qt.thumbnails import SIDE, Picture, pixmap
from napari_iclsam._qt.viewer.example import Example
from napari_iclsam._qt.viewer.label_styles import rgb_of
from napari_iclsam._qt.viewer.layers import in_words
from napari_iclsam.commands.short_names import shortened
from napari_iclsam.core.images.overlay import overlay
from napari_iclsam.core.images.support import LabelStyle

_ROLE = Qt.ItemDataRole.UserRole

_HINT = "Drop image and label files, or a task, here"

_TITLE = 22
"""Characters of a title beside the size of its image."""

_MOST_ROWS = 4
"""The table grows with its rows up to so many, then it scrolls."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """An example and its picture, once it was read."""

    example: Example
    picture: Picture | None = None

    @property
    def styles(self) -> dict[int, LabelStyle]:
        """Names and colors of its labels; before they were read, of all that have a name."""
        if self.picture is None:
            return dict(self.example.all_styles())
        return dict(self.example.styles(self.picture.ids))

    def text(self, longest: int = _TITLE) -> str:
        """Return which example it is, in two lines, with a title of at most so many characters."""
        # its end tells a long title from others: it is shortened here, not with the rest
        title = shortened(self.example.title(), longest)
        if self.picture is None:
            return f"{title}\n"
        styles = self.styles
        labels = []
        for label in self.picture.ids:
            name = styles[label].name if label in styles else ""
            labels.append(f"{label} {name}".strip())
        first_line = f"{title} · {in_words(self.picture.size)}"
        return f"{first_line}\n{', '.join(labels) or 'no labels'}"

    def thumbnail(self) -> QPixmap | None:
        """Return the image with its labels on it; None before it was read."""
        picture = self.picture
        if picture is None:
            return None
        colors = rgb_of(picture.ids, self.styles)
        return pixmap(overlay(picture.rgb, picture.labels, colors), SIDE)


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
            "<p>The examples that define the task. Only ticked ones are used. Drag to reorder; "
            "drop a task file (.iclsam), or image and label files, here.</p>"
        )
        self.itemChanged.connect(self._on_item_changed)
        self.model().rowsMoved.connect(self._on_rows_moved)
        self._fit_height()

    def rows(self) -> list[Row]:
        """Return all rows in order."""
        return list(map(self._row, range(self.count())))

    def ticked(self) -> list[Row]:
        """Return the rows to use, in order."""
        rows = []
        for place, row in enumerate(self.rows()):
            if self.item(place).checkState() == Qt.CheckState.Checked:
                rows.append(row)
        return rows

    def put(self, rows: Iterable[Row]) -> None:
        """Add rows.

        A row that is there already gets the new picture, if any, and keeps its place and tick.
        """
        places = {row.example.key: place for place, row in enumerate(self.rows())}
        # one signal for all rows
        self.blockSignals(True)
        for row in rows:
            place = places.get(row.example.key)
            if place is None:
                item = QListWidgetItem()
                item.setCheckState(Qt.CheckState.Checked)
                self.addItem(item)
                self._show_row(item, row)
            elif row.picture is not None:
                self._show_row(self.item(place), row)
        self.blockSignals(False)
        self._fit_height()
        self.changed.emit()

    def drop_rows(self, is_unwanted: Callable[[Example], bool]) -> list[Example]:
        """Take out all rows of a kind, and return their examples."""
        dropped = []
        # from the end: the places of the others stay
        for place in reversed(range(self.count())):
            example = self._row(place).example
            if is_unwanted(example):
                self.takeItem(place)
                dropped.append(example)
        if dropped:
            self._fit_height()
            self.changed.emit()
        return dropped

    def drop_layer(self, layer: Layer) -> None:
        """Take out the rows of a layer that is gone."""
        self.drop_rows(lambda example: example.depends_on(layer))

    def refresh(self) -> None:
        """Write titles again, after a layer got another name."""
        self.blockSignals(True)
        for place in range(self.count()):
            self._show_row(self.item(place), self._row(place))
        self.blockSignals(False)

    def remove_selected(self) -> None:
        """Remove the selected rows."""
        for item in self.selectedItems():
            self.removed.emit(item.data(_ROLE).example.key)
            self.takeItem(self.row(item))
        self._fit_height()
        self.changed.emit()

    def move_selected(self, by: int) -> None:
        """Move the current row up (-1) or down (1)."""
        place = self.currentRow()
        new_place = place + by
        if place < 0 or not 0 <= new_place < self.count():
            return
        self.insertItem(new_place, self.takeItem(place))
        self.setCurrentRow(new_place)
        self.changed.emit()

    def current(self) -> Row | None:
        """Return the row that the user is at: the selected one, else the first."""
        return self._row(max(self.currentRow(), 0)) if self.count() else None

    def paintEvent(self, event: QPaintEvent) -> None:
        """Say in an empty list that files can be dropped on it."""
        super().paintEvent(event)
        if self.count():
            return
        painter = QPainter(self.viewport())
        painter.setPen(self.palette().color(QPalette.ColorRole.PlaceholderText))
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        painter.drawText(self.viewport().rect(), int(flags), _HINT)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Remove the selected rows with Delete."""
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.remove_selected()
        else:
            super().keyPressEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept files, and rows of this list."""
        self._accept_drag(event, super().dragEnterEvent)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        """Accept files, and rows of this list."""
        self._accept_drag(event, super().dragMoveEvent)

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand files on; move rows."""
        paths = _paths(event.mimeData().urls())
        if paths:
            event.acceptProposedAction()
            self.files_dropped.emit(paths)
        elif event.source() is self:
            super().dropEvent(event)
            self.changed.emit()

    def _accept_drag(self, event: Any, of_rows: Callable[[Any], None]) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()
        elif event.source() is self:
            of_rows(event)
        else:
            event.ignore()

    def _row(self, place: int) -> Row:
        row = self.item(place).data(_ROLE)
        assert isinstance(row, Row)
        return row

    def _show_row(self, item: QListWidgetItem, row: Row) -> None:
        text = row.text()
        item.setData(_ROLE, row)
        item.setText(text)
        whole = escape(row.text(len(row.example.title())))
        item.setToolTip(f"<p>{whole.replace(chr(10), '<br>')}</p>")
        thumbnail = row.thumbnail()
        if thumbnail is not None:
            item.setIcon(QIcon(thumbnail))
        else:
            # keeps the height that the row will have with its picture
            item.setSizeHint(QSize(0, SIDE + 6))

    def _fit_height(self) -> None:
        rows = min(max(self.count(), 1), _MOST_ROWS)
        self.setFixedHeight(rows * (SIDE + 8) + 2 * self.frameWidth() + 6)

    def _on_item_changed(self, item: QListWidgetItem) -> None:
        self.changed.emit()

    def _on_rows_moved(self) -> None:
        self.changed.emit()


def _paths(urls: Iterable[QUrl]) -> list[str]:
    return [url.toLocalFile() for url in urls if url.isLocalFile()]
