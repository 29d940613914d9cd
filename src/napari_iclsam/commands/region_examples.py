"""Labelled regions of a plane as examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.intensity import to_8bit
from napari_iclsam.core.images.regions import LabelledRegion, RegionLabels, cut_labels
from napari_iclsam.core.images.windows import ct_window
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
    image : ndarray, (H, W) or (H, W, 3 or 4)
    labels : NamedLabels
    """

    path: Path
    number: int
    image: NDArray[Any]
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
    image = plane.image if has_window else _on_its_scale(plane.image)
    for region in regions:
        name = plane.labels.name
        painted = cut_labels(plane.labels.labels, region, name)
        where = RegionLabels((plane.path.resolve(), plane.number), plane.path.name, region, painted)
        labels = NamedLabels(f"region {region} of {name}", painted)
        yield RegionExample(image[region.slices], labels, where)


def _on_its_scale(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image on the grey scale that it is segmented in."""
    # Hounsfield units have a scale of their own, which is chosen later for all images together.
    if image.dtype == np.uint8 or ct_window([image]) is not None:
        return image
    return to_8bit(image)
