"""Labels written as OME-Zarr, plane by plane: inside their image, or as a store of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.files.label_planes import AnyLabels, planes_in
from napari_iclsam.files.label_rows import LabelRows, row_parts
from napari_iclsam.files.omezarr_metadata import Level, Multiscale, attributes_of, is_zarr3
from napari_iclsam.files.optional import needed
from napari_iclsam.files.pyramid import coarser_plane, factor, nearest_indices
from napari_iclsam.files.space import Space
from napari_iclsam.files.units import is_length

_CHUNK = 1024
"""Longest side of a chunk; it is one plane deep, as planes are what is looked at and corrected."""

_SMALLEST = 512
"""Planes of images from other files are halved until no side is longer."""

_UNITS = {
    "pm": "picometer",
    "Å": "angstrom",
    "nm": "nanometer",
    "µm": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "inch": "inch",
}
"""Names of units that the specification takes from UDUNITS-2."""


_Place = tuple[int | slice, ...]
"""Where a part of a plane goes: its numbers along other axes, and rows."""


def write_omezarr(
    path: Path,
    labels: AnyLabels,
    space: Space,
    styles: Mapping[int, LabelStyle],
    dtype: type[np.integer[Any]],
) -> None:
    """Write labels, (H, W) or (S, H, W), with as many levels as their image has.

    The finest level has the size of the image's finest: labels of a coarser one are enlarged, each
    pixel to what lies nearest in space. Coarser levels are made by `coarser_plane`, with the place
    that this gives them.
    """
    zarr = needed("zarr", "OME-Zarr", "zarr")
    image = _plan(labels, space)
    is_v3 = image.version == "0.5"
    group = zarr.open_group(path, mode="w-", zarr_format=3 if is_v3 else 2)
    group.attrs.update(_attributes(image, _image_label(labels, styles)))
    finer: Any = None
    for number, level in enumerate(image.levels):
        array = _new_array(group, image, level, np.dtype(dtype))
        planes = _finest(labels, space, image) if number == 0 else _coarser(finer, level.shape)
        for index, part in planes:
            array[index] = part.astype(dtype)
        finer = array


def new_levels(path: Path, shape: tuple[int, int], space: Space, dtype: Any) -> list[Any]:
    """Make an OME-Zarr of labels of a plane that are empty yet; return the arrays of its levels.

    Each level has half the rows and columns of the one before, rounded up.
    """
    zarr = needed("zarr", "OME-Zarr", "zarr")
    # of a plane that takes no memory
    image = _plan(np.broadcast_to(np.uint8(0), shape), space)
    group = zarr.open_group(path, mode="w-", zarr_format=2)
    group.attrs.update(_attributes(image, {}))
    return [_new_array(group, image, level, np.dtype(dtype)) for level in image.levels]


def name_labels(group: Path, name: str) -> None:
    """Give labels the name that viewers show: without one, they call them "image"."""
    path = group / ("zarr.json" if is_zarr3(group) else ".zattrs")
    values = _values(path)
    attributes = values["attributes"]["ome"] if is_zarr3(group) else values
    attributes["multiscales"][0]["name"] = name
    _replace(path, values)


def register_labels(group: Path) -> None:
    """Name a label group in the list of the image that it lies in.

    Raises
    ------
    ValueError
        If the list is damaged.
    """
    folder = group.parent
    listed = [str(name) for name in attributes_of(folder).get("labels") or []]
    if group.name not in listed:
        listed.append(group.name)
    if is_zarr3(folder.parent):
        path = folder / "zarr.json"
        values = _values(path) or {"zarr_format": 3, "node_type": "group"}
        attributes = values.setdefault("attributes", {})
        # ome-zarr 0.21 leaves the version out, and other programs then overwrite the list.
        attributes["ome"] = {**attributes.get("ome", {}), "version": "0.5", "labels": listed}
    else:
        _replace(folder / ".zgroup", {"zarr_format": 2})
        path = folder / ".zattrs"
        values = {**_values(path), "labels": listed}
    _replace(path, values)


def _values(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _replace(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON so that a reader finds the old or the new text, never half of it."""
    place = path.with_name(f"{path.name}.part")
    place.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    place.replace(path)


