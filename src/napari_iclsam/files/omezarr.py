"""OME-Zarr, versions 0.1 to 0.5: one channel of one resolution, read and never changed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from napari_iclsam.core.large_image import LARGE
from napari_iclsam.files.channels import Channels, choose_channel
from napari_iclsam.files.omezarr_metadata import (
    Multiscale,
    channel_names,
    is_label_group,
    label_names,
    label_styles,
    multiscale_of,
)
from napari_iclsam.files.omezarr_planes import Index, ZarrPlanes
from napari_iclsam.files.optional import needed
from napari_iclsam.files.part import WHOLE, Part
from napari_iclsam.files.space import ImageFile, OmeZarr, Space

_RGB = ({"red", "green", "blue"}, {"r", "g", "b"})
"""Names of three channels that are the colors of one picture."""


def read_omezarr(
    path: Path, *, for_labels: bool = False, part: Part = WHOLE, in_memory: bool = True
) -> ImageFile:
    """Read one channel of one level.

    Parameters
    ----------
    path : Path
        A group: an image, or labels inside one.
    for_labels : bool
        Of an image with labels inside, read these.
    part : Part
    in_memory : bool
        Read all of it now. Else a stack or a large plane stays on disk, and parts are read when
        they are needed.

    Raises
    ------
    ValueError
        If it holds no image, several label groups, or several channels and none was named, or
        there is no such level.
    """
    group = labels_group(path) if for_labels else path
    image = multiscale_of(group)
    number = _level(image, part)
    array = _open(group / image.levels[number].path)
    key, color = _channel_key(group, image, array, part if not for_labels else WHOLE)
    key = _without_singles(key, image.axes, array.shape)
    letters = _left_over(image, key, color=color)
    notes = [*image.notes]
    if not for_labels:
        notes += _about_missing(array, key)
    if len(image.levels) > 1 and not for_labels:
        notes.append(_about_level(image, number))
    planes = ZarrPlanes(path, array, key, image.axes.index("C") if color else None)
    is_lazy = (len(letters) > 2 or _is_large(planes)) and not in_memory
    pixels: Any = planes if is_lazy else np.asarray(planes)
    space = _space(image, number, letters)
    styles = label_styles(group) if for_labels else {}
    return ImageFile(path, pixels, color, space, notes=tuple(notes), styles=styles)


def _is_large(planes: ZarrPlanes) -> bool:
    return planes.shape[0] * planes.shape[1] >= LARGE


def labels_group(path: Path) -> Path:
    """Return the group of the labels that a path stands for: itself, or the one inside an image.

    Raises
    ------
    ValueError
        If there are several inside.
    """
    if is_label_group(path):
        return path
    names = label_names(path)
    if len(names) > 1:
        listed = ", ".join(names)
        raise ValueError(f"it holds several label groups ({listed}); name one: {path}/labels/NAME")
    return path / "labels" / names[0] if names else path


def _level(image: Multiscale, part: Part) -> int:
    """Return the number of the level that is meant: named, of pixels of a size, or the finest."""
    count = len(image.levels)
    if part.level is not None:
        if not 0 <= part.level < count:
            listed = ", ".join(_sizes_in_words(image))
            raise ValueError(f"it has no level {part.level}; its levels are {listed}")
        return part.level
    if part.pixel_size is None:
        return 0
    apart = []
    for number in range(count):
        size = image.pixel_size(number)
        # Of unknown size: never nearer than one that is known.
        apart.append(math.inf if size is None else abs(math.log(size / part.pixel_size)))
    return apart.index(min(apart))


def _sizes_in_words(image: Multiscale) -> list[str]:
    sizes = []
    for number in range(len(image.levels)):
        height, width = image.sizes(number, "YX")
        sizes.append(f"{number} ({height} x {width})")
    return sizes


def _about_level(image: Multiscale, number: int) -> str:
    size = image.pixel_size(number)
    pixels = "" if size is None else f" with pixels of {size:.3g} µm"
    listed = ", ".join(_sizes_in_words(image))
    return f"Level {number}{pixels} was read, of {listed}; choose another with --level."


def _open(path: Path) -> Any:
    zarr = needed("zarr", "OME-Zarr", "zarr")
    # For reading alone: other modes may change or remove what is there.
    return zarr.open_array(path, mode="r")


def _channel_key(
    group: Path, image: Multiscale, array: Any, part: Part
) -> tuple[tuple[Any, ...], bool]:
    """Return what to take of each axis, and whether three channels are taken as colors."""
    key: list[Any] = [slice(None)] * len(image.axes)
    if "C" not in image.axes:
        return tuple(key), False
    axis = image.axes.index("C")
    count = array.shape[axis]
    names = channel_names(group)
    if _is_rgb(names, count, array.dtype, part):
        return tuple(key), True
    key[axis] = choose_channel(Channels(names), count, part.channel)
    return tuple(key), False


def _is_rgb(names: tuple[str, ...], count: int, dtype: Any, part: Part) -> bool:
    if count != 3 or dtype != np.uint8:
        return False
    if part.channel is not None:
        return part.channel.casefold() == "rgb"
    return {name.casefold() for name in names} in _RGB


def _left_over(image: Multiscale, key: tuple[Any, ...], *, color: bool) -> str:
    """Return the letters of the axes that a key leaves, without that of colors."""
    letters = ""
    for letter, index in zip(image.axes, key, strict=True):
        if isinstance(index, slice) and not (color and letter == "C"):
            letters += letter
    return letters


def _about_missing(array: Any, key: tuple[Any, ...]) -> list[str]:
    """Say that chunks are not there, which zarr reads as the fill value without a word."""
    grid = _chunk_grid(array, key)
    missing = 0
    total = 0
    root = Path(str(array.store_path.store.root)) / array.store_path.path
    for index in np.ndindex(*[len(each) for each in grid]):
        place = tuple(chunks[number] for chunks, number in zip(grid, index, strict=True))
        total += 1
        missing += not (root / array.metadata.encode_chunk_key(place)).exists()
    if not missing:
        return []
    # Blank chunks need not be stored, so this is no error.
    note = (
        f"{missing} of {total} chunks are not stored and were read as {array.fill_value}: they are "
        "blank, or the copy is not complete."
    )
    return [note]


def _chunk_grid(array: Any, key: tuple[Any, ...]) -> list[list[int]]:
    """Return the numbers of the stored chunks (shards, where there are some) along each axis."""
    sizes = array.shards or array.chunks
    grid = []
    for index, length, size in zip(key, array.shape, sizes, strict=True):
        is_all = isinstance(index, slice)
        grid.append(list(range(math.ceil(length / size))) if is_all else [index // size])
    return grid


def _without_singles(key: Index, axes: str, shape: tuple[int, ...]) -> Index:
    """Take the one element of axes of size one, but of rows and columns."""
    kept = []
    for letter, index, size in zip(axes, key, shape, strict=True):
        is_single = letter not in "YXC" and size == 1
        kept.append(0 if is_single else index)
    return tuple(kept)


def _space(image: Multiscale, number: int, letters: str) -> Space:
    scales = image.scales(number, letters)
    # A scale without unit is in pixels; without both the file says nothing.
    says_nothing = not image.unit and set(scales) <= {0.0, 1.0}
    spacing = () if says_nothing else tuple(scale or None for scale in scales)
    return Space(letters, spacing, image.unit, omezarr=OmeZarr(image, number))
