"""A message that is scrolled where there is no room for it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget

from napari_iclsam._qt.forms.wrapped_label import WrappedLabel


class MessageArea(QScrollArea):
    """Shows a message in the room that it is given, however long it is.

    Attributes
    ----------
    label : QLabel
        Holds the text.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, widgetResizable=True)
        self.label = WrappedLabel()
        self.label.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.label.setMargin(2)
        self.setWidget(self.label)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
