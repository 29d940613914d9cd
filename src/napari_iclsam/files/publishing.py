"""Results that are complete put in their place: files, and stores that are folders."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from napari_iclsam.files.names import image_of_labels, stem, suffix
from napari_iclsam.files.omezarr_labels import name_labels, register_labels
from napari_iclsam.files.omezarr_metadata import is_label_group


def place_name(target: Path) -> str:
    """Return a name for what is being written whose suffix says the kind of the target."""
    return target.name if suffix(target) else f"{target.name}.ome.zarr"


def home_of(target: Path) -> Path:
    """Return the folder that a result lies in, beside its image if it goes into that."""
    image = image_of_labels(target)
    return target.parent if image is None else image.parent


def check_replaceable(target: Path) -> None:
    """Check that a result may take the place of a folder.

    Raises
    ------
    IsADirectoryError
        If it is not one that holds labels, and so may be an image.
    """
    if not is_label_group(target):
        raise IsADirectoryError(
            f"{target} is a folder that does not hold labels: name another place for the result."
        )


def publish(place: Path, target: Path) -> None:
    """Let a result that is complete appear under its own name, in place of an older one."""
    # what is being written has another name
    if is_label_group(place):
        name_labels(place, stem(target))
    if target.is_dir():
        # A folder cannot be replaced in one step: the old one is out of the way for an instant.
        old = place.with_name(f"{uuid.uuid4().hex[:8]}-old")
        target.replace(old)
        place.replace(target)
        shutil.rmtree(old)
    else:
        place.replace(target)
    if image_of_labels(target) is not None:
        register_labels(target)


def remove(place: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
