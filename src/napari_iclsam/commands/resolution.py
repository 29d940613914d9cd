"""In which resolution examples were read: queries with several are segmented in the nearest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_iclsam.files import ImageFile
from napari_iclsam.files.part import Part


@dataclass(frozen=True, slots=True, eq=False)
class Resolution:
    """In which resolution examples were read, for queries that hold several.

    Attributes
    ----------
    pixel_size : float, optional
        Of the first example that says it, in micrometers.
    levels : mapping of Path to int
        By image with several: the level that was read.
    own_planes : bool
        Whether single files of an OME-TIFF of several were labelled.
    """

    pixel_size: float | None = None
    levels: Mapping[Path, int] = field(default_factory=dict)
    own_planes: bool = False

    def part_of(self, path: Path, part: Part) -> Part:
        """Return the part of a query that has the examples' resolution, unless one was named."""
        if part.level is not None:
            return part
        # Of the same image, the same level, even if nothing says how large its pixels are.
        level = self.levels.get(path.resolve())
        size = self.pixel_size
        return replace(part, level=level, pixel_size=size, own_planes=self.own_planes)

    def with_image(self, image: ImageFile) -> Resolution:
        """Return a resolution that knows of one more image."""
        levels = dict(self.levels)
        if image.space.omezarr is not None:
            levels[image.path.resolve()] = image.space.omezarr.level
        pixel_size = self.pixel_size or _pixel_size(image)
        own_planes = self.own_planes or image.storage.own_planes
        return Resolution(pixel_size, levels, own_planes)


def _pixel_size(image: ImageFile) -> float | None:
    """Return the size of a pixel of a plane in micrometers; None if the file does not say."""
    sizes = image.space.spacing_in("µm")[-2:]
    known = [size for size in sizes if size]
    return math.sqrt(known[0] * known[1]) if len(known) == 2 else None
