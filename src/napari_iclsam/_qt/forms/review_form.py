"""The segmented slices of a stack with their estimated overlap: a list, and the one on screen."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from napari_iclsam._qt.forms.series_form import OVERLAP
from napari_iclsam._qt.forms.wrapped_label import WrappedLabel
from napari_iclsam._qt.review.review_queue import ReviewItem

_HEIGHT = 140
"""Pixels of the list: about seven slices."""

_NONE = "The slices of a stack are listed here once they are segmented."


class ReviewForm(QWidget):
    """Lists slices, and lets the user go to one of them.

    Attributes
    ----------
    picked : Signal(int)
        A slice of the list, by number.
    """

    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._listed: list[tuple[str, str, str]] = []
        self.on_screen = WrappedLabel(_NONE)
        self.list = QTreeWidget(rootIsDecorated=False, uniformRowHeights=True)
        self.list.setHeaderLabels(["Slice", "Overlap", "State"])
        self.list.headerItem().setToolTip(1, OVERLAP)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setFixedHeight(_HEIGHT)
        self.list.setColumnWidth(0, 90)
        self.list.setColumnWidth(1, 58)
        self.list.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.setSpacing(3)
        layout.addWidget(self.on_screen)
        layout.addWidget(self.list)
        self.list.itemClicked.connect(self._on_clicked)

    def show_items(self, items: Sequence[ReviewItem]) -> None:
        """List slices, in their order."""
        rows = [_row(item) for item in items]
        if rows == self._listed:
            # at each stroke: a list that is filled anew would jump
            return
        self._listed = rows
        self.list.setVisible(bool(rows))
        with QSignalBlocker(self.list):
            self.list.clear()
            self.list.addTopLevelItems([QTreeWidgetItem(row) for row in rows])

    def show_on_screen(self, number: int | None) -> None:
        """Show which slice of the list is on screen."""
        with QSignalBlocker(self.list):
            self.list.setCurrentItem(None if number is None else self.list.topLevelItem(number))
        if not self._listed:
            self.on_screen.setText(_NONE)
        elif number is None:
            self.on_screen.setText("The slice on screen was not segmented.")
        else:
            name, overlap, state = self._listed[number]
            said = [f"overlap about {overlap}" if overlap else "nothing found", state]
            self.on_screen.setText(f"On screen: {name}, {', '.join(filter(None, said))}")

    def _on_clicked(self, item: QTreeWidgetItem, _: int) -> None:
        self.picked.emit(self.list.indexOfTopLevelItem(item))


def _row(item: ReviewItem) -> tuple[str, str, str]:
    """Return what is shown of a slice: its name, its overlap, its state."""
    overlap = "" if item.estimate is None else f"{item.estimate:.2f}"
    return item.title, overlap, item.state
