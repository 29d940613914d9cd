"""Where weights lie on this computer. Knows no network."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import platformdirs

from napari_iclsam.weights.entry import Weights

HOME = "NAPARI_ICLSAM_HOME"
"""Environment variable that names the folder for everything that this package keeps."""

Place = Literal["bundled", "cache", "torch hub"]


NO_HOME = f"This user has no home folder; set {HOME} to a folder to keep embeddings and weights."
"""What to say where nothing can be kept: in a container that runs as a user whom nobody knows."""


def home() -> Path | None:
    """Return the folder for everything that this package keeps; None if there is none.

    It is that of ``NAPARI_ICLSAM_HOME``, else the user's cache.
    """
    named = os.environ.get(HOME)
    if named:
        return expanded(named)
    return folder_of_user(platformdirs.user_cache_dir)


def folder_of_user(which: Callable[..., str]) -> Path | None:
    """Return this package's folder of a kind, by a function of platformdirs; None without home."""
    try:
        return expanded(which("napari-iclsam", appauthor=False))
    # Some versions leave "~" in the path instead.
    except RuntimeError:
        return None


def expanded(folder: str) -> Path | None:
    """Return a folder with ``~`` replaced by the user's home; None if the user has none."""
    # Where the user is unknown, "~" stays, and would become a folder of this name.
    path = os.path.expanduser(folder)  # noqa: PTH111 (Path.expanduser raises)
    return None if path.startswith("~") else Path(path)


def use_home(folder: Path | str) -> None:
    """Use a folder from the Preferences in this process and those it starts.

    A folder that the environment names goes first.
    """
    if str(folder):
        # The environment, because it is what child processes inherit.
        os.environ.setdefault(HOME, str(folder))


def weights_folder() -> Path | None:
    """Return the folder into which weights are downloaded; None if there is none."""
    folder = home()
    return None if folder is None else folder / "weights"


def hub_folder() -> Path | None:
    """Return the folder in which torch.hub keeps checkpoints, without importing torch."""
    # As torch.hub does it.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    folder = expanded(os.environ.get("TORCH_HOME") or str(cache))
    return None if folder is None else folder / "hub" / "checkpoints"


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
        places: list[tuple[Path | None, Place]] = [(bundled_folder(), "bundled")]
    else:
        # Our own folder first: what lies there was verified when it came.
        places = [(weights_folder(), "cache"), (hub_folder(), "torch hub")]
    found = []
    for folder, place in places:
        if folder is None:
            continue
        file = Found(folder / weights.filename, place)
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


def partial(weights: Weights) -> Path | None:
    """Return where the unfinished download of these weights lies; None without a home folder."""
    folder = weights_folder()
    return None if folder is None else folder / (weights.filename + ".part")
