"""Where results go and what else is shown."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton, QWidget

from napari_iclsam._qt.forms.elided_combo import ElidedCombo
from napari_iclsam._qt.forms.form_rows import form_rows
from napari_iclsam._qt.viewer.result_style import Destination, Extra, ResultOptions

DESTINATIONS: dict[Destination, str] = {
    "update": "Update the previous result",
    "new": "New layer",
    "fill": "Fill unlabelled pixels",
}

EXTRAS: dict[Extra, str] = {
    "probability": "Probability of each label",
    "confidence": "Confidence maps",
    "icl": "In-context model only",
    "sam": "SAM only",
    "boxes": "Box prompts",
}

_EXTRA_TOOLTIPS: dict[Extra, str] = {
    "probability": "How likely each pixel is of a label, as image layers.",
    "confidence": "Confidence of each label from SAM's features alone, as image layers.",
    "icl": "The labels before SAM refines them.",
    "sam": "The labels of SAM before they are fused with those of the in-context model.",
    "boxes": "The boxes that prompt SAM, as a shapes layer.",
}


class ResultForm(QWidget):
    """A form of `ResultOptions`.

    Attributes
    ----------
    changed : Signal()
        The user chose something else.
    swap_requested : Signal()
        The user wants the earlier result, or the newer one again.
    """

    changed = Signal()
    swap_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.destination = ElidedCombo(
            "<p>Updating writes into the last result of the image, if there is one. Slices "
            "that you corrected by hand stay as they are. Filling writes into your labels layer, "
            "only where nothing is painted.</p>"
        )
        for key, text in DESTINATIONS.items():
            self.destination.addItem(text, key)
        self.replace = QCheckBox(
            "Replace my corrections",
            toolTip="<p>Write over slices of the result that were corrected by hand.</p>",
        )
        self.extras: dict[Extra, QCheckBox] = {}
        form = form_rows(self)
        form.addRow("Write to", self.destination)
        self.swap = QPushButton("Bring back the earlier result")
        self.swap.clicked.connect(self.swap_requested)
        form.addRow(self.replace)
        form.addRow(self.swap)
        form.addRow(QLabel("Show also"))
        for extra, text in EXTRAS.items():
            box = QCheckBox(text, toolTip=_EXTRA_TOOLTIPS[extra])
            box.toggled.connect(self._on_chosen)
            form.addRow(box)
            self.extras[extra] = box
        self.destination.activated.connect(self._on_chosen)
        self.replace.toggled.connect(self._on_chosen)

    def options(self) -> ResultOptions:
        """Return what the form shows."""
        extras = [extra for extra, box in self.extras.items() if box.isChecked()]
        return ResultOptions(
            self.destination.currentData(), self.replace.isChecked(), frozenset(extras)
        )

    def choose(self, destination: Destination) -> None:
        """Choose where results go, without a signal."""
        self.destination.setCurrentIndex(self.destination.findData(destination))

    def allow_fill(self, reason: str) -> None:
        """Allow filling if there is no reason against it."""
        row = self.destination.findData("fill")
        item = self.destination.model().item(row)
        item.setEnabled(not reason)
        item.setToolTip(reason)
        # an impossible choice does not stay chosen
        if reason and self.destination.currentIndex() == row:
            self.choose("update")

    def allow_swap(self, is_possible: bool, is_back: bool = False) -> None:
        """Allow to bring back an earlier result, if there is one, or the newer one again."""
        self.swap.setEnabled(is_possible)
        which = "newer" if is_possible and is_back else "earlier"
        self.swap.setText(f"Bring back the {which} result")
        way = "Exchange what the last run has written and what was there before it."
        why_not = "The last run has replaced no earlier result."
        self.swap.setToolTip(f"<p>{way if is_possible else why_not}</p>")

    def _on_chosen(self) -> None:
        self.changed.emit()
