"""Labelled regions of images: what lies outside of them is unknown, not background."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.crops import PixelSlices
from napari_iclsam.core.images.intensity import check_image, to_8bit

_LARGE = 512
"""From this side on, an image may be meant to be labelled in a part alone."""

_PART = 0.5
"""Labels that span at most this share of an image's area fill only a part of it."""

_MARGIN = 0.05
"""So much wider than what is painted is the region that is offered, on each side."""


@dataclass(frozen=True, slots=True)
class LabelledRegion:
    """Rows top to bottom and columns left to right of an image; the ends do not belong to it."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def of(cls, numbers: Sequence[int]) -> LabelledRegion:
        """Make a region of four numbers: first row and column, and those behind the last.

        Raises
        ------
        ValueError
            If there are not four numbers, or the ends do not lie behind the beginnings.
        TypeError
            If a number is not whole.
        """
        if len(numbers) != 4:
            raise ValueError(f"A region is y0, x0, y1, x1; got {len(numbers)} numbers.")
        top, left, bottom, right = map(index, numbers)
        region = cls(top, left, bottom, right)
        if top >= bottom or left >= right:
            raise ValueError(f"A region is y0, x0, y1, x1 with y0 < y1 and x0 < x1; got {region}.")
        return region

    def __str__(self) -> str:
        return f"{self.top} {self.left} {self.bottom} {self.right}"

    @property
    def slices(self) -> PixelSlices:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def check_inside(self, shape: Sequence[int], name: str) -> None:
        """Raise ValueError if a region is not inside an image (H, W, ...)."""
        height, width = shape[:2]
        beyond = self.bottom > height or self.right > width
        if min(self.top, self.left) < 0 or beyond:
            raise ValueError(
                f"The region {self} leaves {name}, which has {height} rows and {width} columns. "
                f"Give y0 x0 y1 x1 within 0 0 {height} {width}."
            )

    def overlap(self, other: LabelledRegion) -> LabelledRegion | None:
        """Return what two regions share; None if that is nothing."""
        top = max(self.top, other.top)
        left = max(self.left, other.left)
        bottom = min(self.bottom, other.bottom)
        right = min(self.right, other.right)
        if top >= bottom or left >= right:
            return None
        return LabelledRegion(top, left, bottom, right)

    def within(self, outer: LabelledRegion) -> PixelSlices:
        """Return rows and columns of the region in one that contains it."""
        rows = slice(self.top - outer.top, self.bottom - outer.top)
        columns = slice(self.left - outer.left, self.right - outer.left)
        return rows, columns


@dataclass(frozen=True, slots=True, eq=False)
class RegionLabels:
    """The labels of a region.

    Attributes
    ----------
    image : hashable
        What tells the image of the region from others.
    name : str
        Of the image, for messages.
    region : LabelledRegion
    labels : ndarray, (h, w), integer
        Of the region alone.
    """

    image: Hashable
    name: str
    region: LabelledRegion
    labels: NDArray[Any]


def cut_region(image: NDArray[Any], region: LabelledRegion) -> NDArray[Any]:
    """Return a region of an image that `check_image` has passed, on the image's grey scale."""
    # scaled by itself, a region would show other greys than the image that is segmented
    return to_8bit(image)[region.slices]


def cut_labels(labels: NDArray[Any], region: LabelledRegion, name: str) -> NDArray[Any]:
    """Return the labels (H, W) of a region.

    Raises
    ------
    ValueError
        If the region leaves the labels, or nothing is painted in it.
    """
    region.check_inside(labels.shape, name)
    # copied: a view would keep the labels of the whole image
    part = labels[region.slices].copy()
    if not part.any():
        raise ValueError(
            f"The region {region} of {name} holds no labels: choose one in which every object is "
            "painted, or paint them."
        )
    return part


def cut_examples(
    images: Sequence[NDArray[Any]],
    labels: Sequence[NDArray[Any]],
    regions: Sequence[Sequence[Sequence[int]]],
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Cut examples to their labelled regions.

    Parameters
    ----------
    images : sequence of ndarray, (H, W) or (H, W, 3 or 4)
    labels : sequence of ndarray, (H, W), integer
    regions : sequence of sequence of four int
        For each image, any number of regions y0, x0, y1, x1; none for an image that is labelled as
        a whole.

    Raises
    ------
    ValueError, TypeError
        If the numbers of images, labels and regions differ, a region is none, leaves its image, or
        holds no labels; see also `check_image`.
    """
    if not len(images) == len(labels) == len(regions):
        raise ValueError(
            "Each example needs one image, one label image and its regions (none for the whole "
            f"image); got {len(images)}, {len(labels)} and {len(regions)}."
        )
    parts: list[NDArray[Any]] = []
    painted: list[NDArray[Any]] = []
    for number, of_image in enumerate(regions):
        name = f"image of example {number + 1}"
        image = check_image(images[number], name)
        own_labels = np.asarray(labels[number])
        if not len(of_image):
            parts.append(image)
            painted.append(own_labels)
        for numbers in of_image:
            region = LabelledRegion.of(numbers)
            painted.append(cut_labels(own_labels, region, f"the {name}"))
            parts.append(cut_region(image, region))
    return parts, painted


def check_agreement(pieces: Sequence[RegionLabels]) -> None:
    """Raise ValueError if regions of one image overlap and their labels disagree there."""
    for first, second in combinations(pieces, 2):
        shared = first.region.overlap(second.region)
        if shared is None or first.image != second.image:
            continue
        ours = first.labels[shared.within(first.region)]
        theirs = second.labels[shared.within(second.region)]
        differing = int(np.count_nonzero(ours != theirs))
        if differing:
            raise ValueError(
                f"The regions {first.region} and {second.region} of {first.name} overlap, and "
                f"their labels differ in {differing} pixels: make them agree, or apart."
            )


def painted_region(labels: NDArray[Any]) -> LabelledRegion | None:
    """Return the region around all labels of a large image (H, W) that fill only a part of it.

    None if the image is not large, is empty, or is labelled all over.
    """
    height, width = labels.shape
    if max(height, width) < _LARGE:
        return None
    rows = np.flatnonzero(labels.any(axis=1))
    columns = np.flatnonzero(labels.any(axis=0))
    if not len(rows):
        return None
    region = _with_margin(rows, columns, (height, width))
    area = (region.bottom - region.top) * (region.right - region.left)
    return region if area <= _PART * height * width else None


def _with_margin(
    rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int]
) -> LabelledRegion:
    """Return the region from first to last row and column, somewhat wider."""
    top, bottom = _span(rows, shape[0])
    left, right = _span(columns, shape[1])
    return LabelledRegion(top, left, bottom, right)


def _span(found: NDArray[np.intp], length: int) -> tuple[int, int]:
    first = int(found[0])
    end = int(found[-1]) + 1
    margin = max(1, round(_MARGIN * (end - first)))
    return max(0, first - margin), min(length, end + margin)
