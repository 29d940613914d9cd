"""Labelled regions of a plane as examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.crops import PixelSlices
from napari_iclsam.core.images.intensity import check_image, to_8bit
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.images.regions import LabelledRegion, RegionLabels, cut_labels
from napari_iclsam.core.images.windows import ct_window
from napari_iclsam.core.lazy_image import sample_windows
from napari_iclsam.core.volume.intensity import estimate_grey_scale
from napari_iclsam.files.label_sets import NamedLabels


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPlane:
    """A plane of a file and its labels.

    Attributes
    ----------
    path : Path
        Of the image.
    number : int
        Of the plane; 0 of an image without planes.
    image : ndarray, or an array on disk, (H, W) or (H, W, 3 or 4)
    labels : NamedLabels
    """

    path: Path
    number: int
    image: ArrayLike
    labels: NamedLabels


@dataclass(frozen=True, slots=True, eq=False)
class RegionExample:
    """A region of a plane as an example.

    Attributes
    ----------
    image : ndarray, (h, w) or (h, w, 3 or 4)
    labels : NamedLabels
        Of the region alone.
    region : RegionLabels
        Where it lies.
    """

    image: NDArray[Any]
    labels: NamedLabels
    region: RegionLabels


def around(regions: Sequence[LabelledRegion]) -> PixelSlices | None:
    """Return rows and columns that hold all regions; None without any."""
    if not regions:
        return None
    rows = slice(min(each.top for each in regions), max(each.bottom for each in regions))
    return rows, slice(min(each.left for each in regions), max(each.right for each in regions))


def regions_of(
    plane: LabelledPlane, regions: Sequence[LabelledRegion], *, has_window: bool = False
) -> Iterator[RegionExample]:
    """Cut the labelled regions out of a plane.

    Parameters
    ----------
    plane : LabelledPlane
    regions : sequence of LabelledRegion
    has_window : bool
        Whether the grey scale of all images was given: it is applied later.

    Raises
    ------
    ValueError
        If one leaves the plane, or holds no labels.
    """
    cut = _cutter(plane.image, has_window=has_window)
    for region in regions:
        name = plane.labels.name
        painted = cut_labels(plane.labels.labels, region, name)
        where = RegionLabels((plane.path.resolve(), plane.number), plane.path.name, region, painted)
        labels = NamedLabels(f"region {region} of {name}", painted, plane.labels.kinds)
        yield RegionExample(cut(region), labels, where)


def _cutter(image: ArrayLike, *, has_window: bool) -> Callable[[LabelledRegion], NDArray[Any]]:
    """Return what cuts a region out of an image, on the grey scale that it is segmented in."""
    if isinstance(image, np.ndarray):
        scaled = image if has_window else _on_its_scale(image)
        return lambda region: scaled[region.slices]
    windows = sample_windows(image)
    # scales are chosen as for an image in memory, by what parts of it show
    is_scaled = image.dtype == np.uint8 or has_window or ct_window(windows) is not None
    scale = None if is_scaled else estimate_grey_scale(windows)

    def cut(region: LabelledRegion) -> NDArray[Any]:
        part = check_image(np.asarray(image[region.slices]), f"region {region} of the image")
        return part if scale is None else scale.to_uint8(part)

    return cut


def _on_its_scale(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image on the grey scale that it is segmented in."""
    # Hounsfield units have a scale of their own, which is chosen later for all images together.
    if image.dtype == np.uint8 or ct_window([image]) is not None:
        return image
    return to_8bit(image)
