"""A part of a form under a title that folds it away."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget


class Section(QWidget):
    """A foldable part of a form. Its height is that of its content, which may change.

    Parameters
    ----------
    title : str
    content : QWidget
    expanded : bool

    Attributes
    ----------
    toggled : Signal(bool)
        The user folded the part away, or out.
    """

    toggled = Signal(bool)

    def __init__(self, title: str, content: QWidget, *, expanded: bool = True) -> None:
        super().__init__()
        self.button = QToolButton(text=title, checkable=True, checked=expanded, autoRaise=True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.button.setStyleSheet(
            "QToolButton { font-weight: bold; border: none; padding: 2px; text-align: left; }"
        )
        self.content = content
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(self.content)
        self.button.toggled.connect(self._on_toggled)
        self._on_toggled(expanded)

    def _on_toggled(self, expanded: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if expanded else Qt.ArrowType.RightArrow)
        # hidden, it takes no room
        self.content.setVisible(expanded)
        self.toggled.emit(expanded)
