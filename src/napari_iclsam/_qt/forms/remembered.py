"""What the forms of models and settings show when the dock opens: what they showed last."""

from __future__ import annotations

from qtpy.QtCore import QObject

from napari_iclsam._qt.forms.model_form import ModelForm
from napari_iclsam._qt.forms.settings_panel import SettingsPanel
from napari_iclsam._qt.preferences import Preferences


class RememberedForms(QObject):
    """Keeps what the user chooses, for the next session.

    Parameters
    ----------
    preferences : Preferences
    models : ModelForm
    settings : SettingsPanel
    """

    def __init__(
        self, preferences: Preferences, models: ModelForm, settings: SettingsPanel
    ) -> None:
        super().__init__(settings)
        self._preferences = preferences
        self._models = models
        self._settings = settings
        # shown before it is connected: what is restored need not be kept again
        settings.show_settings(preferences.settings)
        models.show_models(preferences.models)
        settings.changed.connect(self._on_settings_changed)
        models.changed.connect(self._on_models_changed)

    def _on_settings_changed(self) -> None:
        self._preferences.remember_settings(self._settings.settings())

    def _on_models_changed(self) -> None:
        self._preferences.remember_models(self._models.models())
