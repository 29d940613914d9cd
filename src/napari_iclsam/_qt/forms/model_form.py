"""Which models run where."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QPushButton, QWidget

from napari_iclsam._qt.dialogs.weights_dialog import readable
from napari_iclsam._qt.forms.elided_combo import ElidedCombo
from napari_iclsam._qt.forms.form_rows import form_rows
from napari_iclsam._qt.forms.wrapped_label import WrappedLabel
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.weights.catalogue import CATALOGUE, EXPERTS
from napari_iclsam.weights.download import status
from napari_iclsam.weights.entry import Kind, Weights
from napari_iclsam.weights.lookup import expert_names, lookup, names

DEVICES = {
    "auto": "Automatic",
    "cpu": "Processor (CPU)",
    "cuda": "Graphics card (CUDA)",
    "mps": "Apple graphics (MPS)",
}

_CUSTOM = "\0custom"
"""Data of the entry that lets the user choose a custom checkpoint: no path is like this."""

_CHECKPOINTS = "Checkpoints (*.pth *.pt *.safetensors)"

_BETTER = ("medsam_vit_b", "mobile_sam", "sam_vit_b")
"""Promptable models to offer, best known first, where only those of the package are here."""

_STARTERS = (*EXPERTS, "starter_sam", "lite_medsam")
"""Promptable models of the package."""


class ModelForm(QWidget):
    """A form of `ModelChoice`.

    Attributes
    ----------
    changed : Signal()
        The user chose something else.
    download_requested : Signal(object)
        Weights that the user wants to have.
    """

    changed = Signal()
    download_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sam = _combo("Promptable model: refines what the in-context model finds.")
        self.icl = _combo("In-context model: finds what the examples show.")
        self.device = _combo("Where to compute.")
        self.about = WrappedLabel()
        self.download = QPushButton("Download…")
        for key, text in DEVICES.items():
            self.device.addItem(text, key)
        form = form_rows(self)
        form.addRow("SAM model", self.sam)
        form.addRow("ICL model", self.icl)
        form.addRow("Device", self.device)
        form.addRow(self.about)
        form.addRow(self.download)
        self._shown = ModelChoice()
        self.sam.activated.connect(self._on_sam_chosen)
        self.icl.activated.connect(self._on_icl_chosen)
        self.device.activated.connect(self._on_changed)
        self.download.clicked.connect(self._on_download_clicked)
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
            # a device of a newer version, or of a hand-edited file
            self.device.setCurrentIndex(max(self.device.findData(models.device), 0))
        self._show_offer()

    def refresh(self) -> None:
        """Look again which weights are here."""
        self.show_models(self.models())

    def missing(self) -> list[Weights]:
        """Return the chosen weights that are not on this computer and can be downloaded."""
        chosen = (_entry(self.sam.currentData(), "sam"), _entry(self.icl.currentData(), "icl"))
        missing = []
        for entry in chosen:
            if entry is not None and not entry.bundled and not _is_here(entry):
                missing.append(entry)
        return missing

    def _offered(self) -> Weights | None:
        """Return the weights to offer for download.

        What is chosen and missing, else a better model than the starter, if no better one is here.
        """
        missing = self.missing()
        if missing:
            return missing[0]
        better = [CATALOGUE[name] for name in _BETTER]
        if self.sam.currentData() not in _STARTERS or any(map(_is_here, better)):
            return None
        return better[0]

    def _show_offer(self) -> None:
        offered = self._offered()
        self.download.setVisible(offered is not None)
        self.about.setVisible(offered is not None)
        if offered is None:
            return
        is_chosen = offered in self.missing()
        reason = "is not on this computer" if is_chosen else "may do better"
        self.about.setText(f"{offered.title} {reason}: good for {offered.good_for}.")
        self.download.setText(f"Download {offered.title} ({readable(offered.about_size)})…")
        self.download.setToolTip(
            f"<p>{offered.license}. You see license and size before anything is downloaded.</p>"
        )

    def _ask_for_custom(self, combo: QComboBox, kind: Kind, before: str) -> None:
        """Let the user choose a custom checkpoint, if that is the entry of a combo."""
        if combo.currentData() == _CUSTOM:
            path, _ = QFileDialog.getOpenFileName(self, "Custom checkpoint", "", _CHECKPOINTS)
            # no path: the dialog was closed without a choice
            _fill(combo, kind, path or before)
        self._on_changed()

    def _on_sam_chosen(self) -> None:
        self._ask_for_custom(self.sam, "sam", self._shown.sam)

    def _on_icl_chosen(self) -> None:
        self._ask_for_custom(self.icl, "icl", self._shown.icl)

    def _on_changed(self) -> None:
        self._shown = self.models()
        self._show_offer()
        self.changed.emit()

    def _on_download_clicked(self) -> None:
        offered = self._offered()
        if offered is not None:
            self.download_requested.emit(offered)


def title(name: str, kind: Kind) -> str:
    """Return what to call a model in one or two words."""
    entry = _entry(name, kind)
    if kind == "sam" and _together(name):
        return "starter"
    if entry is None:
        return Path(name).name
    return "starter" if entry.name.startswith("starter") else entry.title


def _together(name: str) -> str:
    """Return the common name of promptable models that are used together; empty of a single one."""
    parts = expert_names(name)
    return next((common for common, each in EXPERTS.items() if each == parts), "")


def _entry(name: str, kind: Kind) -> Weights | None:
    """Return the catalogue's entry of a model; None of a custom checkpoint."""
    try:
        return lookup(name, kind)
    except ValueError:
        return None


def _is_here(weights: Weights) -> bool:
    return status(weights).path is not None


def _combo(tooltip: str) -> QComboBox:
    return ElidedCombo(f"<p>{tooltip}</p>")


def _fill(combo: QComboBox, kind: Kind, chosen: str) -> None:
    """Offer all models of a kind and a custom checkpoint, and choose one of them."""
    entry = _entry(chosen, kind)
    with QSignalBlocker(combo):
        combo.clear()
        if kind == "sam":
            for together, parts in EXPERTS.items():
                titles = " and ".join(CATALOGUE[part].title for part in parts)
                combo.addItem(f"{together.capitalize()} ({len(parts)} models)", together)
                combo.setItemData(combo.count() - 1, titles, Qt.ItemDataRole.ToolTipRole)
        for name in names(kind):
            weights = CATALOGUE[name]
            text = weights.title
            if not _is_here(weights):
                text += f" (not here, {readable(weights.about_size)})"
            combo.addItem(text, name)
        if entry is None and not (kind == "sam" and _together(chosen)):
            combo.addItem(Path(chosen).name, chosen)
        combo.addItem("Custom checkpoint…", _CUSTOM)
        known = _together(chosen) if kind == "sam" else ""
        combo.setCurrentIndex(combo.findData(known or (chosen if entry is None else entry.name)))
