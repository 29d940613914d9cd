"""A part of a form under a title that folds it away."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget


class Section(QWidget):
    """A foldable part of a form. It takes the height of its content, which may change at any time.

    Parameters
    ----------
    title : str
    content : QWidget or QLayout
    expanded : bool
    """

    toggled = Signal(bool)

    def __init__(self, title: str, content: QWidget | QLayout, *, expanded: bool = True) -> None:
        super().__init__()
        self.button = QToolButton(text=title, checkable=True, checked=expanded, autoRaise=True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.button.setStyleSheet(
            "QToolButton { font-weight: bold; border: none; padding: 2px; text-align: left; }"
        )
        self.content = QWidget()
        if isinstance(content, QLayout):
            self.content.setLayout(content)
        else:
            self.content = content
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(self.content)
        self.button.toggled.connect(self._on_toggled)
        self._on_toggled(expanded)

    def set_title(self, title: str) -> None:
        """Change the title."""
        self.button.setText(title)

    def _on_toggled(self, expanded: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if expanded else Qt.ArrowType.RightArrow)
        self.content.setVisible(expanded)
        self.toggled.emit(expanded)
