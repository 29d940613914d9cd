"""Planes of arrays with any number of axes: where they are cut, which are labelled, read one by one."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.planes import ArrayLike

Position = tuple[int, ...]
"""Where a plane lies: one index along each axis that is not in the plane, in order of the axes."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Which two axes of an array make a plane.

    Attributes
    ----------
    ndim : int
        Axes of the array, without colors.
    rows, columns : int
        The axes in the plane, rows < columns: planes are read in the order of the data, however
        they are displayed.
    """

    ndim: int
    rows: int
    columns: int

    @classmethod
    def last(cls, ndim: int) -> Cut:
        """Return the cut along the last two axes."""
        return cls(ndim, ndim - 2, ndim - 1)

    @classmethod
    def across(cls, ndim: int, axis: int) -> Cut:
        """Return the cut whose planes are stacked along an axis: the last two of the others."""
        rows, columns = [a for a in range(ndim) if a != axis][-2:]
        return cls(ndim, rows, columns)

    @property
    def others(self) -> tuple[int, ...]:
        """The axes that are not in the plane."""
        return tuple(a for a in range(self.ndim) if a not in (self.rows, self.columns))

    @property
    def axis(self) -> int | None:
        """The axis along which planes are stacked: the last of the others, None of a 2D array."""
        return self.others[-1] if self.others else None

    def key(self, position: Position) -> tuple[int | slice, ...]:
        """Return the index of one plane."""
        indices = iter(position)
        return tuple(
            slice(None) if a in (self.rows, self.columns) else next(indices)
            for a in range(self.ndim)
        )

    def shape(self, shape: Sequence[int]) -> tuple[int, int]:
        """Return height and width of a plane of an array of this shape."""
        return shape[self.rows], shape[self.columns]

    def positions(self, shape: Sequence[int]) -> list[Position]:
        """Return all positions in an array of this shape, in order."""
        return list(itertools.product(*(range(shape[a]) for a in self.others)))

    def behind(self, leading: int) -> Cut:
        """Return the same cut of an array with so many more axes in front."""
        return Cut(self.ndim + leading, self.rows + leading, self.columns + leading)


def cuts(ndim: int) -> list[Cut]:
    """Return all cuts of an array, the last two axes first."""
    pairs = itertools.combinations(range(ndim), 2)
    return [Cut(ndim, *pair) for pair in sorted(pairs, reverse=True)]


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """Some planes of an array as a stack along axis 0, each read when it is asked for.

    Attributes
    ----------
    array : ArrayLike
        With or without colors in the last axis.
    cut : Cut
    positions : tuple of Position
    """

    array: ArrayLike
    cut: Cut
    positions: tuple[Position, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of planes, height, width, and colors if there are any."""
        return (
            len(self.positions),
            *self.cut.shape(self.array.shape),
            *self.array.shape[self.cut.ndim :],
        )

    @property
    def dtype(self) -> Any:
        """That of the array."""
        return self.array.dtype

    def __getitem__(self, key: Any) -> NDArray[Any]:
        index = key[0] if isinstance(key, tuple) else key
        return np.asarray(self.array[self.cut.key(self.positions[index])])

    def __len__(self) -> int:
        return len(self.positions)


def scan_steps(labels: ArrayLike) -> Generator[None, None, dict[Cut, list[Position]]]:
    """Find the labelled planes of each cut of an array of labels, one index of its first axis at a time."""
    ndim = len(labels.shape)
    if ndim == 2:
        yield
        return {Cut.last(2): [()] if np.any(np.asarray(labels[...])) else []}
    all_cuts = cuts(ndim)
    found = {cut: np.zeros([labels.shape[a] for a in cut.others], bool) for cut in all_cuts}
    for index in range(labels.shape[0]):
        slab = np.asarray(labels[index]) != 0
        yield
        if not slab.any():
            continue
        for cut in all_cuts:
            inside = tuple(a - 1 for a in (cut.rows, cut.columns) if a > 0)
            if cut.rows == 0:
                found[cut] |= slab.any(axis=inside)
            else:
                found[cut][index] = slab.any(axis=inside)
    return {cut: [tuple(map(int, p)) for p in np.argwhere(where)] for cut, where in found.items()}


def best_cut(found: dict[Cut, list[Position]], preferred: Cut | None = None) -> Cut:
    """Return the cut in which somebody painted: that with the fewest labelled planes, of equal ones the preferred."""
    return min(found, key=lambda cut: (len(found[cut]), cut != preferred))


def evenly(positions: Sequence[Position], count: int) -> set[Position]:
    """Return at most ``count`` of the positions, evenly spread."""
    chosen = np.unique(
        np.linspace(0, len(positions) - 1, min(count, len(positions))).round().astype(int)
    )
    return {positions[i] for i in chosen} if positions else set()


def ids_of(labels: Iterable[NDArray[Any]]) -> list[int]:
    """Return the labels that occur, ascending, without background."""
    return sorted({int(i) for plane in labels for i in np.unique(plane)} - {0})
