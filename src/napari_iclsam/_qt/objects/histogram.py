"""A small histogram of one measurement of all objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

_BINS = 32

_HEIGHT = 84
"""Pixels, the numbers below the axis included."""

_MARGIN = 4


class Histogram(QWidget):
    """Bars in the colors of the window.

    Attributes
    ----------
    counts : ndarray, (n,), int64
        Objects a bar.
    edges : ndarray, (n + 1,)
        Between which values.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(_HEIGHT)
        self._name = ""
        self.show_values(np.zeros(0), "")

    def show_values(self, values: NDArray[Any], name: str) -> None:
        """Show how values are distributed; those that are not finite are left out."""
        finite = values[np.isfinite(values)]
        bins = min(_BINS, max(1, round(np.sqrt(len(finite)) * 2)))
        self.counts, self.edges = np.histogram(finite, bins)
        self._name = name
        middle = f", median {np.median(finite):.4g}" if len(finite) else ""
        self.setToolTip(f"<p>{name} of {len(finite)} objects{middle}</p>" if name else "")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bars, and the least and the largest value below."""
        painter = QPainter(self)
        palette = self.palette()
        text_height = painter.fontMetrics().height()
        height = self.height() - text_height - _MARGIN
        width = self.width() - 2 * _MARGIN
        tallest = max(int(self.counts.max(initial=0)), 1)
        step = width / len(self.counts)
        for number, count in enumerate(self.counts.tolist()):
            tall = height * count / tallest
            left = _MARGIN + number * step
            bar = QRectF(left, height - tall, max(step - 1, 1), tall)
            painter.fillRect(bar, palette.highlight())
        painter.setPen(palette.windowText().color())
        painter.drawLine(_MARGIN, height, _MARGIN + width, height)
        if self.counts.any():
            below = QRectF(_MARGIN, height + 2, width, text_height)
            painter.drawText(below, Qt.AlignmentFlag.AlignLeft, f"{self.edges[0]:.3g}")
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, self._name)
            painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{self.edges[-1]:.3g}")
        painter.end()
