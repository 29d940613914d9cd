"""The images of a series: a list with states, previous and next, labels, files of a folder."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_iclsam._qt.review.image_series import SeriesRow
from napari_iclsam.commands.short_names import shortened

OVERLAP = "Estimated overlap with what a person would draw (Dice coefficient), of the worst label"

_HEIGHT = 140
"""Pixels of the list: about seven images."""

_NAME = 18
"""Characters of a name in the list."""


class SeriesForm(QWidget):
    """Shows the images of a viewer one below the other, and lets the user go through them.

    Attributes
    ----------
    step_requested : Signal(int)
        To the previous image (-1) or to the next one (1).
    picked : Signal(int)
        An image of the list, by number.
    paint_requested : Signal()
        Labels for the image on view.
    folder_requested : Signal()
    filled : Signal()
        There are several images, where there was none or one before.
    """

    step_requested = Signal(int)
    picked = Signal(int)
    paint_requested = Signal()
    folder_requested = Signal()
    filled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._listed: tuple[list[SeriesRow], int | None] = ([], None)
        self.previous = QPushButton("◀ Previous")
        self.next = QPushButton("Next ▶")
        self.folder = QPushButton(
            "Add folder…",
            toolTip="<p>List the images of a folder. Each is opened when it is shown.</p>",
        )
        self.paint = QPushButton("New labels")
        self.list = QTreeWidget(rootIsDecorated=False, uniformRowHeights=True)
        self.list.setHeaderLabels(["Image", "Overlap", "State"])
        self.list.headerItem().setToolTip(1, OVERLAP)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setFixedHeight(_HEIGHT)
        self.list.setColumnWidth(0, 138)
        self.list.setColumnWidth(1, 54)
        self.list.setColumnWidth(2, 70)
        self.list.hide()
        self.place = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self._lay_out()
        self.previous.clicked.connect(self._on_previous)
        self.next.clicked.connect(self._on_next)
        self.paint.clicked.connect(self.paint_requested)
        self.folder.clicked.connect(self.folder_requested)
        self.list.itemClicked.connect(self._on_clicked)

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(3)
        buttons.addWidget(self.previous, 1)
        buttons.addWidget(self.place)
        buttons.addWidget(self.next, 1)
        adding = QHBoxLayout()
        adding.setSpacing(3)
        adding.addWidget(self.folder, 1)
        adding.addWidget(self.paint, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.setSpacing(3)
        layout.addLayout(buttons)
        layout.addWidget(self.list)
        layout.addLayout(adding)

    def show_opening(self, name: str) -> None:
        """Show that a file is being opened."""
        self.place.setText(f"Opening {name} …")

    def show_rows(self, rows: Sequence[SeriesRow], shown: int | None) -> None:
        """Show the images, one of them as the one on view."""
        is_open = shown is not None and not rows[shown].is_closed
        has_files = any(row.is_closed for row in rows)
        self._allow_steps(len(rows), shown, has_files=has_files)
        self._allow_painting(is_open)
        if (list(rows), shown) == self._listed:
            # at each stroke: a list that is filled anew would jump
            return
        self._listed = (list(rows), shown)
        with QSignalBlocker(self.list):
            self.list.clear()
            for row in rows:
                dice = "" if row.estimate is None else f"{row.estimate:.2f}"
                item = QTreeWidgetItem([shortened(row.name, _NAME), dice, row.state])
                item.setToolTip(0, row.name)
                item.setToolTip(2, row.reason)
                self.list.addTopLevelItem(item)
            if shown is not None:
                self.list.setCurrentItem(self.list.topLevelItem(shown))

    def _allow_steps(self, count: int, shown: int | None, *, has_files: bool) -> None:
        is_series = count > 1 or has_files
        if is_series and self.list.isHidden():
            self.filled.emit()
        self.list.setVisible(is_series)
        self.place.setText("" if shown is None else f"{shown + 1} of {count}")
        self._allow_step(self.previous, is_series and shown != 0, "first")
        self._allow_step(self.next, is_series and shown != count - 1, "last")

    def _allow_painting(self, is_open: bool) -> None:
        self.paint.setEnabled(is_open)
        why_not = "Show an image first: Previous, Next, or a click in the list."
        to_paint = "Add empty labels to the image on view, to paint in: it becomes an example."
        self.paint.setToolTip(f"<p>{to_paint if is_open else why_not}</p>")

    def _allow_step(self, button: QPushButton, is_possible: bool, end: str) -> None:
        button.setEnabled(is_possible)
        way = "Show this image with its own layers, and hide those of the others."
        why_not = f"This is the {end} image of the viewer's 2D images."
        button.setToolTip(f"<p>{way if is_possible else why_not}</p>")

    def _on_previous(self) -> None:
        self.step_requested.emit(-1)

    def _on_next(self) -> None:
        self.step_requested.emit(1)

    def _on_clicked(self, item: QTreeWidgetItem, _: int) -> None:
        self.picked.emit(self.list.indexOfTopLevelItem(item))
