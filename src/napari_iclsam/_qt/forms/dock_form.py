"""The form of the dock: its sections, one below the other, scrolled where they are too long."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_iclsam._qt.forms.section import Section


class DockForm(QScrollArea):
    """A column of sections.

    Parameters
    ----------
    sections : sequence of Section
    """

    def __init__(self, sections: Sequence[Section]) -> None:
        super().__init__(widgetResizable=True)
        form = QWidget()
        column = QVBoxLayout(form)
        column.setContentsMargins(2, 2, 2, 2)
        column.setSpacing(4)
        for section in sections:
            column.addWidget(section)
        column.addStretch()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidget(form)
        for control in (*form.findChildren(QComboBox), *form.findChildren(QAbstractSpinBox)):
            # by default, the wheel gives a control the focus
            control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            control.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the wheel for scrolling: it changes a control only after a click on it."""
        if event.type() == QEvent.Type.Wheel:
            return not watched.hasFocus()
        return bool(super().eventFilter(watched, event))
