"""Decisions for whole volumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.volume.label_context import (
    LabelContext,
    prepare_label,
    prepare_motion,
)
from napari_iclsam.core.volume.labelled_planes import Axis, LabelledPlanes
from napari_iclsam.core.volume.patch_votes import PatchVotes
from napari_iclsam.core.volume.settle import (
    Opinion,
    SettledPlane,
    disagreement,
    form_opinion,
    join_labels,
    need_of_check,
    settle,
)
from tests.core.volume.conftest import DrawnVolume, draw_tube, draw_volume


def prepared(
    volume: DrawnVolume, labelled: LabelledPlanes, axis: Axis | None = None
) -> LabelContext:
    axis = axis or Axis(len(volume.truth))
    motion = prepare_motion(labelled, axis.count, volume.read_grey)
    return prepare_label(labelled, axis, PatchVotes(motion), volume.read_grey)


def settled(
    volume: DrawnVolume, labelled: LabelledPlanes, axis: Axis | None = None
) -> dict[int, SettledPlane]:
    context = prepared(volume, labelled, axis)
    planes = [plane for plane in range(context.axis.count) if plane not in labelled.planes]
    opinions, log_odds = {}, {}
    for plane in planes:
        if not context.is_out_of_reach(plane):
            opinions[plane], log_odds[plane] = form_opinion(context, plane, volume.read(plane))
    return {one.plane: one for one in settle(context, opinions, planes, log_odds.__getitem__)}


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def with_evidence(volume: DrawnVolume, plane: int, log_odds: float, estimate: float) -> DrawnVolume:
    changed, estimates = volume.log_odds.copy(), volume.estimates.copy()
    changed[plane] = log_odds
    estimates[plane] = estimate
    return replace(volume, log_odds=changed, estimates=estimates)


def test_votes_count_in_the_outline(straight_tube: DrawnVolume) -> None:
    context = prepared(straight_tube, straight_tube.labelled(7, 12))
    silent = replace(context, strengths=replace(context.strengths, votes=0.0))
    evidence = straight_tube.read(9)
    gained = context.combine(9, evidence).log_odds - silent.combine(9, evidence).log_odds
    votes = context.votes.log_odds(context.labelled, 9)
    assert votes.any()
    np.testing.assert_allclose(gained, context.strengths.votes * votes, atol=1e-5)


def test_object_is_found_in_the_planes_that_hold_it(straight_tube: DrawnVolume) -> None:
    found = settled(straight_tube, straight_tube.labelled(7, 12))
    for plane in (5, 6, 8, 9, 10, 11, 13, 14):
        assert dice(found[plane].mask, straight_tube.truth[plane]) > 0.9


def test_planes_beyond_the_end_come_out_empty(straight_tube: DrawnVolume) -> None:
    found = settled(straight_tube, straight_tube.labelled(7, 12))
    for plane in (0, 1, 2, 3, 16, 17, 18, 19):
        assert not found[plane].present
        assert not found[plane].mask.any()


def test_false_alarm_elsewhere_in_the_plane_is_not_the_object(straight_tube: DrawnVolume) -> None:
    log_odds = straight_tube.log_odds.copy()
    log_odds[18, 2:8, 2:8] = 6
    volume = replace(straight_tube, log_odds=log_odds)
    assert not settled(volume, volume.labelled(7, 12))[18].mask.any()


def test_plane_missed_by_the_image_is_carried_by_its_neighbours(straight_tube: DrawnVolume) -> None:
    volume = with_evidence(straight_tube, 10, -3.0, 0.05)
    found = settled(volume, volume.labelled(7, 12))
    assert dice(found[10].mask, volume.truth[10]) > 0.8


def test_bent_tube_is_followed_where_interpolation_finds_nothing(bent_tube: DrawnVolume) -> None:
    labelled = bent_tube.labelled(1, 11)
    found = settled(bent_tube, labelled)
    assert not (labelled.mask(1) & labelled.mask(11)).any()
    for plane in range(2, 11):
        assert dice(found[plane].mask, bent_tube.truth[plane]) > 0.85


def test_two_vessels_that_merge_stay_two_until_they_meet() -> None:
    left = draw_tube([(16.0, 8.0 + plane) for plane in range(9)], 3)
    right = draw_tube([(16.0, 24.0 - plane) for plane in range(9)], 3)
    volume = draw_volume(left | right)
    found = settled(volume, volume.labelled(0, 8))
    for plane in range(1, 8):
        assert dice(found[plane].mask, volume.truth[plane]) > 0.8


def test_object_that_returns_in_time_is_found_again() -> None:
    centres = [(16.0, 16.0) if plane not in (5, 6, 7) else None for plane in range(14)]
    volume = draw_volume(draw_tube(centres, 6))
    found = settled(volume, volume.labelled(2, 12), Axis(14, kind="time"))
    assert dice(found[9].mask, volume.truth[9]) > 0.8


@pytest.mark.parametrize("planes", [(9,), (9, 10), (6, 7, 12, 13)], ids=["one", "pair", "pairs"])
def test_few_or_adjacent_labelled_planes_are_enough(
    straight_tube: DrawnVolume, planes: tuple[int, ...]
) -> None:
    found = settled(straight_tube, straight_tube.labelled(*planes))
    assert set(found) == set(range(20)) - set(planes)
    assert dice(found[8].mask, straight_tube.truth[8]) > 0.9


def test_all_planes_labelled_leaves_nothing_to_decide(straight_tube: DrawnVolume) -> None:
    assert settled(straight_tube, straight_tube.labelled(*range(20))) == {}


def test_axis_with_two_planes_is_decided() -> None:
    volume = draw_volume(draw_tube([(16.0, 16.0), (16.0, 17.0)], 6))
    assert dice(settled(volume, volume.labelled(0))[1].mask, volume.truth[1]) > 0.9


def test_volume_of_one_labelled_plane_has_nothing_to_decide() -> None:
    volume = draw_volume(draw_tube([(16.0, 16.0)], 6))
    assert settled(volume, volume.labelled(0)) == {}


def test_object_one_pixel_wide_is_kept() -> None:
    truth = np.zeros((7, 32, 32), bool)
    truth[:, 4:28, 16] = True
    volume = draw_volume(truth)
    found = settled(volume, volume.labelled(0, 6))
    assert dice(found[3].mask, truth[3]) > 0.6


def test_object_that_fills_its_plane_fills_the_others() -> None:
    volume = draw_volume(np.ones((5, 16, 16), bool))
    assert settled(volume, volume.labelled(0, 4))[2].mask.mean() > 0.9


def test_blank_plane_in_the_middle_is_carried_and_to_be_checked(straight_tube: DrawnVolume) -> None:
    volume = with_evidence(straight_tube, 10, -4.0, 0.0)
    grey = volume.grey.copy()
    grey[10] = 0
    volume = replace(volume, grey=grey)
    found = settled(volume, volume.labelled(7, 12))
    assert dice(found[10].mask, volume.truth[10]) > 0.8
    assert found[10].need_of_check > 0.9
    assert dice(found[9].mask, volume.truth[9]) > 0.9


def test_blank_plane_far_from_the_object_needs_no_check(straight_tube: DrawnVolume) -> None:
    volume = with_evidence(straight_tube, 19, 0.0, 0.0)
    grey = volume.grey.copy()
    grey[19] = 0
    found = settled(replace(volume, grey=grey), volume.labelled(7, 12))
    assert found[19].need_of_check < 0.5


def test_planes_declared_empty_at_both_ends_stay_empty_beyond(straight_tube: DrawnVolume) -> None:
    found = settled(straight_tube, straight_tube.labelled(2, 9, 17))
    assert not any(found[plane].mask.any() for plane in (0, 1, 18, 19))
    assert dice(found[10].mask, straight_tube.truth[10]) > 0.9


def test_behind_a_plane_declared_empty_the_object_does_not_come_again(
    straight_tube: DrawnVolume,
) -> None:
    volume = with_evidence(straight_tube, 18, -4.0, 0.7)
    volume.log_odds[18, 4:28, 4:28] = 2.0
    assert not settled(volume, volume.labelled(7, 12, 16))[18].mask.any()


def test_in_time_it_may_come_again(straight_tube: DrawnVolume) -> None:
    axis = Axis(20, kind="time")
    context = prepared(straight_tube, straight_tube.labelled(7, 12, 16), axis)
    assert context.distance(18) == pytest.approx(6 / 5)
    in_space = prepared(straight_tube, straight_tube.labelled(7, 12, 16))
    assert in_space.distance(18) == pytest.approx(1 + 6 / 5)


def test_log_odds_that_are_not_numbers_tell_nothing(straight_tube: DrawnVolume) -> None:
    volume = with_evidence(straight_tube, 10, np.nan, 0.5)
    assert np.isfinite(settled(volume, volume.labelled(7, 12))[10].log_odds).all()


def test_label_without_any_mask_is_refused(straight_tube: DrawnVolume) -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        prepared(straight_tube, straight_tube.labelled(0, 1))


def test_labelled_plane_outside_the_volume_is_refused(straight_tube: DrawnVolume) -> None:
    with pytest.raises(ValueError, match="20 planes, 0 to 19"):
        prepared(straight_tube, LabelledPlanes((7, 25), straight_tube.truth[[7, 8]]))


def test_large_planes_are_decided_at_full_size() -> None:
    small = draw_tube([(16.0, 16.0)] * 3, 6)
    truth = small.repeat(26, axis=1).repeat(26, axis=2)
    log_odds = np.where(truth, 3, -3).astype(np.float32)
    grey = np.where(truth, 170, 100).astype(np.uint8)
    volume = DrawnVolume(truth, grey, log_odds, np.full(3, 0.9))
    answer = settled(volume, volume.labelled(0, 2))[1]
    assert answer.log_odds.shape == (832, 832)
    assert dice(answer.mask, truth[1]) > 0.97


def test_labels_are_joined_by_the_largest_log_odds() -> None:
    one = np.array([[1.0, -1.0, 3.0]], np.float32)
    other = np.array([[2.0, -2.0, 1.0]], np.float32)
    assert join_labels({4: one, 7: other}).tolist() == [[7, 0, 4]]


def test_sure_planes_need_no_check_and_doubtful_ones_do() -> None:
    agreed = Opinion(score=3.0, estimated_dice=0.9, disagreement=0.0)
    assert need_of_check(agreed, 1.0) == 0
    assert need_of_check(agreed, 0.5) == 1
    assert need_of_check(replace(agreed, disagreement=1.0), 1.0) == 1
    assert need_of_check(replace(agreed, disagreement=1.0), 0.0) == 0


def test_two_empty_masks_agree() -> None:
    nothing = np.zeros((4, 4), bool)
    assert disagreement(nothing, nothing) == 0
    assert disagreement(~nothing, ~nothing) == 0
    assert disagreement(nothing, ~nothing) == 1


def test_planes_without_an_opinion_are_decided_by_their_neighbours(
    straight_tube: DrawnVolume,
) -> None:
    labelled = straight_tube.labelled(7, 12)
    context = prepared(straight_tube, labelled)
    opinion, log_odds = form_opinion(context, 10, straight_tube.read(10))
    found = next(settle(context, {10: opinion}, [10], lambda _: log_odds))
    assert dice(found.mask, straight_tube.truth[10]) > 0.9
