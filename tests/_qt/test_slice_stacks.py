"""Slices of arrays: how they lie, which are labelled, how they are read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_iclsam._qt.viewer.slice_stacks import (
    SliceOrientation,
    SliceStack,
    find_labelled_steps,
    likely_orientation,
    orientations,
    spread_out,
)
from napari_iclsam.core.steps import drain

SHAPES = hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=4)


@given(labels=hnp.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 0, 0, 1, 2])))
def test_labelled_slices_of_all_orientations_are_found(labels: np.ndarray) -> None:
    found = drain(find_labelled_steps(labels))
    assert list(found) == orientations(labels.ndim)
    for orientation, positions in found.items():
        every = orientation.positions(labels.shape)
        assert positions == [each for each in every if labels[orientation.index(each)].any()]


def test_the_axis_with_the_fewest_labelled_slices_is_the_painted_one() -> None:
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[:, 2] = 1
    found = drain(find_labelled_steps(labels))
    assert likely_orientation(found).axis == 1


def test_of_equally_labelled_orientations_the_preferred_one_is_taken() -> None:
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[1, 1, 1] = 1
    found = drain(find_labelled_steps(labels))
    for orientation in orientations(3):
        assert likely_orientation(found, orientation) == orientation


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_stack_reads_its_slices_one_by_one(axis: int) -> None:
    volume = np.arange(24 * 3).reshape(2, 3, 4, 3)
    orientation = SliceOrientation.stacked_along(3, axis)
    assert orientation.axis == axis
    slices = SliceStack(volume, orientation, ((1,), (0,)))
    assert slices.shape == (2, *slices[0].shape)
    np.testing.assert_array_equal(slices[0], volume.take(1, axis))
    np.testing.assert_array_equal(slices[1, ...], volume.take(0, axis))


def test_an_axis_in_front_moves_the_orientation() -> None:
    moved = SliceOrientation.stacked_along(3, 1).with_leading_axes(1)
    assert moved == SliceOrientation(4, 1, 3)
    assert moved.stack_axes == (0, 2)


def test_slices_are_spread_out_from_first_to_last() -> None:
    positions = [(n,) for n in range(10)]
    assert spread_out(positions, 4) == [(0,), (3,), (6,), (9,)]
    assert spread_out(positions, 99) == positions
    assert spread_out([], 4) == []
