"""Objects of a result found and measured in a worker. Knows neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.banded_measure import StoredObjects, measure_steps
from napari_iclsam.core.banded_objects import object_steps as banded_object_steps
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.objects.instances import Separation, find_instances
from napari_iclsam.core.objects.linking import stack_instances
from napari_iclsam.core.objects.measure import ObjectTable, Pixels, Scale, measure
from napari_iclsam.core.prediction import Progress
from napari_iclsam.files.label_pyramid import LabelPyramid


@dataclass(frozen=True, slots=True, eq=False)
class ObjectQuest:
    """What to measure.

    Attributes
    ----------
    labels : ndarray, (Y, X) or (Z, Y, X), integer
        A copy, since they may be painted meanwhile.
    image : ArrayLike, optional
        Of the same shape, perhaps with colors.
    axis : int, optional
        That planes are stacked along; None of a single plane.
    scale : Scale
    certainty : ndarray, of the shape of the labels, uint8, optional
        How likely each pixel has its label, 255 for 1.
    separations : mapping of int to Separation
        By label; estimated where it is missing.
    """

    labels: NDArray[np.int32]
    image: ArrayLike | None
    axis: int | None
    scale: Scale
    certainty: NDArray[np.uint8] | None = None
    separations: Mapping[int, Separation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class FoundObjects:
    """The objects of a result, and their measurements.

    Attributes
    ----------
    ids : ndarray, or `LabelPyramid` of a plane on disk
    labels : ndarray, (n + 1,), int32
        By id: the label of an object.
    table : ObjectTable
    """

    ids: NDArray[np.int32] | LabelPyramid
    labels: NDArray[np.int32]
    table: ObjectTable


@dataclass(frozen=True, slots=True, eq=False)
class LargeQuest:
    """What to measure of a plane on disk.

    Attributes
    ----------
    labels, certainty : ArrayLike, (Y, X)
        As in `ObjectQuest`.
    image : ArrayLike, (Y, X) or (Y, X, C)
    ids : LabelPyramid
        Where ids are written.
    scale : Scale
    separations : mapping of int to Separation
    """

    labels: ArrayLike
    certainty: ArrayLike
    image: ArrayLike
    ids: LabelPyramid
    scale: Scale
    separations: Mapping[int, Separation]


def large_object_steps(quest: LargeQuest) -> Generator[Progress, None, FoundObjects]:
    """Find objects of a plane on disk and measure them, part by part."""
    owners = yield from banded_object_steps(quest.labels, quest.ids, quest.separations)
    stored = StoredObjects(quest.ids, owners, quest.image, _Shares(quest.certainty))
    table = yield from measure_steps(stored, quest.scale)
    return FoundObjects(quest.ids, owners, table)


@dataclass(frozen=True, slots=True, eq=False)
class _Shares:
    """Numbers up to 255 as shares of 1."""

    array: ArrayLike

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        return np.asarray(self.array[key] / np.float32(255))


def object_steps(quest: ObjectQuest) -> Generator[None, None, FoundObjects]:
    """Find objects and measure them; can be stopped in between."""
    yield
    if quest.axis is None:
        found = find_instances(quest.labels, quest.separations)
    else:
        found = stack_instances(quest.labels, quest.axis, quest.separations)
    yield
    image = None if quest.image is None else np.asarray(quest.image[...])
    certainty = None if quest.certainty is None else quest.certainty / np.float32(255)
    table = measure(found.ids, Pixels(image, certainty, found.labels), quest.scale)
    return FoundObjects(found.ids, found.labels, table)
