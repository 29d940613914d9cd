"""Files of microscopes (CZI, LIF, ND2, ...): one channel of one scene, read by bioio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_iclsam.files.channels import Channels, choose_channel
from napari_iclsam.files.optional import needed
from napari_iclsam.files.part import WHOLE, Part
from napari_iclsam.files.space import ImageFile, Space


def read_microscope(path: Path, part: Part = WHOLE) -> ImageFile:
    """Read a plane or a stack.

    Parameters
    ----------
    path : Path
    part : Part
        The channel, and as series the scene, by number or name.

    Raises
    ------
    ModuleNotFoundError
        bioio is not installed.
    ValueError
        No reader of bioio for this kind is installed, or there are several channels or scenes and
        none was named.
    """
    image = _open(path)
    image.set_scene(_scene(tuple(image.scenes), part.series))
    names = tuple(str(name) for name in image.channel_names or ())
    channel = choose_channel(Channels(names), int(image.dims.C), part.channel)
    letters = _letters(image)
    color = "S" in image.dims.order
    order = f"{letters}S" if color else letters
    fixed = {letter: 0 for letter in "TCZ" if letter not in letters}
    pixels = np.asarray(image.get_image_data(order, **{**fixed, "C": channel}))
    return ImageFile(path, pixels, color, _space(image, letters))


def _open(path: Path) -> Any:
    bioio = needed("bioio", "A file of a microscope", "bioio")
    errors = needed("bioio_base.exceptions", "A file of a microscope", "bioio")
    try:
        return bioio.BioImage(path)
    except errors.UnsupportedFileFormatError as error:
        kind = path.suffix.lower().removeprefix(".")
        raise ValueError(
            f"no reader of bioio takes it: install the one for {path.suffix}, such as pip install "
            f"bioio-{kind}"
        ) from error


def _scene(scenes: tuple[str, ...], wanted: str | None) -> int:
    """Return the number of the scene that is meant."""
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(scenes))
    if wanted is None:
        if len(scenes) > 1:
            raise ValueError(
                f"it holds {len(scenes)} scenes ({listed}) and one is needed; name it with --series"
            )
        return 0
    if wanted in scenes:
        return scenes.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(scenes):
        return int(wanted)
    raise ValueError(f"it has no scene {wanted!r}; its scenes are {listed}")


def _letters(image: Any) -> str:
    """Return the axes longer than one, rows and columns."""
    return "".join(letter for letter in "TZ" if image.dims[letter][0] > 1) + "YX"


def _space(image: Any, letters: str) -> Space:
    # in micrometers, as OME has it
    sizes = image.physical_pixel_sizes
    known = {"Z": sizes.Z, "Y": sizes.Y, "X": sizes.X}
    spacing = tuple(known.get(letter) or None for letter in letters)
    says_nothing = not any(spacing)
    return Space(letters, () if says_nothing else spacing, "" if says_nothing else "µm", "ome")
