"""Which models run where."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QLabel, QPushButton, QWidget

from napari_iclsam._qt.dialogs.weights_dialog import readable
from napari_iclsam._qt.forms.layer_combo import shrinkable
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.weights.catalogue import CATALOGUE, Kind, Weights, lookup, names
from napari_iclsam.weights.download import status

DEVICES = {
    "auto": "Automatic",
    "cpu": "Processor (CPU)",
    "cuda": "Graphics card (CUDA)",
    "mps": "Apple graphics (MPS)",
}

_BROWSE = "\0browse"

_BETTER = ("medsam_vit_b", "mobile_sam", "sam_vit_b")
"""Promptable models to offer, best known first, where only the starter is here."""


class ModelForm(QWidget):
    """A form of `ModelChoice`.

    Attributes
    ----------
    changed : Signal()
        The user chose something else.
    download_wanted : Signal(object)
        Weights that the user wants to have.
    """

    changed = Signal()
    download_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sam = _combo("Promptable model: refines what the in-context model finds.")
        self.icl = _combo("In-context model: finds what the examples show.")
        self.device = _combo("Where to compute.")
        self.about = QLabel(wordWrap=True)
        self.download = QPushButton("Download…")
        for key, text in DEVICES.items():
            self.device.addItem(text, key)
        form = QFormLayout(self)
        form.setContentsMargins(4, 0, 4, 0)
        form.setSpacing(3)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("SAM model", self.sam)
        form.addRow("ICL model", self.icl)
        form.addRow("Device", self.device)
        form.addRow(self.about)
        form.addRow(self.download)
        self._shown = ModelChoice()
        self.sam.activated.connect(self._on_sam)
        self.icl.activated.connect(self._on_icl)
        self.device.activated.connect(self._on_changed)
        self.download.clicked.connect(self._on_download)
        self.show_models(self._shown)

    def models(self) -> ModelChoice:
        """Return what the form shows."""
        return ModelChoice(
            self.sam.currentData(), self.icl.currentData(), self.device.currentData()
        )

    def show_models(self, models: ModelChoice) -> None:
        """Show models, without a signal."""
        self._shown = models
        _fill(self.sam, "sam", models.sam)
        _fill(self.icl, "icl", models.icl)
        with QSignalBlocker(self.device):
            self.device.setCurrentIndex(max(self.device.findData(models.device), 0))
        self._describe()

    def refresh(self) -> None:
        """Look again which weights are here."""
        self.show_models(self.models())

    def missing(self) -> list[Weights]:
        """Return the chosen weights that are not on this computer and can be downloaded."""
        chosen = (_entry(self.sam.currentData(), "sam"), _entry(self.icl.currentData(), "icl"))
        return [e for e in chosen if e is not None and not e.bundled and status(e).path is None]

    def _offered(self) -> Weights | None:
        """Return what to offer for download: what is chosen and missing, else a better model than the starter."""
        missing = self.missing()
        if missing:
            return missing[0]
        if self.sam.currentData() != "starter_sam" or any(
            status(CATALOGUE[n]).path is not None for n in _BETTER
        ):
            return None
        return CATALOGUE[_BETTER[0]]

    def _describe(self) -> None:
        offered = self._offered()
        self.download.setVisible(offered is not None)
        self.about.setVisible(offered is not None)
        if offered is None:
            return
        chosen = offered in self.missing()
        begin = (
            f"{offered.title} is not on this computer"
            if chosen
            else f"{offered.title} may do better"
        )
        self.about.setText(f"{begin}: good for {offered.good_for}.")
        self.download.setText(f"Download {offered.title} ({readable(offered.about_size)})…")
        self.download.setToolTip(
            f"<p>{offered.license}. You see license and size before anything is downloaded.</p>"
        )

    def _on_sam(self) -> None:
        self._chosen(self.sam, "sam", self._shown.sam)

    def _on_icl(self) -> None:
        self._chosen(self.icl, "icl", self._shown.icl)

    def _chosen(self, combo: QComboBox, kind: Kind, before: str) -> None:
        if combo.currentData() == _BROWSE:
            path, _ = QFileDialog.getOpenFileName(
                self, "Weights", "", "Weights (*.pth *.pt *.safetensors)"
            )
            _fill(combo, kind, path or before)
        self._on_changed()

    def _on_changed(self) -> None:
        self._shown = self.models()
        self._describe()
        self.changed.emit()

    def _on_download(self) -> None:
        offered = self._offered()
        if offered is not None:
            self.download_wanted.emit(offered)


def title(name: str, kind: Kind) -> str:
    """Return what to call a model in one or two words."""
    entry = _entry(name, kind)
    if entry is None:
        return Path(name).name
    return "starter" if entry.name.startswith("starter") else entry.title


def _entry(name: str, kind: Kind) -> Weights | None:
    try:
        return lookup(name, kind)
    except ValueError:
        return None  # a file of one's own


def _combo(tooltip: str) -> QComboBox:
    return shrinkable(QComboBox(toolTip=f"<p>{tooltip}</p>"))


def _fill(combo: QComboBox, kind: Kind, chosen: str) -> None:
    entry = _entry(chosen, kind)
    with QSignalBlocker(combo):
        combo.clear()
        for name in names(kind):
            weights = CATALOGUE[name]
            here = status(weights).path is not None
            combo.addItem(
                weights.title
                if here
                else f"{weights.title} (not here, {readable(weights.about_size)})",
                name,
            )
        if entry is None:
            combo.addItem(Path(chosen).name, chosen)
        combo.addItem("Own file…", _BROWSE)
        combo.setCurrentIndex(combo.findData(entry.name if entry is not None else chosen))
