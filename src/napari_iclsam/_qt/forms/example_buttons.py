"""The buttons below the table of examples."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout, QWidget


class ExampleButtons(QWidget):
    """Add, remove, order, inspect, open, save.

    Attributes
    ----------
    add, remove, up, down, model_input, nothing, open, save : QToolButton
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.add = _button("+", "Add the slice that is shown now as an example.")
        self.remove = _button("−", "Remove the selected examples (Delete).")  # noqa: RUF001
        self.up = _button("↑", "Move the example up.")
        self.down = _button("↓", "Move the example down.")
        self.model_input = _button(
            "What the model sees", "Show the selected example as it is given to the models."
        )
        self.nothing = _button(
            "Nothing here",
            "Declare that the slice that is shown now holds no object: it joins the examples, and "
            "tells where objects end.",
        )
        self.open = _button(
            "Open…", "Open a task file: its examples are added, its settings and models are chosen."
        )
        self.save = _button(
            "Save…",
            "Save the ticked examples, the settings and the models as a task file (.iclsam).",
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        editing = (self.add, self.remove, self.up, self.down)
        layout.addLayout(_row(editing, (self.model_input,)))
        layout.addLayout(_row((self.nothing,), (self.open, self.save)))

    def allow(self, *, add: bool, edit: bool, inspect: bool, save: bool) -> None:
        """Enable what is possible."""
        self.add.setEnabled(add)
        self.nothing.setEnabled(add)
        for button in (self.remove, self.up, self.down):
            button.setEnabled(edit)
        self.model_input.setEnabled(inspect)
        self.save.setEnabled(save)


def _row(left: Sequence[QWidget], right: Sequence[QWidget]) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(2)
    for button in left:
        row.addWidget(button)
    # pushes the second group to the right
    row.addStretch()
    for button in right:
        row.addWidget(button)
    return row


def _button(text: str, tooltip: str) -> QToolButton:
    button = QToolButton(text=text, toolTip=f"<p>{tooltip}</p>")
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
    return button
