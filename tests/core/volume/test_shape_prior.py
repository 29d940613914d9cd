"""The shape prior: signed distances, carried to planes without labels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.volume.labelled_planes import Axis, LabelledPlanes, axis_of_spacing
from napari_iclsam.core.volume.motion import MotionGrid, PlaneMotion
from napari_iclsam.core.volume.shape_prior import ShapePrior, signed_distance, signed_distances
from napari_iclsam.core.volume.strengths import DEFAULT_STRENGTHS
from tests.core.volume.conftest import draw_tube


def prior_of(labelled: LabelledPlanes, axis: Axis) -> ShapePrior:
    """The prior in a volume where nothing is seen, and so nothing moves."""
    blank = np.zeros(labelled.size, np.uint8)
    grid = MotionGrid.around(labelled.masks)
    motion = PlaneMotion(grid, labelled.planes, axis.count, lambda _: blank)
    return ShapePrior(labelled, axis, signed_distances(labelled), motion)


def log_odds(labelled: LabelledPlanes, axis: Axis, plane: int) -> NDArray[np.float32]:
    return prior_of(labelled, axis).log_odds(plane, DEFAULT_STRENGTHS)


def test_signed_distance_of_one_pixel_is_positive_inside_alone() -> None:
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    assert ((signed_distance(mask) > 0) == mask).all()


def test_signed_distance_of_a_full_plane_ends_at_its_border() -> None:
    distance = signed_distance(np.ones((5, 5), bool))
    assert distance[0, 0] == 0.5
    assert distance[2, 2] == 2.5


def test_signed_distance_without_object_is_far_outside() -> None:
    assert (signed_distance(np.zeros((4, 6), bool)) == -6).all()


def test_halfway_the_radius_is_the_mean() -> None:
    masks = np.concatenate([draw_tube([(16, 16)], 4), draw_tube([(16, 16)], 8)])
    found = log_odds(LabelledPlanes((0, 2), masks), Axis(3), 1) > 0
    assert np.sqrt(found.sum() / np.pi) == pytest.approx(6, abs=0.5)


def test_prior_is_weaker_farther_from_labelled_planes() -> None:
    labelled = LabelledPlanes((0, 40), draw_tube([(16, 16), (16, 16)], 6))
    near = log_odds(labelled, Axis(41), 1)
    far = log_odds(labelled, Axis(41), 20)
    assert near[16, 16] > far[16, 16] > 0


def test_thick_planes_know_less_of_each_other() -> None:
    labelled = LabelledPlanes((0, 4), draw_tube([(16, 16), (16, 16)], 6))
    thin = log_odds(labelled, axis_of_spacing(5, (1, 1, 1)), 2)
    thick = log_odds(labelled, axis_of_spacing(5, (9, 1, 1)), 2)
    assert thin[16, 16] > thick[16, 16] > 0


def test_masks_side_by_side_count_less() -> None:
    apart = LabelledPlanes((0, 2), draw_tube([(16, 6), (16, 26)], 4))
    same = LabelledPlanes((0, 2), draw_tube([(16, 6), (16, 6)], 4))
    assert np.abs(log_odds(apart, Axis(3), 1)).max() < np.abs(log_odds(same, Axis(3), 1)).max()


def test_beyond_the_outermost_plane_the_object_shrinks_and_ends() -> None:
    labelled = LabelledPlanes((2,), draw_tube([(16, 16)], 6))
    areas = [int((log_odds(labelled, Axis(60), plane) > 0).sum()) for plane in (3, 12, 22, 50)]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > 90
    assert areas[-1] == 0


@pytest.mark.parametrize("plane", [4, 1], ids=["above", "below"])
def test_towards_an_empty_plane_one_side_alone_counts(plane: int) -> None:
    masks = draw_tube([(16, 16), None], 6)
    planes = (3, 5) if plane == 4 else (0, 3)
    if plane == 1:
        masks = masks[::-1]
    assert log_odds(LabelledPlanes(planes, masks), Axis(8), plane)[16, 16] > 0


def test_between_empty_planes_the_prior_is_against_the_object() -> None:
    labelled = LabelledPlanes((0, 2, 4), draw_tube([(16, 16), None, None], 6))
    assert (log_odds(labelled, Axis(5), 3) < 0).all()


def test_between_empty_planes_of_a_time_series_the_prior_says_nothing() -> None:
    labelled = LabelledPlanes((0, 2, 4), draw_tube([(16, 16), None, None], 6))
    assert not log_odds(labelled, Axis(5, kind="time"), 3).any()
