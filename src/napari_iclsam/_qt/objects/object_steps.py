"""Objects of a result found and measured in a worker. Knows neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.objects.instances import Instances, Separation, find_instances
from napari_iclsam.core.objects.linking import stack_instances
from napari_iclsam.core.objects.measure import ObjectTable, Pixels, Scale, measure


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
    """The objects of a result, and their measurements."""

    instances: Instances
    table: ObjectTable


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
    return FoundObjects(found, table)
