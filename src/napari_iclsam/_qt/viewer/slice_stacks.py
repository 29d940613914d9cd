"""Slices of arrays with any number of axes: how they lie, which are labelled, read one by one."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.images.unknown import is_painted
from napari_iclsam.core.steps import evenly_spaced

Position = tuple[int, ...]
"""Where a slice lies: one index along each axis that is not in the slice, in order of the axes."""


@dataclass(frozen=True, slots=True)
class SliceOrientation:
    """Which two axes of an array make a slice.

    Attributes
    ----------
    ndim : int
        Axes of the array, without colors.
    rows, columns : int
        The axes in the slice, rows < columns: slices are read in the order of the data, however
        they are displayed.
    """

    ndim: int
    rows: int
    columns: int

    @classmethod
    def of_last_axes(cls, ndim: int) -> SliceOrientation:
        """Return the orientation of slices made by the last two axes."""
        return cls(ndim, ndim - 2, ndim - 1)

    @classmethod
    def stacked_along(cls, ndim: int, axis: int) -> SliceOrientation:
        """Return the orientation of slices stacked along an axis: the last two of the others."""
        others = list(range(ndim))
        others.remove(axis)
        return cls(ndim, *others[-2:])

    @property
    def stack_axes(self) -> tuple[int, ...]:
        """The axes that are not in the slice."""
        return tuple(axis for axis in range(self.ndim) if axis not in (self.rows, self.columns))

    @property
    def axis(self) -> int | None:
        """The axis that slices are stacked along: the last stack axis; None of a 2D array."""
        return self.stack_axes[-1] if self.stack_axes else None

    def index(self, position: Position) -> tuple[int | slice, ...]:
        """Return the index of one slice into the array."""
        index: list[int | slice] = [slice(None)] * self.ndim
        for axis, number in zip(self.stack_axes, position, strict=True):
            index[axis] = number
        return tuple(index)

    def slice_shape(self, shape: Sequence[int]) -> tuple[int, int]:
        """Return height and width of a slice of an array of this shape."""
        return shape[self.rows], shape[self.columns]

    def positions(self, shape: Sequence[int]) -> list[Position]:
        """Return all positions in an array of this shape, in order."""
        return list(np.ndindex(*(shape[axis] for axis in self.stack_axes)))

    def with_leading_axes(self, count: int) -> SliceOrientation:
        """Return the same orientation in an array with so many more axes in front."""
        return SliceOrientation(self.ndim + count, self.rows + count, self.columns + count)

    def without_leading_axes(self, count: int) -> SliceOrientation:
        """Return the same orientation in an array without so many axes in front."""
        return self.with_leading_axes(-count)


LabelledPositions = Mapping[SliceOrientation, list[Position]]
"""The labelled slices of an array of labels, for each orientation."""


def orientations(ndim: int) -> list[SliceOrientation]:
    """Return all orientations of slices, that of the last two axes first."""
    pairs = sorted(itertools.combinations(range(ndim), 2), reverse=True)
    return [SliceOrientation(ndim, *pair) for pair in pairs]


@dataclass(frozen=True, slots=True, eq=False)
class SliceStack:
    """Some slices of an array as a stack along axis 0, each read when it is indexed.

    Attributes
    ----------
    array : ArrayLike
        With or without colors in the last axis.
    orientation : SliceOrientation
    positions : tuple of Position
    """

    array: ArrayLike
    orientation: SliceOrientation
    positions: tuple[Position, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of slices, height, width, and colors if there are any."""
        height, width = self.orientation.slice_shape(self.array.shape)
        colors = self.array.shape[self.orientation.ndim :]
        return (len(self.positions), height, width, *colors)

    @property
    def dtype(self) -> Any:
        """That of the array."""
        return self.array.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        number = key[0] if isinstance(key, tuple) else key
        return np.asarray(self.array[self.orientation.index(self.positions[number])])

    def __len__(self) -> int:
        return len(self.positions)


def find_labelled_steps(labels: ArrayLike) -> Generator[None, None, LabelledPositions]:
    """Find the labelled slices of an array of labels, one index of its first axis at a time."""
    if len(labels.shape) == 2:
        yield
        is_labelled = bool(is_painted(np.asarray(labels[...])).any())
        return {SliceOrientation.of_last_axes(2): [()] if is_labelled else []}
    found = {}
    for orientation in orientations(len(labels.shape)):
        sizes = [labels.shape[axis] for axis in orientation.stack_axes]
        found[orientation] = np.zeros(sizes, bool)
    for index in range(labels.shape[0]):
        # of lazy labels, only this much is in memory at a time
        slab = is_painted(np.asarray(labels[index]))
        yield
        if slab.any():
            for orientation, is_labelled_at in found.items():
                _mark_labelled(is_labelled_at, orientation, index, slab)
    positions = {}
    for orientation, is_labelled_at in found.items():
        positions[orientation] = list(map(tuple, np.argwhere(is_labelled_at).tolist()))
    return positions


def _mark_labelled(
    is_labelled_at: NDArray[np.bool_],
    orientation: SliceOrientation,
    index: int,
    slab: NDArray[np.bool_],
) -> None:
    """Note which slices are labelled in one slab: the array at an index of its first axis."""
    if orientation.rows == 0:
        # such slices run through all slabs
        is_labelled_at |= slab.any(axis=orientation.columns - 1)
    else:
        in_slab = (orientation.rows - 1, orientation.columns - 1)
        is_labelled_at[index] = slab.any(axis=in_slab)


def likely_orientation(
    found: LabelledPositions, preferred: SliceOrientation | None = None
) -> SliceOrientation:
    """Return the orientation in which somebody painted: the one with the fewest labelled slices.

    A painted slice cuts through many slices of the other orientations. Of equal ones, the
    preferred one is returned.
    """
    return min(found, key=lambda each: (len(found[each]), each != preferred))


def spread_out(positions: Sequence[Position], at_most: int) -> list[Position]:
    """Return at most so many of the positions, evenly spaced."""
    return [positions[number] for number in evenly_spaced(len(positions), at_most)]
