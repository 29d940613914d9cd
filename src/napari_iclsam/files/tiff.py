"""TIFF files, plain, of ImageJ and OME: images in one order of axes, and labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.channels import COLORS, Channels, choose_channel
from napari_iclsam.files.names import suffix
from napari_iclsam.files.ome_files import (
    is_one_of_several,
    other_files,
    planes_of_file,
    whole_image,
)
from napari_iclsam.files.part import WHOLE, Part
from napari_iclsam.files.space import Dialect, ImageFile, Space, Storage
from napari_iclsam.files.tiff_plane import plane_on_disk
from napari_iclsam.files.tiff_space import tiff_channels, tiff_space
from napari_iclsam.files.tiff_values import LOSSY, colors_of, inverted, is_ramp
from napari_iclsam.files.units import ascii_unit, is_length
from napari_iclsam.files.upright import orientation_of, swaps_sides, to_stored, to_upright

_WHITE_IS_ZERO = 0
"""Photometric interpretation (TIFF 6.0, tag 262) of grey values that count from white to black."""

_PALETTE = 3
"""Photometric interpretation of numbers of entries of a color map."""

_COLORS = (2, 5, 6, 8)
"""Photometric interpretations whose samples are colors: RGB, separated (inks), YCbCr, CIELab."""

_PAGES = "IQ"
"""Letters of axes that count pages of an unknown kind: I of Pillow, Q of tifffile."""

_LARGEST_FRACTION = 2**32 - 1
"""Of the rational numbers of TIFF."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pixels:
    """An array and the letters of its axes; colors are "S", always last."""

    array: NDArray[Any]
    axes: str

    @property
    def color(self) -> bool:
        return self.axes.endswith("S")


def read_tiff(
    path: Path, *, for_labels: bool = False, part: Part = WHOLE, in_memory: bool = True
) -> ImageFile:
    """Read the one image of a TIFF file.

    Parameters
    ----------
    path : Path
    for_labels : bool
        Keep numbers as they are stored, also those of a palette or that count from white to black.
    part : Part
        The channel that is meant, and whether planes of other files are.
    in_memory : bool
        Read all of it now. Else a large plane stays on disk.

    Raises
    ------
    ValueError
        If it holds several images, only a part of one, or several channels and none was named.
    """
    import tifffile

    with _without_log(), tifffile.TiffFile(path) as tif:
        series = _only_series(tif)
        may_stay = not (in_memory or part.channel)
        on_disk = plane_on_disk(path, tif, series, for_labels=for_labels) if may_stay else None
        if on_disk is not None:
            return on_disk
        own_planes = part.own_planes and is_one_of_several(path)
        stored = _stored(tif, series, own_planes=own_planes)
        shown, storage = _meaning(stored, series.keyframe, for_labels=for_labels)
        channels = tiff_channels(tif, of_labels=for_labels)
        pixels = _one_channel(shown, channels, part.channel)
        is_planar = _is_planar(series) and pixels.color
        storage = replace(storage, planar=is_planar, own_planes=own_planes)
        small = _without_singles(pixels)
        space = _with_stored_shape(tiff_space(tif, small.axes), pixels)
        notes = _notes(series, path, own_planes=own_planes)
        file = ImageFile(path, small.array, small.color, space, storage, notes)
        turned = orientation_of(_tag(series.keyframe, "Orientation"))
    return file if turned == 1 else _upright(file, turned)


def write_tiff(path: Path, labels: NDArray[Any], space: Space) -> None:
    """Write labels, (H, W) or (Z, H, W), in the dialect of their image, with its spacing and unit.

    What a dialect cannot say is written in one that can: any length but centimeters and inches as
    ImageJ writes it, and 32-bit labels of an ImageJ file as OME.
    """
    dialect = _dialect_for(path, labels, space)
    # Stored as the image is, with its tag: programs that ignore the tag show both alike.
    if space.turned != 1:
        labels, space = _turned_back(labels, space)
    if space.stored_shape and labels.size == np.prod(space.stored_shape):
        labels = labels.reshape(space.stored_shape)
        space = replace(space, axes=space.stored_axes, spacing=())
    # Labels of one plane of a stack have its last axes.
    axes = space.axes[-labels.ndim :]
    spacing = space.spacing[-labels.ndim :]
    write = {"ome": _write_ome, "imagej": _write_imagej, "plain": _write_plain}[dialect]
    write(path, labels, replace(space, axes=axes, spacing=spacing))