def _plan(labels: AnyLabels, space: Space) -> Multiscale:
    """Return the axes and levels that the labels are to have."""
    if space.omezarr is None:
        return _of_other_file(labels, space)
    image = space.omezarr.image
    axes = image.axes.replace("C", "")
    levels = [_finest_level(image, axes)]
    for number in range(1, len(image.levels)):
        levels.append(_next_level(levels[-1], image.sizes(number, axes), image.levels[number].path))
    unknown = _unknown(axes, image.scales(0, axes))
    return replace(image, axes=axes, levels=tuple(levels), unknown=unknown)


def _finest_level(image: Multiscale, axes: str) -> Level:
    scale = tuple(size or 1.0 for size in image.scales(0, axes))
    return Level(image.levels[0].path, image.sizes(0, axes), scale, image.starts(0, axes))


def _next_level(finer: Level, shape: tuple[int, ...], path: str) -> Level:
    """Return a coarser level that lies where the pixels that it is made of lie."""
    scale = []
    translation = []
    for axis, size in enumerate(shape):
        times = factor(finer.shape[axis], size)
        scale.append(finer.scale[axis] * times)
        # The center of so many pixels, not the first of them.
        translation.append(finer.translation[axis] + finer.scale[axis] * (times - 1) / 2)
    return Level(path, shape, tuple(scale), tuple(translation))


