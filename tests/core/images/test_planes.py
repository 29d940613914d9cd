"""Which axis and which plane of an array."""

from __future__ import annotations

import threading
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_iclsam.core.images.planes import is_rgb, plane, plane_indices, read_ahead, stack_axis

VOLUME = np.arange(2 * 3 * 4).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("shape", "rgb"),
    [
        ((5, 6), False),
        ((5, 3), False),
        ((5, 6, 3), True),
        ((5, 6, 4), True),
        ((5, 6, 2), False),
        ((2, 5, 6, 3), True),
    ],
    ids=str,
)
def test_a_short_last_axis_behind_two_others_is_color(shape: tuple[int, ...], rgb: bool) -> None:
    assert is_rgb(shape) is rgb


@pytest.mark.parametrize(
    "shape", [(7, 8, 9), (7, 8, 9, 3), (7, 8, 9, 4)], ids=["grey", "rgb", "rgba"]
)
@pytest.mark.parametrize(("axis", "expected"), [(0, 0), (1, 1), (2, 2), (-1, 2), (-2, 1), (-3, 0)])
def test_axes_are_counted_from_either_end_without_colors(
    shape: tuple[int, ...], axis: int, expected: int
) -> None:
    assert stack_axis(shape, axis) == expected


@pytest.mark.parametrize("axis", [3, -4, 17])
def test_an_axis_that_is_not_there_is_refused(axis: int) -> None:
    with pytest.raises(ValueError, match=f"The stack has axes 0 to 2; got axis {axis}"):
        stack_axis((7, 8, 9, 3), axis)


@pytest.mark.parametrize("shape", [(), (5,), (5, 6), (2, 5, 6, 7), (2, 2, 5, 6, 3)], ids=str)
def test_what_is_no_stack_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match="A stack must have three axes, or three and colors; got shape"
    ):
        stack_axis(shape, 0)


def test_one_color_image_is_no_stack_unless_its_last_axis_is_asked_for() -> None:
    with pytest.raises(ValueError, match="one color image"):
        stack_axis((40, 50, 3), 0)
    assert stack_axis((40, 50, 3), 2) == 2
    assert stack_axis((40, 50, 3), -1) == 2


@pytest.mark.parametrize(
    "make", [np.asarray, da.from_array, zarr.array], ids=["numpy", "dask", "zarr"]
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_of_any_array_is_a_numpy_array(make: Any, axis: int) -> None:
    got = plane(make(VOLUME), axis, 1)
    assert isinstance(got, np.ndarray)
    assert (got == VOLUME.take(1, axis=axis)).all()


STACK = VOLUME.transpose(2, 0, 1)


class Slow:
    """A volume that tells which of its planes are being read."""

    shape, dtype = STACK.shape, STACK.dtype

    def __init__(self) -> None:
        self.reading = [threading.Event() for _ in STACK]

    def __getitem__(self, key: tuple[int]) -> NDArray[Any]:
        self.reading[key[0]].set()
        return STACK[key]


def test_a_plane_is_read_while_the_one_before_is_worked_on() -> None:
    volume = Slow()
    planes = read_ahead(volume, 0, [1, 0])
    assert (next(planes) == STACK[1]).all()
    assert volume.reading[0].wait(10)
    assert (next(planes) == STACK[0]).all()
    assert next(planes, None) is None


def test_no_more_than_one_plane_is_read_ahead_and_the_thread_ends() -> None:
    volume, before = Slow(), threading.active_count()
    planes = read_ahead(volume, 0, range(len(STACK)))
    next(planes)
    assert volume.reading[1].wait(10)
    planes.close()
    assert not any(event.is_set() for event in volume.reading[2:])
    assert threading.active_count() == before


def test_an_error_in_reading_is_raised_when_its_plane_is_due() -> None:
    planes = read_ahead(Slow(), 0, [0, len(STACK)])
    assert (next(planes) == STACK[0]).all()
    with pytest.raises(IndexError):
        next(planes)


def test_planes_are_all_unless_some_are_named() -> None:
    assert plane_indices(3, None) == (0, 1, 2)
    assert plane_indices(3, iter([2, 0])) == (2, 0)
    assert plane_indices(3, np.array([1])) == (1,)
    with pytest.raises(TypeError):
        plane_indices(3, [0.5])
    assert plane_indices(3, []) == ()


@given(count=st.integers(1, 9), index=st.integers(-20, 20))
def test_a_plane_is_taken_if_and_only_if_it_is_there(count: int, index: int) -> None:
    if 0 <= index < count:
        assert plane_indices(count, [0, index]) == (0, index)
    else:
        with pytest.raises(ValueError, match=f"planes 0 to {count - 1}; got {index}"):
            plane_indices(count, [0, index])