@contextmanager
def _without_log() -> Iterator[None]:
    """Keep tifffile's remarks off the error stream: what matters is raised in our words."""
    logger = logging.getLogger("tifffile")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _only_series(tif: Any) -> Any:
    """Return the one image of a file; previews of it, which are marked as reduced, do not count."""
    whole = [series for series in tif.series if not series.keyframe.is_reduced]
    if len(whole) != 1:
        sizes = " and ".join(" x ".join(map(str, series.shape)) for series in whole[:3])
        raise ValueError(
            f"it holds {len(whole)} images of different kinds ({sizes}); save the one that you mean"
        )
    return whole[0]


def _stored(tif: Any, series: Any, *, own_planes: bool) -> _Pixels:
    """Read the pixels of an image, or of those of its planes that are in this file."""
    if not own_planes:
        return _colors_last(whole_image(series), series.axes)
    planes = planes_of_file(tif, series)
    # What the planes of one file have in common is not known: pages.
    return _colors_last(planes, f"Q{series.keyframe.axes}")


def _notes(series: Any, path: Path, *, own_planes: bool) -> tuple[str, ...]:
    if own_planes:
        note = "It is one file of an OME-TIFF of several: only its own planes were read."
        return (note,)
    others = other_files(series, path)
    if not others:
        return ()
    note = (
        f"It is one file of an OME-TIFF of several: planes of {', '.join(others)} were read, too."
    )
    return (note,)


def _is_planar(series: Any) -> bool:
    """Tell whether colors are planes of their own (planar configuration 2)."""
    return "S" in series.axes and int(series.keyframe.planarconfig) == 2


def _colors_last(array: NDArray[Any], axes: str) -> _Pixels:
    if "S" not in axes:
        return _Pixels(array, axes)
    colors_last = np.moveaxis(array, axes.index("S"), -1)
    return _Pixels(colors_last, axes.replace("S", "") + "S")


def _meaning(pixels: _Pixels, page: Any, *, for_labels: bool) -> tuple[_Pixels, Storage]:
    """Undo what the photometric interpretation did to the numbers, where it is known."""
    storage = Storage(lossy=page.compression.name in LOSSY)
    photometric = int(page.photometric)
    if photometric == _WHITE_IS_ZERO:
        # Whether labels were meant as shown or as stored, only their numbers tell.
        if for_labels:
            return pixels, replace(storage, black_at=2**page.bitspersample - 1)
        return replace(pixels, array=inverted(pixels.array, page.bitspersample)), storage
    if photometric == _PALETTE and page.colormap is not None:
        palette = np.asarray(page.colormap).T >> 8  # 16 bits a color -> 8
        if for_labels:
            return pixels, replace(storage, palette=colors_of(palette))
        # A grey image with a table for display stays grey.
        if not is_ramp(palette):
            colors = palette.astype(np.uint8)[pixels.array]
            return _Pixels(colors, pixels.axes + "S"), storage
    if pixels.color:
        pixels = _samples(pixels, page, for_labels=for_labels)
    return pixels, storage


