"""What is remembered between sessions: in napari's Preferences, and in a file of the plugin.

Older versions of napari have no page for plugins; then all is in the file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import platformdirs

from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.settings import Settings
from napari_iclsam.weights.download import OFFLINE
from napari_iclsam.weights.folders import HOME, expanded, folder_of_user, use_home

PLUGIN = "napari-iclsam"

_DEFAULTS: dict[str, Any] = {
    "models": "starter",
    "icl": "starter_icl",
    "device": "auto",
    "cache_folder": "",
    "cache_size": 4,
    "offline": False,
}
"""As declared in the manifest; what an older napari, which has no such page, is given."""


class Preferences:
    """Values that outlive a session."""

    def __init__(self) -> None:
        self._page = _page()
        folder = _folder()
        self._file = None if folder is None else folder / "widget.json"
        self._values = {} if self._file is None else _read(self._file)

    def apply(self) -> None:
        """Let this process use the folder, and download nothing if that is switched off."""
        use_home(str(self._get("cache_folder")))
        if self._get("offline"):
            os.environ.setdefault(OFFLINE, "1")

    @property
    def cache_bytes(self) -> int:
        """How much the cache of embeddings may hold on disk."""
        return int(self._get("cache_size")) << 30

    @property
    def models(self) -> ModelChoice:
        """The models and the device of the last session."""
        return ModelChoice(
            str(self._get("models")), str(self._get("icl")), str(self._get("device"))
        )

    def remember_models(self, models: ModelChoice) -> None:
        """Keep models and device."""
        for key, value in (("models", models.sam), ("icl", models.icl), ("device", models.device)):
            self._set(key, value)

    @property
    def settings(self) -> Settings:
        """The settings of the last session; the defaults if they cannot be read."""
        try:
            return Settings.from_dict(self._values.get("settings", {}))
        except (ValueError, TypeError):
            return Settings()

    def remember_settings(self, settings: Settings) -> None:
        """Keep settings."""
        self._values["settings"] = settings.to_dict()
        self._write()

    def seconds(self, models: ModelChoice) -> float | None:
        """Return what a slice took with these models; None if they have not run here."""
        value = self._values.get("seconds", {}).get(_speed_key(models))
        return float(value) if isinstance(value, (int, float)) else None

    def remember_seconds(self, models: ModelChoice, seconds: float) -> None:
        """Keep what a slice takes."""
        self._values.setdefault("seconds", {})[_speed_key(models)] = round(seconds, 3)
        self._write()

    def _get(self, key: str) -> Any:
        if key in self._values.get("own", {}):
            return self._values["own"][key]
        return getattr(self._page, key, _DEFAULTS[key])

    def _set(self, key: str, value: Any) -> None:
        own = self._values.setdefault("own", {})
        own.pop(key, None)
        if not self._set_on_page(key, value):
            own[key] = value
        self._write()

    def _set_on_page(self, key: str, value: Any) -> bool:
        """Keep a value on the page; return whether the page takes it."""
        if self._page is None or not hasattr(self._page, key):
            return False
        try:
            setattr(self._page, key, value)
        except ValueError:
            # a custom checkpoint is not one of the choices that the page offers
            return False
        return True

    def _write(self) -> None:
        """Write the file whole or not at all; a disk that cannot be written to only forgets."""
        if self._file is None:
            return
        # renaming is atomic: two windows may write
        part = self._file.with_suffix(".part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(self._values, indent=2), encoding="utf-8")
            part.replace(self._file)
        except OSError:
            return


def _folder() -> Path | None:
    """Return where preferences are kept; None for a user without a home folder."""
    named = os.environ.get(HOME)
    return expanded(named) if named else folder_of_user(platformdirs.user_config_dir)


def _page() -> Any:
    """Return the plugin's page of napari's Preferences; None where napari has none."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return get_plugin_settings(PLUGIN).general
    except (KeyError, AttributeError):
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _speed_key(models: ModelChoice) -> str:
    return f"{models.sam} {models.icl} {models.device}"
