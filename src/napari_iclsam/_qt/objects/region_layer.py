"""Rectangles in a viewer as regions of slices: drawn in a shapes layer, or what is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels, Layer, Shapes
from numpy.typing import NDArray

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.slice_stacks import Position, SliceOrientation
from napari_iclsam.core.images.regions import LabelledRegion

NAME = "Labelled regions"

_COLOR = "#ffd400"


@dataclass(frozen=True, slots=True)
class RegionPlace:
    """A region and the slice of the labels that it lies in."""

    region: LabelledRegion
    position: Position


def make_layer(labels: Labels, edge_width: float) -> Shapes:
    """Make an empty shapes layer that lies on labels, for rectangles around what is labelled."""
    return Shapes(
        ndim=labels.ndim,
        name=NAME,
        face_color="transparent",
        edge_color=_COLOR,
        edge_width=edge_width,
        metadata={layers.PROVENANCE: {"image": labels.name}},
        **layers.spatial(labels),
    )


def drawn_regions(
    shapes: Sequence[NDArray[Any]], orientation: SliceOrientation, size: Sequence[int]
) -> list[RegionPlace]:
    """Return the regions that rectangles surround.

    Parameters
    ----------
    shapes : sequence of ndarray, (n, ndim)
        Corners, in pixels of the labels.
    orientation : SliceOrientation
        Of the slices that regions lie in.
    size : sequence of int
        Of the labels; what lies outside is left out.
    """
    found = []
    for corners in shapes:
        region = _around(np.asarray(corners, float), orientation, size)
        if region is not None:
            middle = np.asarray(corners, float).mean(axis=0)
            along = [round(middle[axis]) for axis in orientation.stack_axes]
            found.append(RegionPlace(region, tuple(along)))
    return found


def shown_region(layer: Layer, orientation: SliceOrientation) -> LabelledRegion | None:
    """Return the part of a slice that a viewer shows; None if that is nothing."""
    return _around(np.asarray(layer.corner_pixels, float), orientation, layers.shape(layer))


def _around(
    corners: NDArray[np.float64], orientation: SliceOrientation, size: Sequence[int]
) -> LabelledRegion | None:
    """Return the region of all pixels that corners surround, at least in part."""
    ends = []
    for axis in (orientation.rows, orientation.columns):
        # a pixel reaches half a unit to either side of its index
        first = math.floor(corners[:, axis].min() + 0.5)
        end = math.ceil(corners[:, axis].max() + 0.5)
        ends.append((max(first, 0), min(end, size[axis])))
    (top, bottom), (left, right) = ends
    if top >= bottom or left >= right:
        return None
    return LabelledRegion(top, left, bottom, right)
