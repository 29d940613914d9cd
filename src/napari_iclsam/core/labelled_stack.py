"""A volume and its labelled planes, read plane by plane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.intensity import LUMINANCE
from napari_iclsam.core.images.planes import ArrayLike, plane, plane_indices, stack_axis
from napari_iclsam.core.volume.labelled_planes import Axis, AxisKind, Spacing, axis_of_spacing


@dataclass(frozen=True, slots=True, eq=False)
class VolumePart:
    """Some neighboring planes of a volume, read one by one.

    Attributes
    ----------
    volume : ArrayLike
    axis : int
        The axis that the planes are stacked along.
    first, stop : int
        The first plane, and the one after the last.
    """

    volume: ArrayLike
    axis: int
    first: int
    stop: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the part."""
        shape = list(self.volume.shape)
        shape[self.axis] = self.stop - self.first
        return tuple(shape)

    @property
    def dtype(self) -> Any:
        """That of the volume."""
        return self.volume.dtype

    def __getitem__(self, key: Any) -> Any:
        """Read one plane, as `napari_iclsam.core.images.planes.plane` does."""
        number = self.first + key[self.axis]
        return self.volume[(*key[: self.axis], number, *key[self.axis + 1 :])]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledStack:
    """A volume, and which of its planes are examples of a task.

    Attributes
    ----------
    volume : numpy, dask or zarr array, three axes, or three and colors
        8-bit, or on the scale of the examples (`ScaledVolume`).
    axis : int
        The axis that the planes are stacked along, counted from the front.
    pairs : mapping of int to int
        By plane: its number among the examples of the task.
    spacing : tuple of float, optional
        Distance of planes, rows and columns; taken as equal if not given.
    kind : {"space", "time"}
        In time an object may vanish and return.
    """

    volume: ArrayLike
    axis: int
    pairs: Mapping[int, int]
    spacing: Spacing | None = None
    kind: AxisKind = "space"

    def __post_init__(self) -> None:
        if np.dtype(self.volume.dtype) != np.uint8:
            raise ValueError(
                f"The volume must hold 8-bit grey values; got {self.volume.dtype}. Wrap it in "
                "ScaledVolume.of, and scale the examples alike."
            )

    @property
    def count(self) -> int:
        """Number of planes."""
        return self.volume.shape[self.axis]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a plane."""
        rest = [length for axis, length in enumerate(self.volume.shape[:3]) if axis != self.axis]
        return rest[0], rest[1]

    @property
    def planes(self) -> tuple[int, ...]:
        """The labelled planes, ascending."""
        return tuple(sorted(self.pairs))

    @property
    def spaced_axis(self) -> Axis:
        """The axis with the distance of its planes, in pixels."""
        if self.spacing is None:
            return Axis(self.count, kind=self.kind)
        return axis_of_spacing(self.count, self.spacing, self.kind)

    def part(self, first: int, stop: int) -> LabelledStack:
        """Return the stack from one plane up to another, which holds all labelled planes."""
        pairs = {number - first: pair for number, pair in self.pairs.items()}
        volume = VolumePart(self.volume, self.axis, first, stop)
        return replace(self, volume=volume, pairs=pairs)

    def grey(self, number: int) -> NDArray[np.uint8]:
        """Return the grey values (H, W) of a plane; zeros where it cannot be read.

        Such a plane tells nothing of the planes beside. That it is faulty is raised when it is to
        be segmented itself.
        """
        try:
            image = np.asarray(plane(self.volume, self.axis, number))
        except (ValueError, TypeError):
            return np.zeros(self.size, np.uint8)
        if image.ndim == 3:
            image = image[..., :3].astype(np.float32) @ LUMINANCE
        return image.astype(np.uint8)


def labelled_planes_of(labels: NDArray[Any], axis: int, empty: Iterable[int]) -> tuple[int, ...]:
    """Return the planes of labels (Z, Y, X) that hold any, and those that were declared empty.

    Raises
    ------
    ValueError
        If a plane was declared empty and holds labels, or lies outside the stack.
    """
    other = tuple(index for index in range(3) if index != axis)
    painted = set(np.flatnonzero(np.asarray(labels).any(axis=other)).tolist())
    declared = set(plane_indices(labels.shape[axis], tuple(empty)))
    both = sorted(painted & declared)
    if both:
        numbers = ", ".join(map(str, both))
        raise ValueError(
            f"Planes that were declared empty hold labels: {numbers}. Erase the labels, or do not "
            "declare these planes empty."
        )
    return tuple(sorted(painted | declared))


def check_stack(volume: ArrayLike, labels: NDArray[Any], axis: int) -> int:
    """Return the axis of a stack, counted from the front, if labels fit the volume.

    Raises
    ------
    ValueError
        If it is no stack, or labels have another shape.
    """
    axis = stack_axis(volume.shape, axis)
    if tuple(labels.shape) != tuple(volume.shape[:3]):
        raise ValueError(
            f"Labels must have the shape of the volume, {tuple(volume.shape[:3])}; got "
            f"{tuple(labels.shape)}."
        )
    return axis
