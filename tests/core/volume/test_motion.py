"""Displacements between the planes of a volume."""

from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam.core.volume import motion
from napari_iclsam.core.volume.motion import ABOVE, BELOW, MotionGrid, PlaneMotion

SIDE = 48


@pytest.fixture(scope="module")
def tissue() -> NDArray[np.float64]:
    """A smooth pattern, wider than the planes that are cut out of it."""
    noise = np.random.default_rng(0).normal(size=(SIDE, 2 * SIDE))
    smooth = ndimage.gaussian_filter(noise, 3)
    return 128 + 40 * smooth / smooth.std()


def moving(tissue: NDArray[np.float64], planes: int, step: int) -> NDArray[np.uint8]:
    """Planes of the pattern, each farther to the left by a step."""
    cut = [tissue[:, step * number : step * number + SIDE] for number in range(planes)]
    return np.clip(np.stack(cut), 0, 255).astype(np.uint8)


def motion_of(grey: NDArray[np.uint8], *labelled: int) -> PlaneMotion:
    masks = np.ones((1, *grey.shape[1:]), bool)
    return PlaneMotion(MotionGrid.around(masks), labelled, len(grey), lambda plane: grey[plane])


def ramp() -> NDArray[np.float32]:
    """Column numbers, which tell where a pixel came from."""
    return np.tile(np.arange(SIDE, dtype=np.float32), (SIDE, 1))


def test_values_follow_what_moves(tissue: NDArray[np.float64]) -> None:
    moves = motion_of(moving(tissue, 5, 2), 0)
    carried = moves.carry(ramp(), 4, BELOW)
    middle = (slice(12, 36), slice(12, 32))
    assert np.abs(carried - ramp() - 8)[middle].mean() < 0.5


def test_both_sides_lead_to_their_own_labelled_plane(tissue: NDArray[np.float64]) -> None:
    moves = motion_of(moving(tissue, 5, 2), 0, 4)
    moved = moves.carry(ramp(), 3, ABOVE) - ramp()
    assert np.abs(moved + 2)[12:36, 12:32].mean() < 0.3


def test_blank_plane_stays_in_place() -> None:
    grey = np.zeros((3, SIDE, SIDE), np.uint8)
    assert np.array_equal(motion_of(grey, 0).carry(ramp(), 2, BELOW), ramp())


@pytest.mark.parametrize("shape", [(1, 1), (2, 90), (15, 15)])
def test_planes_too_small_for_a_flow_stay_in_place(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (2, *shape)).astype(np.uint8)
    values = grey[0].astype(np.float32)
    assert np.array_equal(motion_of(grey, 0).carry(values, 1, BELOW), values)


def test_side_without_labelled_plane_is_refused(tissue: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="No labelled plane"):
        motion_of(moving(tissue, 3, 1), 0).carry(ramp(), 1, ABOVE)


def test_grid_lies_around_the_objects_and_is_reduced() -> None:
    masks = np.zeros((2, 900, 700), bool)
    masks[0, 300:500, 100:300] = True
    masks[1, 400:600, 200:250] = True
    grid = MotionGrid.around(masks)
    assert (grid.rows, grid.columns) == (slice(150, 750), slice(0, 450))
    assert grid.factor == 5


def test_outside_the_grid_values_keep_their_place(tissue: NDArray[np.float64]) -> None:
    grey = moving(tissue, 2, 2)
    masks = np.zeros((1, SIDE, SIDE), bool)
    masks[0, 2:6, 2:6] = True
    moves = PlaneMotion(MotionGrid.around(masks), (0,), 2, lambda plane: grey[plane])
    carried = moves.carry(ramp(), 1, BELOW)
    assert np.array_equal(carried[:, 30:], ramp()[:, 30:])


def test_each_flow_is_computed_once(tissue: NDArray[np.float64]) -> None:
    grey = moving(tissue, 4, 1)
    read: list[int] = []

    def read_grey(plane: int) -> NDArray[np.uint8]:
        read.append(plane)
        return grey[plane]

    grid = MotionGrid.around(np.ones((1, SIDE, SIDE), bool))
    moves = PlaneMotion(grid, (0,), 4, read_grey)
    first = moves.carry(ramp(), 3, BELOW)
    again = moves.carry(ramp(), 3, BELOW)
    assert np.array_equal(first, again)
    assert sorted(read) == [0, 1, 2, 3]


def test_a_displacement_is_made_of_the_flows_that_neighbors_are_interpolated_by(
    tissue: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = Mock(side_effect=motion.optical_flow_ilk)
    monkeypatch.setattr(motion, "optical_flow_ilk", flow)
    known = motion_of(np.resize(moving(tissue, 40, 1), (100, SIDE, SIDE)), 0)
    beside = known.from_beside(1, BELOW)(ramp())
    carried = known.carry(ramp(), 1, BELOW)
    assert flow.call_count == 1
    # half precision of the displacements that are kept
    assert np.allclose(beside, carried, atol=0.1)
    # few flows are kept
    known.carry(ramp(), 99, BELOW)
    assert flow.call_count == 99
    known.from_beside(99, BELOW)
    assert flow.call_count == 99
    known.from_beside(1, BELOW)
    assert flow.call_count == 100
