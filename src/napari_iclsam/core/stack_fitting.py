"""The labelled planes of a stack as examples of a task, on the stack's scale of grey values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.planes import ArrayLike, plane
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.labelled_stack import (
    LabelledStack,
    check_stack,
    labelled_planes_of,
)
from napari_iclsam.core.volume.labelled_planes import AxisKind, Spacing
from napari_iclsam.core.volume.scaled_volume import ScaledVolume


@dataclass(frozen=True, slots=True, eq=False)
class StackExamples:
    """A stack and the support set of its labelled planes.

    Attributes
    ----------
    stack : LabelledStack
    support : SupportSet
        Images on the scale of the stack.
    """

    stack: LabelledStack
    support: SupportSet


@dataclass(frozen=True, slots=True)
class StackAxis:
    """The axis that planes are stacked along.

    Attributes
    ----------
    number : int
        Negative numbers count from the end.
    spacing : tuple of float, optional
        Distance of planes, rows and columns, in any one unit.
    kind : {"space", "time"}
    """

    number: int = 0
    spacing: Spacing | None = None
    kind: AxisKind = "space"


@dataclass(frozen=True, slots=True, eq=False)
class StackLabels:
    """What was painted on a stack.

    Attributes
    ----------
    labels : ndarray, (Z, Y, X), integer
    empty_planes : tuple of int
        Planes that hold no label for sure.
    unknown : tuple of int
        Numbers of pixels that are neither an object nor background.
    """

    labels: NDArray[Any]
    empty_planes: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()

    def painted(self) -> NDArray[np.bool_]:
        """Return where an object is, (Z, Y, X)."""
        painted = np.asarray(self.labels != 0)
        # one by one: np.isin would take eight bytes a voxel
        for number in self.unknown:
            painted &= self.labels != number
        return painted


def stack_examples(volume: ArrayLike, given: StackLabels, axis: StackAxis) -> StackExamples:
    """Make examples of the labelled planes of a stack; see `ICLSAM.fit_stack`."""
    labels = given.labels
    number = check_stack(volume, labels, axis.number)
    planes = labelled_planes_of(given.painted(), number, given.empty_planes)
    scaled = ScaledVolume.of(volume, number, planes, range(volume.shape[number]))
    support = SupportSet.of(
        [plane(scaled, number, index) for index in planes],
        [plane(labels, number, index) for index in planes],
        unknown=given.unknown,
    )
    pairs = {index: pair for pair, index in enumerate(planes)}
    stack = LabelledStack(scaled, number, pairs, axis.spacing, axis.kind)
    return StackExamples(stack, support)
