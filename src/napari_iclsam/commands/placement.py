"""How the planes of a file lie: turned as those of the examples, or along the body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.commands.inputs import Axis
from napari_iclsam.core.images.planes import ArrayLike, plane, stack_axis
from napari_iclsam.files.label_rows import row_parts
from napari_iclsam.files.orientation import (
    RADIOLOGICAL,
    WORLD_AXES,
    Turn,
    as_read,
    axis_names,
    can_turn,
    in_file_order,
    turn_towards,
)
from napari_iclsam.files.space import ImageFile, Nifti


@dataclass(frozen=True, slots=True)
class Placement:
    """How the planes of a file are taken out of it and put back.

    Attributes
    ----------
    axis : int, optional
        That the planes of a stack are stacked along, after the turn; None for a single plane.
    turn : Turn
        Of a NIfTI volume in file order; nothing for any other file.
    shape : tuple of int
        Of the file as it was read, without colors.
    turned_shape : tuple of int
        Likewise, after the turn.
    volume_shape : tuple of int
        Of the volume that is turned, in file order, with axes of size one; empty if there is none.
    note : str
        What to say of the turn; empty if nothing.
    """

    axis: int | None
    turn: Turn
    shape: tuple[int, ...]
    turned_shape: tuple[int, ...]
    volume_shape: tuple[int, ...] = ()
    note: str = ""

    def apply(self, array: NDArray[Any], file: ImageFile) -> NDArray[Any]:
        """Turn an array that lies as the file: the image, or labels on its grid."""
        if self.turn.is_identity:
            return array
        nifti = file.space.nifti
        assert nifti is not None
        if array.ndim == len(file.shape):
            return self._turn_plain(array, nifti)
        # Colors are no axis of the body.
        channels = [self._turn_plain(array[..., n], nifti) for n in range(array.shape[-1])]
        return np.stack(channels, axis=-1)

    def _turn_plain(self, array: NDArray[Any], nifti: Nifti) -> NDArray[Any]:
        return as_read(self.turn.apply(in_file_order(array, nifti)))

    def undo(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Turn labels back to lie as the file was read."""
        if self.turn.is_identity:
            return labels
        # A turn needs all three axes, also those of size one that were dropped.
        turned_shape = [self.volume_shape[source] for source in self.turn.sources]
        volume = labels.T.reshape(turned_shape)
        return self.turn.undo(volume).T.reshape(self.shape)

    def turned_spacing(self, spacing: Sequence[float | None]) -> tuple[float | None, ...]:
        """Return the distances of a file's pixels, (z, y, x), along the axes after the turn.

        Empty if the file does not say them along all three.
        """
        if self.turn.is_identity:
            return tuple(spacing)
        if len(spacing) != 3:
            return ()
        in_file = spacing[::-1]
        turned = [in_file[source] for source in self.turn.sources]
        return tuple(reversed(turned))

    def number_in_file(self, index: int) -> int:
        """Return the number of a plane as the file counts it."""
        if self.axis is None or not self._runs_backwards(self.axis):
            return index
        return self.turned_shape[self.axis] - 1 - index

    def _runs_backwards(self, axis: int) -> bool:
        # The array is (z, y, x), the turn (x, y, z).
        return self.turn.flips[2 - axis]


def place(file: ImageFile, axis: Axis, reference: NDArray[np.float64] | None) -> Placement:
    """Choose how the planes of a file are taken.

    Parameters
    ----------
    file : ImageFile
    axis : int or str
        A number counts the axes of the array, (z, y, x), of the examples' orientation. A direction
        is looked up in the affine, and planes are then shown in the usual orientation: the front
        up, the right side of the body at the left.
    reference : ndarray, (4, 4), optional
        Affine of the first example that has one: other files are turned to lie as it does.

    Raises
    ------
    ValueError
        If a direction was given and the file does not say how it lies, or there is no such axis.
    """
    if isinstance(axis, str):
        return _by_direction(file, axis)
    # Without a place in the world there is nothing to turn by: planes stay as they are stored.
    if reference is None or not can_turn(file):
        along = stack_axis(file.shape, axis) if file.is_stack else None
        return Placement(along, Turn(), file.shape, file.shape)
    return _as_examples(file, axis, reference)


@dataclass(frozen=True, slots=True, eq=False)
class Planes(Sequence[NDArray[Any]]):
    """The planes of a stack, or the one plane. Those of a stack on disk are read each time."""

    array: ArrayLike
    axis: int | None

    def __len__(self) -> int:
        return 1 if self.axis is None else self.array.shape[self.axis]

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NDArray[Any]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[Any] | Sequence[NDArray[Any]]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return np.asarray(self.array) if self.axis is None else plane(self.array, self.axis, index)


@dataclass(frozen=True, slots=True, eq=False)
class Bands(Sequence[NDArray[Any]]):
    """The rows of a plane on disk, many at a time. They are read each time."""

    array: ArrayLike

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NDArray[Any]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[Any] | Sequence[NDArray[Any]]:
        parts = self._parts[index]
        if isinstance(parts, slice):
            return np.asarray(self.array[parts])
        return [np.asarray(self.array[rows]) for rows in parts]

    @property
    def _parts(self) -> list[slice]:
        return list(row_parts(self.array.shape[:2]))


def planes_of(file: ImageFile, placement: Placement) -> Planes | Bands:
    """Return the planes of a file as they are segmented; of one plane on disk, its rows."""
    if placement.axis is None and is_on_disk(file.array):
        return Bands(file.array)
    return Planes(placement.apply(file.array, file), placement.axis)


def is_on_disk(array: ArrayLike) -> bool:
    """Tell whether parts of an array are read when they are needed."""
    return not isinstance(array, np.ndarray)


def _as_examples(file: ImageFile, axis: int, reference: NDArray[np.float64]) -> Placement:
    """Turn a file that says how it lies to lie as the examples."""
    assert file.space.nifti is not None
    affine = file.space.nifti.affine
    placement = _turned(file, turn_towards(affine, reference))
    # The axis is counted after the turn, so that one number means one direction in all files.
    shape = placement.turned_shape
    along = stack_axis(shape, axis) if len(shape) == 3 else None
    if placement.turn.is_identity:
        return replace(placement, axis=along)
    ours = axis_names(affine)
    theirs = axis_names(reference)
    note = (
        f"Its planes were turned to lie as those of the examples ({ours} as {theirs}), "
        "and the result turned back."
    )
    return replace(placement, axis=along, note=note)


def _by_direction(file: ImageFile, direction: str) -> Placement:
    if not can_turn(file):
        if file.is_stack:
            raise ValueError(
                f"{file.path} does not say how it lies in a body, "
                f"so {direction} planes are not known: give --axis a number."
            )
        # A single plane has no direction to choose.
        return Placement(None, Turn(), file.shape, file.shape)
    assert file.space.nifti is not None
    turn = turn_towards(file.space.nifti.affine, RADIOLOGICAL)
    placement = _turned(file, turn)
    # The world counts (x, y, z), the array (z, y, x).
    along = 2 - WORLD_AXES[direction] if len(placement.turned_shape) == 3 else None
    return replace(placement, axis=along)


def _turned(file: ImageFile, turn: Turn) -> Placement:
    """Return a placement that knows its turn, but not yet its axis."""
    assert file.space.nifti is not None
    # Of a color image, one channel tells the shape.
    plain = file.array[..., 0] if file.color else file.array
    volume = in_file_order(plain, file.space.nifti)
    shape = as_read(turn.apply(volume)).shape
    return Placement(None, turn, file.shape, shape, volume.shape)
