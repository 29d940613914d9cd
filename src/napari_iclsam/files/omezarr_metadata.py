"""What the metadata of an OME-Zarr group say, versions 0.1 to 0.5; read as files, without zarr.

Consolidated metadata are not asked: they do not know of labels that were added later.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.files.units import convert, is_length, unit_of

_ALL_AXES = "TCZYX"
"""Axes of versions 0.1 and 0.2, which do not name them."""


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution.

    Attributes
    ----------
    path : str
        Of the array, in the group.
    shape : tuple of int
        Along all axes.
    scale, translation : tuple of float
        Size of a pixel and place of the first one along each axis, with the transformations of the
        whole image. A scale of 0 is not known.
    """

    path: str
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Multiscale:
    """An image in several resolutions.

    Attributes
    ----------
    version : {"0.4", "0.5"}
        In which labels of it are written; older ones count as 0.4.
    axes : str
        Letters of all axes.
    levels : tuple of Level
        The finest first.
    unit : str
        Of lengths; "" if it is not known.
    notes : tuple of str
    unknown : str
        Letters of axes along which a distance is to be written that is not known.
    """

    version: str
    axes: str
    levels: tuple[Level, ...]
    unit: str = ""
    notes: tuple[str, ...] = ()
    unknown: str = ""

    def sizes(self, level: int, letters: str) -> tuple[int, ...]:
        """Return the size of a level along some axes."""
        shape = self.levels[level].shape
        return tuple(shape[self.axes.index(letter)] for letter in letters)

    def scales(self, level: int, letters: str) -> tuple[float, ...]:
        """Return the distances of pixels of a level along some axes; 0 is not known."""
        scale = self.levels[level].scale
        return tuple(scale[self.axes.index(letter)] for letter in letters)

    def starts(self, level: int, letters: str) -> tuple[float, ...]:
        """Return where the first pixel of a level lies along some axes."""
        translation = self.levels[level].translation
        return tuple(translation[self.axes.index(letter)] for letter in letters)

    def pixel_size(self, level: int) -> float | None:
        """Return the size of a pixel of a plane in micrometers; None if it is not known."""
        height, width = self.scales(level, "YX")
        if not height or not width or not is_length(self.unit):
            return None
        return convert(math.sqrt(height * width), self.unit, "µm")


def is_group(path: Path) -> bool:
    """Tell whether a folder is a group or an array of zarr, by its metadata."""
    names = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
    return any((path / name).is_file() for name in names)


def attributes_of(group: Path) -> Mapping[str, Any]:
    """Return the attributes of a group, those of version 0.5 as if they were of 0.4.

    Raises
    ------
    ValueError
        If its metadata are no JSON.
    """
    newer = _json(group / "zarr.json").get("attributes", {})
    if "ome" in newer:
        return _mapping(newer["ome"])
    # Some writers put metadata of 0.4 into groups of zarr 3.
    return newer or _json(group / ".zattrs")


def is_zarr3(group: Path) -> bool:
    """Tell whether a group is written in format 3 of zarr."""
    return (group / "zarr.json").is_file()


def multiscale_of(group: Path) -> Multiscale:
    """Read what a group says of its image.

    Raises
    ------
    ValueError
        If it holds no image, or its metadata contradict each other.
    """
    attributes = attributes_of(group)
    images = attributes.get("multiscales")
    if not images:
        raise ValueError(_no_image(group, attributes))
    image = _mapping(images[0])
    shapes = [_shape(group / str(each["path"])) for each in image["datasets"]]
    axes, units = _axes(image, len(shapes[0]))
    if any(len(shape) != len(axes) for shape in shapes):
        raise ValueError(f"its {len(axes)} axes ({axes}) do not fit arrays of {shapes[0]}")
    unit = next((unit for unit in units if unit), "")
    levels = []
    notes: list[str] = []
    if unit and not _is_scaled(image):
        notes.append(f"It has a unit ({unit}) and no scale: the size of its pixels is not known.")
        unit = ""
    # Beside axes in micrometers, a distance without unit may be anything.
    unmeasured = _without_unit(axes, units) if unit else ""
    for each, shape in zip(image["datasets"], shapes, strict=True):
        transformations = _Scaling.of(each, len(axes)).then(_Scaling.of(image, len(axes)))
        scaling = transformations.in_one_unit(units, unit)
        notes += _about_scales(scaling, axes)
        scaling = scaling.unknown_along(unmeasured, axes)
        levels.append(Level(str(each["path"]), shape, scaling.known(), scaling.translation))
    version = "0.5" if is_zarr3(group) else "0.4"
    return Multiscale(version, axes, tuple(levels), unit, tuple(dict.fromkeys(notes)))


def channel_names(group: Path) -> tuple[str, ...]:
    """Return the names of channels, as far as the group has any."""
    channels = _mapping(attributes_of(group).get("omero")).get("channels") or []
    return tuple(str(_mapping(each).get("label") or "") for each in channels)


def label_names(group: Path) -> tuple[str, ...]:
    """Return the names of the label groups inside an image, also of those that are not listed.

    ngio writes an empty list over that of other programs, and the labels are still there.
    """
    folder = group / "labels"
    if not folder.is_dir():
        return ()
    listed = [str(name) for name in attributes_of(folder).get("labels") or []]
    found = [name for name in listed if is_group(folder / name)]
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in found and "multiscales" in attributes_of(path):
            found.append(path.name)
    return tuple(found)


