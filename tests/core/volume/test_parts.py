"""The parts that the decision is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam.core.volume.appearance import learn_appearance
from napari_iclsam.core.volume.intensity import GreyScale, estimate_grey_scale, sampled_planes
from napari_iclsam.core.volume.labelled_planes import Axis, LabelledPlanes, axis_of_spacing
from napari_iclsam.core.volume.order import nearest_first
from napari_iclsam.core.volume.presence import (
    BEST_ESTIMATE,
    PresenceEvidence,
    is_out_of_reach,
    presence_score,
    smooth_presence,
)
from napari_iclsam.core.volume.strengths import DEFAULT_STRENGTHS, strengths_of
from napari_iclsam.core.volume.threshold import threshold_of_expected_dice
from napari_iclsam.core.volume.working_grid import (
    enlarge_plane,
    reduce_labelled,
    reduce_plane,
    reduction_factor,
)
from tests.core.volume.conftest import DrawnVolume, draw_tube


def test_planes_nearest_to_labelled_ones_come_first() -> None:
    assert nearest_first([2, 8], range(10)) == (1, 3, 7, 9, 0, 4, 6, 5)


def test_appearance_tells_a_bright_object_from_its_surroundings(straight_tube: DrawnVolume) -> None:
    appearance = learn_appearance(
        straight_tube.labelled(9), lambda plane: straight_tube.grey[plane]
    )
    log_odds = appearance.log_odds(straight_tube.grey[10])
    assert log_odds[straight_tube.truth[10]].mean() > 1
    assert log_odds[~straight_tube.truth[10]].mean() < -1
    assert appearance.typical > 1


def test_presence_follows_what_speaks_for_it() -> None:
    sure = PresenceEvidence(
        enclosed=True,
        beside_empty=False,
        distance=0.5,
        overlap=0.9,
        estimate=2.0,
        appearance=1.0,
    )
    gone = PresenceEvidence(
        enclosed=False,
        beside_empty=True,
        distance=3.0,
        overlap=0.0,
        estimate=-2.0,
        appearance=-2.0,
    )
    assert presence_score(sure) > 2
    assert presence_score(gone) < -2
    assert presence_score(sure) > presence_score(replace(sure, overlap=0.2))


def test_reach_is_the_distance_of_planes_that_are_spread_over_the_object() -> None:
    spread = LabelledPlanes((2, 12, 22), draw_tube([(16, 16)] * 3, 4))
    assert spread.reach(1.0, 15) == 10
    assert spread.reach(3.0, 15) == 30


def test_reach_of_pairs_of_planes_is_the_distance_of_the_pairs() -> None:
    pairs = LabelledPlanes((2, 3, 12, 13), draw_tube([(16, 16)] * 4, 4))
    assert pairs.reach(2.0, 8) == 18
    assert pairs.reach(2.0, 20) == 18


def test_reach_beyond_the_outermost_is_the_distance_of_the_last_two() -> None:
    corrected = LabelledPlanes((2, 12, 22, 25), draw_tube([(16, 16)] * 4, 4))
    assert corrected.reach(1.0, 30) == 3
    assert corrected.reach(1.0, 0) == 10
    assert corrected.reach(1.0, 24) == 10


def test_reach_is_not_less_for_a_plane_put_between_two_others() -> None:
    between = LabelledPlanes((10, 16, 30, 50), draw_tube([(16, 16)] * 4, 4))
    assert between.reach(1.0, 0) == 20
    assert between.reach(1.0, 60) == 20


def test_reach_of_planes_side_by_side_is_that_of_the_object() -> None:
    beside = LabelledPlanes((2, 3), draw_tube([(16, 16)] * 2, 8))
    assert beside.reach(1.0, 0) == pytest.approx(4, rel=0.1)


def test_reach_of_one_plane_is_that_of_the_object() -> None:
    one = LabelledPlanes((2, 9), draw_tube([(16, 16), None], 4))
    assert one.reach(1.0, 0) == pytest.approx(10, rel=0.1)


def test_out_of_reach_no_image_makes_a_plane_hold_the_object() -> None:
    axis = Axis(40)
    labelled = LabelledPlanes((0,), np.ones((1, 2, 2), bool))
    best = PresenceEvidence(
        enclosed=False,
        beside_empty=True,
        distance=0.0,
        overlap=1.0,
        estimate=BEST_ESTIMATE,
        appearance=2.0,
    )
    scores = np.full(40, np.nan)
    for plane in range(1, 40):
        scores[plane] = presence_score(replace(best, distance=plane / 8))
    presence = smooth_presence(scores, labelled, axis)
    outside = [plane for plane in range(40) if is_out_of_reach(plane / 8, axis, -0.5)]
    assert outside
    assert (presence[outside] < -0.5).all()
    assert (presence[:10] > 0).all()


def test_in_time_nothing_is_out_of_reach() -> None:
    assert not is_out_of_reach(100.0, Axis(9, kind="time"), -0.5)


def test_single_doubtful_plane_follows_its_neighbours() -> None:
    masks = np.ones((2, 2, 2), bool)
    scores = np.array([np.nan, 3.0, 3.0, -0.5, 3.0, 3.0, np.nan])
    presence = smooth_presence(scores, LabelledPlanes((0, 6), masks), Axis(7))
    assert (presence > 0).all()


def test_labelled_planes_are_never_overruled() -> None:
    masks = np.zeros((2, 2, 2), bool)
    masks[0] = True
    presence = smooth_presence(np.full(3, 9.0), LabelledPlanes((0, 2), masks), Axis(3))
    assert presence[0] > 0 > presence[2]


def test_strong_absence_wins_between_planes_that_hold_the_object() -> None:
    masks = np.ones((2, 2, 2), bool)
    scores = np.array([np.nan, 4.0, -9.0, -9.0, -9.0, 4.0, np.nan])
    presence = smooth_presence(scores, LabelledPlanes((0, 6), masks), Axis(7))
    assert (presence[2:5] < 0).all()


def test_threshold_is_lower_where_nothing_is_sure() -> None:
    weak = np.full((8, 8), -8.0, np.float32)
    weak[2:6, 2:6] = -0.5
    assert threshold_of_expected_dice(weak) < -0.5
    sure = np.where(weak > -1, 6, -6).astype(np.float32)
    assert threshold_of_expected_dice(sure) == 0


def test_threshold_of_nothing_is_zero() -> None:
    assert threshold_of_expected_dice(np.full((4, 4), -9.0, np.float32)) == 0


def test_scale_ignores_padding_and_blank_planes() -> None:
    random = np.random.default_rng(0)
    planes = random.normal(0, 100, (4, 64, 64))
    planes[:, :10] = -3024
    blank = np.full((64, 64), 9000.0)
    scale = estimate_grey_scale([*planes, blank])
    assert -450 < scale.low < -200
    assert 200 < scale.high < 450


def in_a_circle(*values: int) -> NDArray[np.float64]:
    """Make planes whose corners outside a circle have these values, repeated in turn."""
    planes = np.random.default_rng(0).normal(0, 100, (4, 64, 64))
    outside = np.hypot(*(np.indices((64, 64)) - 31.5)) > 31
    left = np.arange(64) < 32
    planes[:, outside & left] = values[0]
    planes[:, outside & ~left] = values[-1]
    return planes


@pytest.mark.parametrize("values", [(-3024,), (3071,), (32767,), (-2000, 3071), (-32768, 32767)])
def test_scale_ignores_padding_below_and_above(values: tuple[int, ...]) -> None:
    scale = estimate_grey_scale(in_a_circle(*values))
    assert -450 < scale.low < -200
    assert 200 < scale.high < 450


def test_scale_without_padding_is_that_of_all_values() -> None:
    planes = np.random.default_rng(0).normal(0, 100, (4, 64, 64))
    scale = estimate_grey_scale(planes)
    assert (scale.low, scale.high) == tuple(np.percentile(planes, (0.1, 99.9)))


def test_scale_of_booleans_is_from_false_to_true() -> None:
    plane = np.random.default_rng(0).random((20, 20)) < 0.3
    scale = estimate_grey_scale([plane])
    assert scale == GreyScale(0, 1)
    assert (scale.to_uint8(plane) == plane * 255).all()


def test_scale_keeps_metal_that_is_not_padding() -> None:
    planes = np.random.default_rng(0).normal(0, 100, (4, 64, 64))
    planes[:, 20:40, 20:40] = 3071
    assert estimate_grey_scale(planes).high == 3071


def test_scale_keeps_air_that_is_not_padding() -> None:
    planes = np.random.default_rng(0).uniform(-1000, 300, (3, 64, 64))
    planes[:, :20] = -1000
    assert estimate_grey_scale(planes).low == pytest.approx(-1000, abs=1)


def test_scale_of_8_bit_planes_leaves_them_as_they_are() -> None:
    plane = np.arange(64, dtype=np.uint8).reshape(8, 8)
    scale = estimate_grey_scale([plane])
    assert (scale.to_uint8(plane) == plane).all()


def test_scale_of_a_constant_volume_is_black() -> None:
    scale = estimate_grey_scale([np.full((4, 4), 7.0)])
    assert scale == GreyScale(0, 0)
    assert not scale.to_uint8(np.full((4, 4), 7.0)).any()


def test_sample_has_labelled_planes_and_both_ends() -> None:
    assert {0, 123, 999} <= set(sampled_planes(1000, [123]))
    assert len(sampled_planes(1000)) < 30
    assert sampled_planes(2) == (0, 1)


def test_reduction_and_enlargement_keep_a_smooth_plane() -> None:
    plane = np.linspace(0, 1, 30 * 31).reshape(30, 31).astype(np.float32)
    small = reduce_plane(plane, 4)
    assert small.shape == (8, 8)
    assert np.abs(enlarge_plane(small, 4, (30, 31)) - plane)[4:-6, 4:-6].max() < 0.02


@pytest.mark.parametrize(
    ("small", "factor", "size"),
    [((8, 9), 4, (30, 33)), ((1, 5), 3, (3, 14)), ((12, 1), 2, (23, 2)), ((6, 7), 1, (6, 7))],
)
def test_enlargement_is_interpolation_between_the_centers_of_blocks(
    small: tuple[int, int], factor: int, size: tuple[int, int]
) -> None:
    plane = np.random.default_rng(0).normal(size=small).astype(np.float32)
    places = [(np.arange(side) + 0.5) / factor - 0.5 for side in size]
    grid = np.meshgrid(*places, indexing="ij")
    slow = ndimage.map_coordinates(plane, grid, order=1, mode="nearest")
    enlarged = enlarge_plane(plane, factor, size)
    assert enlarged.dtype == np.float32
    assert np.allclose(enlarged, slow, atol=1e-6)


def test_small_planes_are_not_reduced() -> None:
    assert reduction_factor((384, 20)) == 1
    assert reduction_factor((385, 20)) == 2


def test_thin_object_survives_reduction() -> None:
    masks = np.zeros((1, 16, 16), bool)
    masks[0, :, 5] = True
    assert reduce_labelled(LabelledPlanes((0,), masks), 4).masks.sum() == 4


@pytest.mark.parametrize("planes", [(), (3, 1), (2, 2)], ids=["none", "descending", "twice"])
def test_labelled_planes_out_of_order_are_refused(planes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        LabelledPlanes(planes, np.zeros((len(planes), 2, 2), bool))


def test_masks_must_match_the_labelled_planes() -> None:
    with pytest.raises(ValueError, match="one mask"):
        LabelledPlanes((1, 2), np.zeros((3, 2, 2), bool))


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, -1, 1)])
def test_spacing_must_be_positive(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        axis_of_spacing(3, spacing)


def test_step_of_an_axis_is_in_pixels() -> None:
    assert axis_of_spacing(3, (6, 2, 2)).step == 3


def test_image_counts_more_where_cross_validation_confirms_it() -> None:
    images = [strengths_of(dice).image for dice in (None, 0.2, 0.75, 0.95)]
    assert images[0] == images[1] == DEFAULT_STRENGTHS.image
    assert images[1] < images[2] < images[3]
