"""Objects of a result found and measured in a worker. Knows neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.objects.instances import Instances, find_instances
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
    """

    labels: NDArray[np.int32]
    image: ArrayLike | None
    axis: int | None
    scale: Scale


@dataclass(frozen=True, slots=True, eq=False)
class FoundObjects:
    """The objects of a result, and their measurements."""

    instances: Instances
    table: ObjectTable


def object_steps(quest: ObjectQuest) -> Generator[None, None, FoundObjects]:
    """Find objects and measure them; can be stopped in between."""
    yield
    if quest.axis is None:
        found = find_instances(quest.labels)
    else:
        found = stack_instances(quest.labels, quest.axis)
    yield
    image = None if quest.image is None else np.asarray(quest.image[...])
    table = measure(found.ids, Pixels(image, labels=found.labels), quest.scale)
    return FoundObjects(found, table)
