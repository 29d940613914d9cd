"""Where weights lie on this computer. Knows no network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import platformdirs

from napari_iclsam.weights.catalogue import Weights

HOME = "NAPARI_ICLSAM_HOME"
"""Environment variable that names the folder for everything that this package keeps."""

Place = Literal["bundled", "cache", "torch hub"]


def home() -> Path:
    """Return the folder for everything that this package keeps: that of ``NAPARI_ICLSAM_HOME``, else the cache."""
    named = os.environ.get(HOME)
    return (
        Path(named).expanduser()
        if named
        else Path(platformdirs.user_cache_dir("napari-iclsam", appauthor=False))
    )


def use_home(folder: Path | str) -> None:
    """Use a folder from the Preferences in this process and those it starts, unless the environment names one."""
    if str(folder):
        os.environ.setdefault(HOME, str(folder))


def weights_folder() -> Path:
    """Return the folder into which weights are downloaded."""
    return home() / "weights"


def hub_folder() -> Path:
    """Return the folder in which torch.hub keeps checkpoints, without importing torch."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(os.environ.get("TORCH_HOME") or cache).expanduser() / "hub" / "checkpoints"


def bundled_folder() -> Path:
    """Return the folder of the weights that come with the package."""
    return Path(str(resources.files("napari_iclsam.weights"))) / "bundled"


@dataclass(frozen=True, slots=True)
class Found:
    """A file that has the name (and, where known, the length) of weights; its content has not been checked."""

    path: Path
    place: Place


def candidates(weights: Weights) -> tuple[Found, ...]:
    """Return the files that may be these weights, the one to prefer first."""
    if weights.bundled:
        places: tuple[tuple[Path, Place], ...] = ((bundled_folder(), "bundled"),)
    else:
        places = ((weights_folder(), "cache"), (hub_folder(), "torch hub"))
    found = (Found(folder / weights.filename, place) for folder, place in places)
    return tuple(each for each in found if each.path.is_file() and _fits(each, weights))


def _fits(found: Found, weights: Weights) -> bool:
    """Leave out another program's file of another length; one in our own folder is looked at, to say what is wrong."""
    return (
        found.place != "torch hub"
        or weights.size is None
        or found.path.stat().st_size == weights.size
    )


def partial(weights: Weights) -> Path:
    """Return where the unfinished download of these weights lies, if there is one."""
    return weights_folder() / (weights.filename + ".part")
