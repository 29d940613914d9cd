"""Planes that are interpolated between two segmented ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam.core.metrics import dice
from napari_iclsam.core.volume.label_context import prepare_motion
from napari_iclsam.core.volume.plane_interpolation import (
    ImageAnswer,
    PlaneInterpolation,
    every_second,
)
from tests.core.volume.conftest import DrawnVolume, draw_tube, draw_volume


@pytest.mark.parametrize(
    ("planes", "labelled", "expected"),
    [
        (range(1, 8), [0, 8], {1, 3, 5, 7}),
        (range(1, 7), [0, 7], {1, 3, 5}),
        (range(6), [6], {1, 3, 5}),
        (range(1, 7), [0], {1, 3, 5}),
        ([0, 1, 3, 4], [2], {1, 3}),
        ([1], [0, 2], set()),
        ([1, 2], [0, 3], {1}),
        ([3], [0], set()),
        ([1, 3, 5], [0], set()),
        ([], [0], set()),
    ],
)
def test_every_second_plane_lies_between_two_others(
    planes: list[int], labelled: list[int], expected: set[int]
) -> None:
    assert every_second(planes, labelled) == expected


def interpolation(drawn: DrawnVolume, *planes: int) -> PlaneInterpolation:
    labelled = drawn.labelled(0)
    motion = prepare_motion(labelled, len(drawn.truth), drawn.read_grey)
    return PlaneInterpolation(planes, motion)


def answer(mask: NDArray[np.bool_], estimate: float = 0.8) -> ImageAnswer:
    log_odds = np.where(mask, 3.0, -3.0).astype(np.float32)
    return ImageAnswer({1: log_odds}, {1: estimate})


@pytest.fixture
def moving_tube() -> DrawnVolume:
    """A tube that moves by three pixels from plane to plane."""
    return draw_volume(draw_tube([(16.0, 8.0), (16.0, 11.0), (16.0, 14.0)], 6))


def test_what_moves_is_interpolated_where_it_is(moving_tube: DrawnVolume) -> None:
    planes = interpolation(moving_tube, 1)
    assert planes.add(0, ImageAnswer.of_masks({1: moving_tube.truth[0]})) == []
    assert planes.add(2, answer(moving_tube.truth[2])) == [1]
    found = planes.interpolate(1)
    assert found is not None
    assert found.log_odds[1].dtype == np.float32
    assert dice(found.log_odds[1] > 0, moving_tube.truth[1]) > 0.9
    # a labelled plane is sure, and says nothing of how good the other is
    assert found.estimated_dice == {1: 0.8}


def test_the_larger_planes_of_a_volume_are_interpolated_alike(moving_tube: DrawnVolume) -> None:
    # sides above 384 pixels are registered at a smaller size
    large = moving_tube.truth.repeat(16, axis=1).repeat(16, axis=2)
    drawn = draw_volume(large)
    planes = interpolation(drawn, 1)
    planes.add(0, answer(large[0], 0.6))
    planes.add(2, answer(large[2], 0.9))
    found = planes.interpolate(1)
    assert found is not None
    assert found.log_odds[1].shape == large[1].shape
    assert dice(found.log_odds[1] > 0, large[1]) > 0.9
    assert found.estimated_dice == {1: pytest.approx(0.75)}


def test_neighbors_that_differ_tell_nothing(moving_tube: DrawnVolume) -> None:
    planes = interpolation(moving_tube, 1)
    planes.add(0, answer(moving_tube.truth[0]))
    planes.add(2, answer(np.zeros_like(moving_tube.truth[2])))
    assert planes.interpolate(1) is None


def noise(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw other tissue, smooth and as wide in its grey values."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=size), 2)
    return np.clip(120 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("blank", [True, False])
def test_a_plane_that_is_unlike_its_neighbors_is_segmented(
    moving_tube: DrawnVolume, blank: bool
) -> None:
    size = moving_tube.grey[1].shape
    middle = np.zeros(size, np.uint8) if blank else noise(size)
    grey = np.stack([moving_tube.grey[0], middle, moving_tube.grey[2]])
    planes = interpolation(replace(moving_tube, grey=grey), 1)
    planes.add(0, answer(moving_tube.truth[0]))
    planes.add(2, answer(moving_tube.truth[2]))
    assert planes.interpolate(1) is None


def test_blank_neighbors_tell_nothing_of_a_plane_between(moving_tube: DrawnVolume) -> None:
    nothing = np.zeros_like(moving_tube.grey[1])
    grey = np.stack([nothing, moving_tube.grey[1], nothing])
    planes = interpolation(replace(moving_tube, grey=grey), 1)
    planes.add(0, answer(nothing > 0))
    planes.add(2, answer(nothing > 0))
    assert planes.interpolate(1) is None


def test_neighbors_without_the_label_agree(moving_tube: DrawnVolume) -> None:
    planes = interpolation(moving_tube, 1)
    nothing = np.zeros_like(moving_tube.truth[0])
    planes.add(0, answer(nothing))
    planes.add(2, answer(nothing))
    found = planes.interpolate(1)
    assert found is not None
    assert (found.log_odds[1] < 0).all()


def test_only_what_a_waiting_plane_needs_is_kept(straight_tube: DrawnVolume) -> None:
    planes = interpolation(straight_tube, 6, 8)
    assert [number for number in range(20) if planes.is_needed(number)] == [5, 7, 9]
    for number in (4, 5, 10):
        assert planes.add(number, answer(straight_tube.truth[number])) == []
    assert planes.add(7, answer(straight_tube.truth[7])) == [6]
    planes.interpolate(6)
    assert not planes.is_needed(5)
    # plane 8 still waits for it
    assert planes.is_needed(7)
    assert planes.add(9, answer(straight_tube.truth[9])) == [8]
    assert planes.interpolate(8) is not None
    assert not any(planes.is_needed(number) for number in range(20))
