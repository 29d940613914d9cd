"""The labelled planes of a stack as examples of a task, on the stack's scale of grey values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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


def stack_examples(
    volume: ArrayLike, labels: NDArray[Any], axis: StackAxis, empty_planes: Iterable[int] = ()
) -> StackExamples:
    """Make examples of the labelled planes of a stack; see `ICLSAM.fit_stack`."""
    number = check_stack(volume, labels, axis.number)
    planes = labelled_planes_of(labels, number, empty_planes)
    scaled = ScaledVolume.of(volume, number, planes, range(volume.shape[number]))
    support = SupportSet.of(
        [plane(scaled, number, index) for index in planes],
        [plane(labels, number, index) for index in planes],
    )
    pairs = {index: pair for pair, index in enumerate(planes)}
    stack = LabelledStack(scaled, number, pairs, axis.spacing, axis.kind)
    return StackExamples(stack, support)
