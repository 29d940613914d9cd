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
    """Return the folder for everything that this package keeps.

    It is that of ``NAPARI_ICLSAM_HOME``, else the user's cache.
    """
    named = os.environ.get(HOME)
    if named:
        return Path(named).expanduser()
    return Path(platformdirs.user_cache_dir("napari-iclsam", appauthor=False))


def use_home(folder: Path | str) -> None:
    """Use a folder from the Preferences in this process and those it starts.

    A folder that the environment names goes first.
    """
    if str(folder):
        # The environment, because it is what child processes inherit.
        os.environ.setdefault(HOME, str(folder))


def weights_folder() -> Path:
    """Return the folder into which weights are downloaded."""
    return home() / "weights"


def hub_folder() -> Path:
    """Return the folder in which torch.hub keeps checkpoints, without importing torch."""
    # As torch.hub does it.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(os.environ.get("TORCH_HOME") or cache).expanduser() / "hub" / "checkpoints"


def bundled_folder() -> Path:
    """Return the folder of the weights that come with the package."""
    return Path(str(resources.files("napari_iclsam.weights"))) / "bundled"


@dataclass(frozen=True, slots=True)
class Found:
    """A file with the name (and, where known, the length) of weights, of unverified content."""

    path: Path
    place: Place


def candidates(weights: Weights) -> tuple[Found, ...]:
    """Return the files that may be these weights, the one to prefer first."""
    if weights.bundled:
        places: tuple[Found, ...] = (Found(bundled_folder(), "bundled"),)
    else:
        # Our own folder first: what lies there was verified when it came.
        places = (Found(weights_folder(), "cache"), Found(hub_folder(), "torch hub"))
    found = []
    for folder in places:
        file = Found(folder.path / weights.filename, folder.place)
        if file.path.is_file() and _fits(file, weights):
            found.append(file)
    return tuple(found)


def _fits(found: Found, weights: Weights) -> bool:
    """Leave out another program's file of another length.

    A file in our own folder is compared later, to say what is wrong with it.
    """
    # Reading gigabytes of another program's file only to pass it over would be slow.
    if found.place != "torch hub" or weights.size is None:
        return True
    return found.path.stat().st_size == weights.size


def partial(weights: Weights) -> Path:
    """Return where the unfinished download of these weights lies, if there is one."""
    return weights_folder() / (weights.filename + ".part")
