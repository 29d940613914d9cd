"""Spacing, unit and names of channels as plain TIFF, ImageJ and OME say them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from napari_iclsam.files.channels import Channels
from napari_iclsam.files.space import Space
from napari_iclsam.files.units import convert, is_length, unit_of

_CHANNEL_MARK = re.compile(r"c:(\d+)/\d+(?: z:\d+/\d+)?(?: t:\d+/\d+)?")
"""How ImageJ begins the name of a slice of a composite: "c:1/2 z:3/9 - DAPI"."""

_RESOLUTION_UNITS = {2: "inch", 3: "cm"}
"""Tag 296; 1 is "no absolute unit"."""


def tiff_space(tif: Any, axes: str) -> Space:
    """Return where the pixels of a file lie.

    Parameters
    ----------
    tif : tifffile.TiffFile
    axes : str
        Letters of the array, perhaps with "S" for colors.
    """
    letters = axes.replace("S", "")
    if tif.is_ome:
        return _ome_space(_ome_pixels(tif), letters)
    if tif.is_imagej:
        return _imagej_space(tif, letters)
    page = tif.pages[0]
    unit = _RESOLUTION_UNITS.get(_resolution_unit(page), "")
    return _space(letters, _told(_resolution(page), unit), unit, "plain")


def _told(sizes: dict[str, float], unit: str) -> dict[str, float]:
    """Return the sizes of a pixel, if the file tells them."""
    # Without a unit, 1 is what writers say who know nothing.
    says_nothing = not unit and set(sizes.values()) <= {1.0}
    return {} if says_nothing else sizes


def tiff_channels(tif: Any, *, of_labels: bool) -> Channels:
    """Return what OME or ImageJ say of channels; without names where the file names none."""
    if tif.is_ome:
        found = _as_list(_ome_pixels(tif).get("Channel"))
        return Channels(tuple(str(channel.get("Name", "")) for channel in found), of_labels)
    if tif.is_imagej:
        return _imagej_channels(tif.imagej_metadata or {}, of_labels=of_labels)
    return Channels(of_labels=of_labels)


def _imagej_channels(meta: Mapping[str, Any], *, of_labels: bool) -> Channels:
    """Read the names of slices, which are those of channels where they say so."""
    labels = [str(label or "") for label in _as_list(meta.get("Labels"))]
    # Some commands of ImageJ leave a composite whose channels are called slices.
    slices = int(meta.get("slices", 0) or 0)
    are_slices = len(labels) == slices and _name_one_channel_each(labels)
    count = len(labels) if are_slices else int(meta.get("channels", 0) or 0)
    names = []
    # Channels run fastest: the first slices are those of the first plane.
    for label in labels[:count]:
        names.append(_CHANNEL_MARK.sub("", label).strip(" -\n"))
    return Channels(tuple(names), of_labels, are_slices)


def _name_one_channel_each(labels: Sequence[str]) -> bool:
    """Tell whether names of slices are those of several channels, each of another."""
    numbers = set()
    for label in labels:
        mark = _CHANNEL_MARK.match(label)
        if mark is None:
            return False
        numbers.add(int(mark[1]))
    return 1 < len(labels) == len(numbers)


def _space(letters: str, sizes: Mapping[str, float], unit: str, dialect: Any) -> Space:
    """Put sizes by letter into the order of the axes; unknown ones are None, none is empty."""
    spacing = tuple(sizes.get(letter) for letter in letters)
    if not any(spacing):
        return Space(letters, dialect=dialect)
    return Space(letters, spacing, unit, dialect)


def _ome_pixels(tif: Any) -> Mapping[str, Any]:
    """Return the attributes of the first image; empty if another file has the metadata."""
    import tifffile

    try:
        images = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]
    except KeyError:
        return {}
    # xml2dict makes a list of elements only where there are several.
    pixels: Mapping[str, Any] = _as_list(images)[0].get("Pixels", {})
    return pixels


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _ome_space(pixels: Mapping[str, Any], letters: str) -> Space:
    """Read physical sizes, all converted to the unit of x; OME's default unit is the micrometer."""
    units = {}
    sizes = {}
    for axis in "XYZ":
        units[axis] = unit_of(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        size = _positive(pixels.get(f"PhysicalSize{axis}"))
        if size is not None:
            sizes[axis] = size
    unit = units["X"] if "PhysicalSizeX" in pixels else units["Y"]
    return _space(letters, _in_one_unit(sizes, units, unit), unit, "ome")


def _in_one_unit(
    sizes: Mapping[str, float], units: Mapping[str, str], unit: str
) -> dict[str, float]:
    """Convert sizes to one unit; drop those of which it is not known how long they are in it."""
    kept = {}
    for axis, size in sizes.items():
        if units[axis] == unit:
            kept[axis] = size
        elif is_length(units[axis]) and is_length(unit):
            kept[axis] = convert(size, units[axis], unit)
    return kept


def _imagej_space(tif: Any, letters: str) -> Space:
    """Read ImageJ's header: `unit`, `yunit` and `zunit` where they differ, `spacing` of slices."""
    meta = tif.imagej_metadata or {}
    page = tif.pages[0]
    units = _imagej_units(meta, page)
    unit = units["X"]
    sizes = _told(_resolution(page), unit)
    depth = _positive(meta.get("spacing"))
    if depth is not None:
        sizes["Z"] = depth
    sizes = _in_one_unit(sizes, units, unit)
    # An interval alone would leave rows and columns without a size.
    interval = _positive(meta.get("finterval"))
    if interval is not None and sizes:
        sizes["T"] = interval
    return _space(letters, sizes, unit, "imagej")


def _imagej_units(meta: Mapping[str, Any], page: Any) -> dict[str, str]:
    """Return the unit along each axis."""
    unit = unit_of(meta.get("unit", ""))
    # Where the header has no word for it, TIFF's own tag may tell.
    if not unit and "unit" not in meta:
        unit = _RESOLUTION_UNITS.get(_resolution_unit(page), "")
    units = {"X": unit}
    for axis in "YZ":
        units[axis] = unit_of(meta.get(f"{axis.lower()}unit", "")) or unit
    return units


def _resolution_unit(page: Any) -> int:
    return int(page.tags["ResolutionUnit"].value) if "ResolutionUnit" in page.tags else 1


def _resolution(page: Any) -> dict[str, float]:
    """Return the size of a pixel along x and y in the file's unit, where the file says it."""
    sizes = {}
    for axis in "YX":
        name = f"{axis}Resolution"
        if name not in page.tags:
            continue
        # A fraction, of which either part may be 0 where nothing is known.
        pixels, units = page.tags[name].value
        if min(pixels, units) > 0:
            sizes[axis] = units / pixels
    return sizes


def _positive(value: Any) -> float | None:
    """Return a number above zero; ImageJ writes negative distances for stacks that go down."""
    try:
        size = abs(float(value))
    except (TypeError, ValueError):
        return None
    return size if 0 < size < float("inf") else None
