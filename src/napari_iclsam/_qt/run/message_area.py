"""Room for a message that keeps its size: what is longer is scrolled."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QWidget

_LINES = 5


class MessageArea(QScrollArea):
    """Shows a message. The buttons above it stay where they are, however long it is.

    Attributes
    ----------
    label : QLabel
        Holds the text.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, widgetResizable=True)
        self.label = QLabel(wordWrap=True, alignment=Qt.AlignmentFlag.AlignTop)
        self.setWidget(self.label)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._keep_height()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the size of the font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._keep_height()

    def _keep_height(self) -> None:
        self.setFixedHeight(_LINES * self.fontMetrics().lineSpacing() + 4)