def _samples(pixels: _Pixels, page: Any, *, for_labels: bool) -> _Pixels:
    """Tell colors, a grey value with alpha, and channels that were saved as samples apart."""
    samples = pixels.array.shape[-1]
    if int(page.photometric) in _COLORS and samples in (3, 4):
        return pixels
    # Tag 338: 1 and 2 are alpha, 0 is anything.
    extra = [int(each) for each in page.extrasamples]
    has_alpha = bool(extra) and extra[-1] in (1, 2)
    is_grey_with_alpha = samples == 2 and has_alpha
    if is_grey_with_alpha and for_labels:
        return pixels
    if samples == 1 or is_grey_with_alpha:
        return _Pixels(pixels.array[..., 0], pixels.axes[:-1])
    channels_first = np.moveaxis(pixels.array, -1, 0)
    return _Pixels(channels_first, "C" + pixels.axes[:-1])


def _one_channel(pixels: _Pixels, channels: Channels, wanted: str | None) -> _Pixels:
    """Return the channel that is meant, or the pixels if there is but one."""
    # The channel that the user named is one of the image, not of its labels.
    is_named = wanted is not None and not channels.of_labels
    if channels.are_slices or is_named:
        pixels = _pages_as_channels(pixels, certain=channels.are_slices)
    if pixels.color and is_named:
        number = choose_channel(COLORS, pixels.array.shape[-1], wanted)
        return _Pixels(pixels.array[..., number], pixels.axes[:-1])
    if "C" not in pixels.axes:
        return pixels
    axis = pixels.axes.index("C")
    number = choose_channel(channels, pixels.array.shape[axis], wanted)
    chosen = np.take(pixels.array, number, axis)
    return _Pixels(chosen, pixels.axes.replace("C", ""))


def _pages_as_channels(pixels: _Pixels, *, certain: bool) -> _Pixels:
    """Take pages for channels: those that say so, or that say nothing if a channel was named."""
    # Depth is what it says, unless the file calls its channels slices.
    pages = _PAGES + "Z" if certain else _PAGES
    letters = [letter for letter in pixels.axes if letter in pages]
    if "C" in pixels.axes or pixels.color or len(letters) != 1:
        return pixels
    return _Pixels(pixels.array, pixels.axes.replace(letters[0], "C"))


def _without_singles(pixels: _Pixels) -> _Pixels:
    """Drop axes of size one, rows and columns last, as long as two beside the colors are left."""
    array = pixels.array
    axes = pixels.axes
    # find is -1 for letters that are neither: they come first.
    for letter in sorted(axes.removesuffix("S"), key="XY".find):
        axis = axes.index(letter)
        if array.shape[axis] == 1 and len(axes.removesuffix("S")) > 2:
            array = np.squeeze(array, axis)
            axes = axes.replace(letter, "")
    return _Pixels(array, axes)


def _tag(page: Any, name: str) -> Any:
    return page.tags[name].value if name in page.tags else None


def _with_stored_shape(space: Space, pixels: _Pixels) -> Space:
    """Remember the shape of a file whose rows or columns are an axis of size one."""
    if "Y" in space.axes and "X" in space.axes:
        return space
    return replace(space, stored_axes=pixels.axes, stored_shape=pixels.array.shape)


def _upright(file: ImageFile, turned: int) -> ImageFile:
    """Turn an image whose last axes are rows and columns upright."""
    space = file.space
    if not space.axes.endswith("YX"):
        return file
    spacing = _swapped(space.spacing) if swaps_sides(turned) else space.spacing
    return replace(
        file,
        array=to_upright(file.array, turned, space.axes.index("Y")),
        space=replace(space, spacing=spacing, turned=turned),
        storage=replace(file.storage, turned=turned),
        notes=(*file.notes, "It was turned upright, as its tag for the orientation says."),
    )


def _turned_back(labels: NDArray[Any], space: Space) -> tuple[NDArray[Any], Space]:
    spacing = _swapped(space.spacing) if swaps_sides(space.turned) else space.spacing
    rows = labels.ndim - 2
    stored = to_stored(labels, space.turned, rows)
    return stored, replace(space, spacing=spacing)


def _swapped(spacing: tuple[float | None, ...]) -> tuple[float | None, ...]:
    return (*spacing[:-2], *reversed(spacing[-2:]))