def is_label_group(group: Path) -> bool:
    """Tell whether a group says that it holds labels."""
    return "image-label" in attributes_of(group)


def label_styles(group: Path) -> Mapping[int, LabelStyle]:
    """Return names and colors of labels, of those that have any."""
    image_label = _mapping(attributes_of(group).get("image-label"))
    names = {}
    for each in image_label.get("properties") or []:
        names[int(each["label-value"])] = str(each.get("name") or "")
    colors = {}
    for each in image_label.get("colors") or []:
        rgba = each.get("rgba") or ()
        # The background is transparent in every viewer, whatever a file says.
        if len(rgba) == 4:
            colors[int(each["label-value"])] = tuple(value / 255 for value in rgba)
    styles = {}
    for label in sorted({*names, *colors} - {0}):
        styles[label] = LabelStyle(names.get(label, ""), colors.get(label))
    return styles


@dataclass(frozen=True, slots=True)
class _Scaling:
    """Scale, then translation, along each axis."""

    scale: tuple[float, ...]
    translation: tuple[float, ...]

    @classmethod
    def of(cls, holder: Mapping[str, Any], axes: int) -> _Scaling:
        """Read the transformations of an image or of one level; without any, nothing is scaled."""
        scaling = cls((1.0,) * axes, (0.0,) * axes)
        for each in holder.get("coordinateTransformations") or []:
            kind = each.get("type")
            values = tuple(map(float, each.get(kind) or ()))
            if len(values) != axes:
                continue
            if kind == "scale":
                scaling = scaling.then(cls(values, (0.0,) * axes))
            elif kind == "translation":
                scaling = scaling.then(cls((1.0,) * axes, values))
        return scaling

    def then(self, other: _Scaling) -> _Scaling:
        """Return what both do, the other last."""
        scale = []
        translation = []
        for axis, factor in enumerate(other.scale):
            scale.append(self.scale[axis] * factor)
            translation.append(self.translation[axis] * factor + other.translation[axis])
        return _Scaling(tuple(scale), tuple(translation))

    def in_one_unit(self, units: Sequence[str], unit: str) -> _Scaling:
        """Return it with all lengths in one unit."""
        factors = []
        for own in units:
            known = is_length(own) and is_length(unit)
            factors.append(convert(1.0, own, unit) if known else 1.0)
        return self.then(_Scaling(tuple(factors), (0.0,) * len(factors)))

    def unknown_along(self, letters: str, axes: str) -> _Scaling:
        """Return it with distances of 0, which are not known, along some of the axes."""
        scale = []
        for letter, own in zip(axes, self.scale, strict=True):
            scale.append(0.0 if letter in letters else own)
        return _Scaling(tuple(scale), self.translation)

    def known(self) -> tuple[float, ...]:
        """Return the scale, 0 where it is no distance."""
        return tuple(each if _is_distance(each) else 0.0 for each in self.scale)


def _without_unit(axes: str, units: Sequence[str]) -> str:
    """Return the letters of axes in space that have no unit."""
    return "".join(
        letter for letter, unit in zip(axes, units, strict=True) if letter in "ZYX" and not unit
    )


def _is_scaled(image: Mapping[str, Any]) -> bool:
    """Tell whether an image or one of its levels says how large pixels are."""
    kinds = set()
    for holder in (image, *image["datasets"]):
        for each in holder.get("coordinateTransformations") or []:
            kinds.add(each.get("type"))
    return bool(kinds & {"scale", "identity"})


def _is_distance(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _about_scales(scaling: _Scaling, axes: str) -> list[str]:
    notes = []
    for letter, value in zip(axes, scaling.scale, strict=True):
        if letter in "ZYX" and not _is_distance(value):
            notes.append(f"Its scale along {letter} is {value:g}, no distance: taken as not known.")
    return notes


def _axes(image: Mapping[str, Any], count: int) -> tuple[str, list[str]]:
    """Return the letters of all axes, and the units of lengths ("" for other axes)."""
    letters = ""
    units = []
    for each in image.get("axes") or _ALL_AXES[-count:]:
        # Version 0.3 has names alone.
        axis = each if isinstance(each, dict) else {"name": each}
        letter = str(axis["name"])[:1].upper()
        letters += letter
        units.append(unit_of(axis.get("unit")) if letter in "ZYX" else "")
    if len(set(letters)) < len(letters) or not set("YX") <= set(letters):
        raise ValueError(f"its axes are {letters}; expected y and x, and each axis once")
    return letters, units


def _shape(array: Path) -> tuple[int, ...]:
    metadata = _json(array / "zarr.json") or _json(array / ".zarray")
    if "shape" not in metadata:
        raise ValueError(f"the array {array.name} that it names is not there")
    return tuple(map(int, metadata["shape"]))


def _no_image(group: Path, attributes: Mapping[str, Any]) -> str:
    inside = [path.name for path in sorted(group.iterdir()) if (path.is_dir() and is_group(path))]
    if "plate" in attributes:
        return "it is a plate; name one of its images, such as PLATE/A/1/0"
    if inside:
        listed = ", ".join(inside[:5])
        return f"it has no 'multiscales'; name one of the groups in it: {listed}"
    return "it has no 'multiscales', so it is no image of OME-Zarr"


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    values = json.loads(path.read_text(encoding="utf-8"))
    return dict(_mapping(values))


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a value if it is a mapping, else an empty one: metadata may be anything."""
    return value if isinstance(value, dict) else {}
