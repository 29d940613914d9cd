"""A box of choices that may be narrower than what it holds."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import (
    QComboBox,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
)

ELIDED = Qt.TextElideMode.ElideMiddle
"""Of long names, the ends tell one from another."""


def shrinkable(combo: QComboBox) -> QComboBox:
    """Let a box be narrower than its longest entry, and return it."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    combo.view().setTextElideMode(ELIDED)
    return combo


def draw_elided(combo: QComboBox) -> None:
    """Draw a box without the middle of a long text; by default, its end is cut off."""
    option = QStyleOptionComboBox()
    combo.initStyleOption(option)
    painter = QStylePainter(combo)
    control = QStyle.ComplexControl.CC_ComboBox
    painter.drawComplexControl(control, option)
    part = QStyle.SubControl.SC_ComboBoxEditField
    room = combo.style().subControlRect(control, option, part, combo).width()
    option.currentText = combo.fontMetrics().elidedText(option.currentText, ELIDED, room)
    painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class ElidedCombo(QComboBox):
    """Choices with names that may be long.

    Parameters
    ----------
    tooltip : str
        As rich text.
    """

    def __init__(self, tooltip: str = "") -> None:
        super().__init__(toolTip=tooltip)
        shrinkable(self)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw a long text without its middle."""
        draw_elided(self)
