"""Images that the user names: files, folders that hold them, and patterns."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_iclsam.files.names import kind_of
from napari_iclsam.files.reading import READ_KINDS

_PATTERN = "*?["
"""Characters of which one makes a pattern of a name."""


@dataclass(frozen=True, slots=True)
class FoundImages:
    """Images to segment.

    Attributes
    ----------
    paths : tuple of Path
        In the order in which they were named, those of a folder or pattern by name; each once.
    is_batch : bool
        Whether they may be many: then one that fails does not stop the others.
    skipped : int
        Files of folders and patterns that are no images.
    """

    paths: tuple[Path, ...]
    is_batch: bool
    skipped: int = 0


def find_images(named: Sequence[Path], apart_from: Iterable[Path] = ()) -> FoundImages:
    """Return the images that files, folders and patterns stand for.

    A folder stands for the images in it, without those of its folders. A pattern such as
    ``scans/**/*.tif`` may reach into these.

    Parameters
    ----------
    named : sequence of Path
    apart_from : iterable of Path
        Files that are not taken from a folder or by a pattern, such as labels of examples.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or a folder or pattern stands for no image.
    ValueError
        If a file that was named itself is of a kind that is not read.
    """
    unwanted = {path.resolve() for path in apart_from}
    paths: list[Path] = []
    is_batch = len(named) > 1
    skipped = 0
    for name in named:
        if _is_image_itself(name):
            paths.append(name)
            continue
        is_batch = True
        listed = _listed(name)
        images = [path for path in listed if kind_of(path) is not None]
        skipped += len(listed) - len(images)
        wanted = [path for path in images if path.resolve() not in unwanted]
        if not wanted:
            raise FileNotFoundError(f"{name} holds no image: give {READ_KINDS}.")
        paths += wanted
    # A file that is named and lies in a named folder, too, is meant once.
    return FoundImages(tuple(dict.fromkeys(paths)), is_batch, skipped)


def _is_image_itself(name: Path) -> bool:
    # Some images are folders, and a file may be called "a[1].tif".
    if name.exists():
        return not name.is_dir() or kind_of(name) is not None
    return not _is_pattern(name)


def _is_pattern(name: Path) -> bool:
    return any(character in str(name) for character in _PATTERN)


def _listed(name: Path) -> list[Path]:
    """Return the files of a folder or of a pattern, sorted; hidden ones are left out."""
    files = name.iterdir() if name.is_dir() else _matching(name)
    seen = [path for path in files if not path.name.startswith(".")]
    # Folders in a folder are not looked into, unless they are images.
    return sorted(path for path in seen if path.is_file() or kind_of(path) is not None)


def _matching(pattern: Path) -> list[Path]:
    # pathlib's own glob takes no pattern that begins at the root.
    return [Path(found) for found in glob.glob(str(pattern), recursive=True)]  # noqa: PTH207