def _of_other_file(labels: AnyLabels, space: Space) -> Multiscale:
    axes = space.axes if len(space.axes) == labels.ndim else "ZYX"[-labels.ndim :]
    # Pages that do not say what they are count as depth.
    axes = "".join(letter if letter in "TZYX" else "Z" for letter in axes)
    if not axes.endswith("YX") or len(set(axes)) < len(axes):
        axes = "TZYX"[-labels.ndim :]
    spacing = space.spacing if len(space.spacing) == labels.ndim else (None,) * labels.ndim
    scale = tuple(size or 1.0 for size in spacing)
    levels = [Level("0", labels.shape, scale, (0.0,) * labels.ndim)]
    while max(levels[-1].shape[-2:]) > _SMALLEST:
        *depth, height, width = levels[-1].shape
        halved = (*depth, -(-height // 2), -(-width // 2))
        levels.append(_next_level(levels[-1], halved, str(len(levels))))
    unknown = _unknown(axes, spacing)
    return Multiscale("0.4", axes, tuple(levels), space.unit, unknown=unknown)


def _unknown(axes: str, sizes: Sequence[float | None]) -> str:
    """Return the letters of axes along which the distance of pixels is not known."""
    return "".join(letter for letter, size in zip(axes, sizes, strict=True) if not size)


def _finest(
    labels: AnyLabels, space: Space, image: Multiscale
) -> Iterator[tuple[_Place, NDArray[Any]]]:
    """Yield each plane of the finest level by rows, with its index along the other axes."""
    shape = _source_shape(labels, space, image)
    planes: Any = labels
    if isinstance(labels, np.ndarray):
        planes = labels.reshape(-1, *labels.shape[-2:])
    elif isinstance(labels, LabelRows):
        planes = [labels]
    *others, down, across = _maps(shape, space, image)
    for index in np.ndindex(*[len(each) for each in others]):
        taken = tuple(int(each[number]) for each, number in zip(others, index, strict=True))
        # the planes are in one row, whatever axes of size one lie before them
        number = np.ravel_multi_index(taken, shape[:-2]) if taken else 0
        plane = planes[int(number)]
        for rows in row_parts((len(down), len(across))):
            taken_rows = down[rows]
            first = int(taken_rows.min())
            part = plane[first : int(taken_rows.max()) + 1]
            yield (*index, rows), part[taken_rows - first][:, across]


def _source_shape(labels: AnyLabels, space: Space, image: Multiscale) -> tuple[int, ...]:
    """Return the shape of labels with the axes of size one that their image has."""
    if space.omezarr is None:
        return labels.shape
    sizes = space.omezarr.image.sizes(space.omezarr.level, image.axes)
    assert int(np.prod(sizes)) == labels.size
    return sizes


def _maps(shape: tuple[int, ...], space: Space, image: Multiscale) -> list[NDArray[np.intp]]:
    """Return for each axis of the finest level which pixels of the labels it takes."""
    finest = image.levels[0]
    if space.omezarr is None or space.omezarr.level == 0:
        return [np.arange(size) for size in finest.shape]
    read = _where_read(space.omezarr.image, space.omezarr.level, image)
    maps = []
    for axis, size in enumerate(finest.shape):
        grid = (finest.scale[axis], finest.translation[axis])
        source = (read.scale[axis], read.translation[axis])
        maps.append(nearest_indices(size, grid, source, shape[axis]))
    return maps


def _where_read(original: Multiscale, number: int, image: Multiscale) -> Level:
    """Return where the level lies that labels were made of.

    Where no level says that it is shifted, its pixels are taken for means, which lie in the middle
    of those that they are made of: most writers leave the shift out.
    """
    level = Level(
        "",
        original.sizes(number, image.axes),
        tuple(size or 1.0 for size in original.scales(number, image.axes)),
        original.starts(number, image.axes),
    )
    is_shifted = any(each.translation != original.levels[0].translation for each in original.levels)
    is_scaled = original.scales(number, "YX") != original.scales(0, "YX")
    return level if is_shifted and is_scaled else image.levels[number]


def _coarser(finer: Any, shape: Sequence[int]) -> Iterator[tuple[_Place, NDArray[Any]]]:
    """Yield each plane of a coarser level by rows; no more of the finer one is read than it covers.

    Of a plane in several parts, a label that would be lost keeps a pixel in each.
    """
    *others, height, width = shape
    times = [factor(finer.shape[axis], size) for axis, size in enumerate(shape[:-1])]
    for index in np.ndindex(*others):
        for rows in row_parts((height, width)):
            key = []
            for number, count in zip(index, times, strict=False):
                key.append(slice(number * count, (number + 1) * count))
            key.append(slice(rows.start * times[-1], rows.stop * times[-1]))
            planes = finer[tuple(key)]
            planes = planes.reshape(-1, *planes.shape[-2:])
            count = rows.stop - rows.start
            # the last part may end within a row, and the rest would then not tell the factor
            lacking = count * times[-1] - planes.shape[1]
            padded = np.pad(planes, ((0, 0), (0, lacking), (0, 0)), mode="edge")
            yield (*index, rows), coarser_plane(padded, (count, width))


def _new_array(group: Any, image: Multiscale, level: Level, dtype: Any) -> Any:
    *others, height, width = level.shape
    options: dict[str, Any] = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    if image.version == "0.5":
        options = {"dimension_names": list(image.axes.lower())}
    # no shards: of two writers into one, the later would undo what the other wrote
    return group.create_array(
        level.path,
        shape=level.shape,
        dtype=dtype,
        chunks=(*[1] * len(others), min(height, _CHUNK), min(width, _CHUNK)),
        fill_value=0,
        **options,
    )


def _attributes(image: Multiscale, image_label: Mapping[str, Any]) -> Mapping[str, Any]:
    axes = []
    for letter in image.axes.lower():
        axis = {"name": letter, "type": "time" if letter == "t" else "space"}
        # A scale has to be written; without a unit it says nothing.
        is_known = letter != "t" and letter.upper() not in image.unknown
        if is_known and is_length(image.unit):
            axis["unit"] = _UNITS[image.unit]
        axes.append(axis)
    datasets = []
    for level in image.levels:
        scale = {"type": "scale", "scale": list(level.scale)}
        translation = {"type": "translation", "translation": list(level.translation)}
        datasets.append(
            {"path": level.path, "coordinateTransformations": [scale, translation]},
        )
    multiscales = [{"axes": axes, "datasets": datasets}]
    if image.version == "0.5":
        ome = {"version": "0.5", "multiscales": multiscales, "image-label": image_label}
        return {"ome": ome}
    multiscales[0] = {**multiscales[0], "version": "0.4"}
    return {"multiscales": multiscales, "image-label": {**image_label, "version": "0.4"}}


def _image_label(labels: AnyLabels, styles: Mapping[int, LabelStyle]) -> Mapping[str, Any]:
    """Return names and colors of the labels that occur; colors only if each has one."""
    occurring: set[int] = set()
    for plane in planes_in(labels):
        occurring.update(np.unique(plane).tolist())
    found = sorted(occurring - {0})
    # Their image is the one that they lie in, if nothing else is said.
    values: dict[str, Any] = {}
    properties = []
    colors = []
    for label in found:
        style = styles.get(label, LabelStyle())
        if style.name:
            properties.append({"label-value": label, "name": style.name})
        if style.color:
            rgba = [round(share * 255) for share in (*style.color, 1.0)[:4]]
            colors.append({"label-value": label, "rgba": rgba})
    if properties:
        values["properties"] = properties
    # napari shows no label that is missing in a list of colors.
    if colors and len(colors) == len(found):
        values["colors"] = colors
    return values
