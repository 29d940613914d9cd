"""Keeps the chosen models ready: missing weights, the device, what is remembered of both."""

from __future__ import annotations

from functools import partial

from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_iclsam._qt.background.device import find_device_steps
from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.dialogs.weights_dialog import obtain
from napari_iclsam._qt.forms import model_form
from napari_iclsam._qt.forms.model_form import ModelForm
from napari_iclsam._qt.preferences import Preferences
from napari_iclsam._qt.run.request import Request
from napari_iclsam._qt.run.run_bar import RunBar
from napari_iclsam._qt.run.run_step import RunSummary
from napari_iclsam.weights.download import MissingWeights
from napari_iclsam.weights.entry import Weights


class ModelControl(QObject):
    """The state of the models: which are chosen, which are here, and where they run.

    Parameters
    ----------
    form : ModelForm
    preferences : Preferences
    bar : RunBar
        Shows what will run where.
    window : QWidget
        Of which dialogs are opened.

    Attributes
    ----------
    weights_offered : Signal()
        A download was offered: weights may be here now.
    finder : Runner
        Finds the device, in a worker.
    """

    weights_offered = Signal()

    def __init__(
        self, form: ModelForm, preferences: Preferences, bar: RunBar, window: QWidget
    ) -> None:
        super().__init__(window)
        self.finder = Runner(self)
        self._form = form
        self._preferences = preferences
        self._bar = bar
        self._window = window
        self._found_device = ""
        self.finder.returned.connect(self._on_device_found)
        form.changed.connect(self.update)
        form.download_requested.connect(self._on_download_requested)

    def find_device(self) -> None:
        """Ask torch, in a worker, what this computer has."""
        self.finder.start(partial(find_device_steps, "auto"))

    def close(self) -> None:
        """Stop for good."""
        self.finder.close()

    def update(self) -> None:
        """Show which models will run, where, and how long a slice takes."""
        models = self._form.models()
        names = [model_form.title(models.sam, "sam"), model_form.title(models.icl, "icl")]
        # both starter models have one name
        together = " + ".join(dict.fromkeys(names))
        device = models.device
        if device == "auto" and self._found_device:
            device = self._found_device
        self._bar.show_models(together, device, self._preferences.seconds(models))

    def obtain_missing(self) -> bool:
        """Offer to download the chosen models that are missing; return whether all are here."""
        missing = self._form.missing()
        return not missing or self.obtain(*missing)

    def obtain(self, *wanted: Weights) -> bool:
        """Offer to download weights; return whether they are here now."""
        are_here = obtain(wanted, self._window)
        # what was downloaded is no longer marked as missing
        self._form.refresh()
        self.weights_offered.emit()
        return are_here

    def note_finished(self, summary: RunSummary, request: Request) -> None:
        """Keep what a run has shown: how long a slice takes, and which device "auto" is."""
        if summary.seconds is not None:
            self._preferences.remember_seconds(request.models, summary.seconds)
        if request.models.device == "auto":
            self._found_device = summary.device
        self.update()

    def show_failure(self, error: Exception) -> None:
        """Show an error; if weights are missing, offer to download them."""
        if isinstance(error, MissingWeights) and not error.weights.bundled:
            self.obtain(error.weights)
        else:
            show_error(str(error))

    def show_run_failure(self, error: Exception) -> None:
        """Show how a run failed; the dock tells it already, unless another covers the dock."""
        if isinstance(error, MissingWeights) or not self._bar.isVisible():
            self.show_failure(error)

    def _on_download_requested(self, weights: Weights) -> None:
        self.obtain(weights)

    def _on_device_found(self, device: str) -> None:
        self._found_device = device
        self.update()
