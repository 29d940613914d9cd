"""Planes of arrays with more than two dimensions: which axis, which plane, there and back."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import index
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class PlaneError(ValueError):
    """What is wrong with one plane of a stack.

    Attributes
    ----------
    plane : int
        Its index along the stack's axis.
    reason : str
        Without the index.
    """

    def __init__(self, plane: int, reason: str) -> None:
        super().__init__(f"Plane {plane}: {reason}")
        self.plane = plane
        self.reason = reason


class ArrayLike(Protocol):
    """What numpy, dask and zarr arrays share."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> Any: ...  # noqa: D102
    def __getitem__(self, key: Any) -> Any: ...


class Writable(Protocol):
    """What numpy and zarr arrays share that are written to."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> Any: ...  # noqa: D102
    def __setitem__(self, key: Any, value: Any, /) -> None: ...


def is_rgb(shape: tuple[int, ...]) -> bool:
    """Tell whether an array of this shape is taken for color.

    It is if its last axis is 3 or 4 long and at least two others precede it.
    """
    return len(shape) >= 3 and shape[-1] in (3, 4)


def stack_axis(shape: tuple[int, ...], axis: int) -> int:
    """Return the axis of a stack, counted from the front, if it is one.

    Raises
    ------
    ValueError
        If the array is not a stack of planes (one color image is none), or has no such axis, or the
        axis is that of the colors.
    """
    spatial = len(shape) - 1 if len(shape) == 4 and is_rgb(shape) else len(shape)
    if spatial != 3:
        raise ValueError(
            f"A stack must have three axes, or three and colors; got shape {shape}. "
            "Choose one time point or channel first."
        )
    if not -spatial <= axis < spatial:
        raise ValueError(f"The stack has axes 0 to {spatial - 1}; got axis {axis}.")
    if len(shape) == 3 and is_rgb(shape) and axis % spatial != 2:
        raise ValueError(
            f"An array of shape {shape} is one color image, not a stack: segment it by itself. "
            "If its last axis counts planes, stack along axis 2."
        )
    return axis % spatial


def plane(volume: ArrayLike, axis: int, number: int) -> NDArray[Any]:
    """Return one plane in memory: (H, W) or (H, W, C).

    Of dask and zarr arrays only that plane is computed.
    """
    key = (slice(None),) * axis + (number,)
    return np.asarray(volume[key])


def read_ahead(
    volume: ArrayLike, axis: int, numbers: Sequence[int]
) -> Generator[NDArray[Any], None, None]:
    """Yield planes in turn, each read by a thread while the one before is segmented; see `plane`.

    At most two are in memory. An error in reading is raised when its plane's turn comes.
    """
    # one thread: more would read ahead of what memory is meant to hold
    with ThreadPoolExecutor(1, "napari-iclsam reads") as reader:
        reading = [reader.submit(plane, volume, axis, number) for number in numbers[:1]]
        for following in range(1, len(numbers) + 1):
            image = reading.pop().result()
            for number in numbers[following : following + 1]:
                reading.append(reader.submit(plane, volume, axis, number))
            yield image


def plane_indices(count: int, planes: Any) -> tuple[int, ...]:
    """Return which planes of ``count`` are meant: all if None, else those given, each checked.

    Raises
    ------
    ValueError
        If an index is outside the stack.
    TypeError
        If one is not an integer.
    """
    if planes is None:
        return tuple(range(count))
    # `operator.index` refuses 1.5, which `int` would round
    indices = tuple(index(p) for p in planes)
    outside = [p for p in indices if not 0 <= p < count]
    if outside:
        raise ValueError(f"The stack has planes 0 to {count - 1}; got {outside[0]}.")
    return indices
