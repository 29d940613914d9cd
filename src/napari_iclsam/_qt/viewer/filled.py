"""Unlabelled pixels of a person's labels, filled with predictions, which are no examples."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_iclsam._qt.viewer.slice_stacks import Position, SliceOrientation

Slice = tuple[SliceOrientation, Position]

_FILLED: WeakKeyDictionary[Layer, dict[Slice, int]] = WeakKeyDictionary()
"""Checksums of filled slices of the layers of all viewers, as they were when a run ended."""


def note_filled(labels: Layer, orientation: SliceOrientation, position: Position) -> None:
    """Note that all labels of a slice were predicted."""
    of_layer = _FILLED.setdefault(labels, {})
    of_layer[orientation, position] = _checksum(labels, orientation, position)


def is_filled(labels: Layer, orientation: SliceOrientation, position: Position) -> bool:
    """Tell whether a slice is as a run has filled it; corrected, it may be an example."""
    noted = _FILLED.get(labels, {}).get((orientation, position))
    return noted is not None and noted == _checksum(labels, orientation, position)


@dataclass(frozen=True, slots=True, eq=False)
class _FilledSlice:
    """What was filled of a slice (H, W): where, and with which labels."""

    where: NDArray[np.bool_]
    labels: NDArray[Any]


class Filler:
    """Fills the unlabelled pixels of a labels layer, slice by slice.

    Parameters
    ----------
    labels : Labels
    orientation : SliceOrientation
        Of the slices, in the labels.
    """

    def __init__(self, labels: Labels, orientation: SliceOrientation) -> None:
        self._labels = labels
        self._orientation = orientation
        self._slices: dict[Position, _FilledSlice] = {}

    def write(self, position: Position, predicted: NDArray[Any]) -> None:
        """Write a prediction where nobody has painted; instead of an earlier one of this run."""
        index = self._orientation.index(position)
        present = np.array(self._labels.data[index])
        earlier = self._slices.get(position)
        is_free = present == 0
        if earlier is not None:
            # what somebody has painted meanwhile is no longer free
            is_free = earlier.where & (present == earlier.labels)
        filled = np.where(is_free, predicted, present).astype(present.dtype)
        self._labels.data[index] = filled
        self._slices[position] = _FilledSlice(is_free, filled)
        if is_free.all():
            note_filled(self._labels, self._orientation, position)

    def finish(self) -> None:
        """Make all that was filled one step of the layer's history: Ctrl+Z takes it back."""
        parts = []
        for position, filled in self._slices.items():
            present = self._labels.data[self._orientation.index(position)]
            is_ours = filled.where & (present == filled.labels) & (present != 0)
            parts.append(_indices(self._orientation.index(position), is_ours))
        self._slices = {}
        if not parts:
            return
        indices = tuple(np.concatenate(axis) for axis in zip(*parts, strict=True))
        values = self._labels.data[indices]
        # it was 0 before, and the history keeps what it finds
        self._labels.data[indices] = 0
        with self._labels.block_history():
            self._labels.data_setitem(indices, values)


def _indices(
    index: tuple[int | slice, ...], where: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], ...]:
    """Return the indices into an array of those pixels of one of its slices."""
    in_slice = iter(np.nonzero(where))
    indices = []
    for each in index:
        if isinstance(each, slice):
            indices.append(next(in_slice))
        else:
            indices.append(np.full(np.count_nonzero(where), each, np.intp))
    return tuple(indices)


def _checksum(labels: Layer, orientation: SliceOrientation, position: Position) -> int:
    return zlib.crc32(np.ascontiguousarray(labels.data[orientation.index(position)]).data)
