"""Where results go and what else is shown."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QWidget

from napari_iclsam._qt.forms.layer_combo import shrinkable
from napari_iclsam._qt.viewer.results import Extra, Output, Target

TARGETS: dict[Target, str] = {
    "update": "Update the previous result",
    "new": "New layer",
    "fill": "Fill unlabelled pixels",
}

EXTRAS: dict[Extra, tuple[str, str]] = {
    "probability": (
        "Probability of each label",
        "How likely each pixel is of a label, as image layers.",
    ),
    "confidence": (
        "Confidence maps",
        "What SAM's features alone say of each label, as image layers.",
    ),
    "icl": ("In-context model only", "The labels before SAM refines them."),
    "sam": (
        "SAM only",
        "The labels of SAM before they are joined with those of the in-context model.",
    ),
    "boxes": ("Box prompts", "Where SAM was told to look, as a shapes layer."),
}


class ResultForm(QWidget):
    """A form of `Output`.

    Attributes
    ----------
    changed : Signal()
        The user chose something else.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.target = QComboBox(
            toolTip="<p>Updating writes into the last result of the image, if there is one. Planes that you corrected "
            "by hand stay as they are. Filling writes into your labels layer, only where nothing is painted.</p>"
        )
        shrinkable(self.target)
        for key, text in TARGETS.items():
            self.target.addItem(text, key)
        self.replace = QCheckBox(
            "Replace my corrections",
            toolTip="<p>Write over planes of the result that were corrected by hand.</p>",
        )
        self.extras = {key: QCheckBox(text, toolTip=tip) for key, (text, tip) in EXTRAS.items()}
        form = QFormLayout(self)
        form.setContentsMargins(4, 0, 4, 0)
        form.setSpacing(3)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Write to", self.target)
        form.addRow(self.replace)
        form.addRow(QLabel("Show also"))
        for box in self.extras.values():
            form.addRow(box)
            box.toggled.connect(self._on_changed)
        self.target.activated.connect(self._on_changed)
        self.replace.toggled.connect(self._on_changed)

    def output(self) -> Output:
        """Return what the form says."""
        extras = frozenset(key for key, box in self.extras.items() if box.isChecked())
        return Output(self.target.currentData(), self.replace.isChecked(), extras)

    def choose(self, target: Target) -> None:
        """Choose where results go, without a signal."""
        self.target.setCurrentIndex(list(TARGETS).index(target))

    def allow_fill(self, reason: str) -> None:
        """Allow filling if there is no reason against it."""
        item = self.target.model().item(list(TARGETS).index("fill"))
        item.setEnabled(not reason)
        item.setToolTip(reason)
        if reason and self.target.currentData() == "fill":
            self.choose("update")

    def _on_changed(self) -> None:
        self.changed.emit()