def _dialect_for(path: Path, labels: NDArray[Any], space: Space) -> Dialect:
    """Choose how to say where pixels lie: as the image's file, unless that cannot say it."""
    if ".ome" in suffix(path):
        return "ome"
    dialect = "imagej" if space.nifti is not None else space.dialect
    # Plain TIFF knows inches and centimeters, and no distance of planes.
    if dialect == "plain" and is_length(space.unit):
        has_depth = labels.ndim == 3 and any(space.spacing[:1])
        dialect = "imagej" if has_depth or space.unit not in ("inch", "cm") else "plain"
    # ImageJ knows no 32-bit integers.
    if dialect == "imagej" and labels.dtype == np.int32:
        return "ome"
    return dialect


def _write_ome(path: Path, labels: NDArray[Any], space: Space) -> None:
    import tifffile

    axes = _axes_of_planes(space.axes, "T" if "T" in space.axes else "Z")
    metadata: dict[str, Any] = {"axes": axes}
    # OME's list of units is closed, and "in" is its inch.
    unit = "in" if space.unit == "inch" else space.unit
    for letter, size in zip(axes, space.spacing, strict=False):
        if letter in "XYZ" and size is not None and is_length(space.unit):
            metadata[f"PhysicalSize{letter}"] = size
            metadata[f"PhysicalSize{letter}Unit"] = unit
    # For programs that read no OME, such as SimpleITK.
    in_centimeters = space.spacing_in("cm")
    resolution_unit = "CENTIMETER" if in_centimeters else "NONE"
    options = {**_tags(space), **_resolution(in_centimeters), "resolutionunit": resolution_unit}
    tifffile.imwrite(path, labels, ome=True, compression="zlib", metadata=metadata, **options)


def _write_imagej(path: Path, labels: NDArray[Any], space: Space) -> None:
    import tifffile

    metadata: dict[str, Any] = {"axes": _axes_of_planes(space.axes, "Z")}
    if space.unit:
        metadata["unit"] = ascii_unit(space.unit)
    if len(space.spacing) == 3 and space.spacing[0] is not None:
        # ImageJ keeps the distance of planes and the time between frames under two names.
        name = "finterval" if "T" in space.axes else "spacing"
        metadata[name] = space.spacing[0]
    options = {**_tags(space), **_resolution(space.spacing)}
    tifffile.imwrite(path, labels, imagej=True, resolutionunit="NONE", metadata=metadata, **options)


def _write_plain(path: Path, labels: NDArray[Any], space: Space) -> None:
    import tifffile

    unit = {"inch": "INCH", "cm": "CENTIMETER"}.get(space.unit, "NONE")
    options = {**_tags(space), **_resolution(space.spacing)}
    metadata = {"axes": space.axes}
    tifffile.imwrite(
        path, labels, compression="zlib", resolutionunit=unit, metadata=metadata, **options
    )


def _axes_of_planes(axes: str, counted: str) -> str:
    """Name axes as ImageJ and OME can: time and depth as they are, all else ``counted``."""
    named = ""
    for letter in axes:
        named += letter if letter in "TZYX" else counted
    # Two axes of one name would be refused.
    is_unique = len(set(named)) == len(named)
    return named if is_unique else "TZYX"[-len(named) :]


def _resolution(spacing: Sequence[float | None]) -> Mapping[str, Any]:
    """Return pixels a unit along x and y, as tifffile takes them.

    Nothing if they are not known, or not to be told by a fraction of 32 bits.
    """
    if len(spacing) < 2:
        return {}
    *_, height, width = spacing
    if not height or not width:
        return {}
    resolution = (1 / width, 1 / height)
    if max(resolution) > _LARGEST_FRACTION or min(resolution) < 1 / _LARGEST_FRACTION:
        return {}
    return {"resolution": resolution}


def _tags(space: Space) -> Mapping[str, Any]:
    options: dict[str, Any] = {"photometric": "minisblack"}
    if space.turned != 1:
        options["extratags"] = [(274, "H", 1, space.turned, True)]
    return options
