"""Votes of labelled pixels whose surroundings look alike."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam.core.volume import patch_votes
from napari_iclsam.core.volume.label_context import prepare_motion
from napari_iclsam.core.volume.labelled_planes import LabelledPlanes
from napari_iclsam.core.volume.motion import ABOVE, BELOW
from napari_iclsam.core.volume.overlap import dice_overlap
from napari_iclsam.core.volume.patch_votes import PatchVotes, vote_agreement
from tests.core.volume.conftest import DrawnVolume, draw_tube, draw_volume


def votes_of(volume: DrawnVolume, labelled: LabelledPlanes) -> PatchVotes:
    return PatchVotes(prepare_motion(labelled, len(volume.truth), volume.read_grey))


def still(*holding: int, count: int = 9) -> DrawnVolume:
    """The same image in all planes, in which a person sees the object in some planes only."""
    seen = draw_volume(draw_tube([(16.0, 16.0)] * count, 6))
    truth = seen.truth.copy()
    truth[[plane for plane in range(count) if plane not in holding]] = False
    grey = np.repeat(seen.grey[:1], count, axis=0)
    return DrawnVolume(truth, grey, seen.log_odds, seen.estimates)


def test_in_the_same_image_the_votes_are_the_mask() -> None:
    volume = still(0, 8)
    labelled = volume.labelled(0, 8)
    found = votes_of(volume, labelled).log_odds(labelled, 4)
    assert found.dtype == np.float32
    assert dice_overlap(found > 0, volume.truth[0]) > 0.97
    assert found.max() == pytest.approx(3)
    assert found.min() == pytest.approx(-3)


def test_a_search_finds_what_registration_misses() -> None:
    """Planes are too small for a flow, and the object moves on by two pixels."""
    volume = draw_volume(draw_tube([(7.0, 5.0), (7.0, 7.0)], 3, side=15))
    labelled = volume.labelled(0)
    votes = votes_of(volume, labelled)
    carried = votes.motion.carry(volume.truth[0].astype(np.float32), 1, BELOW) > 0.5
    found = votes.log_odds(labelled, 1) > 0
    assert dice_overlap(carried, volume.truth[1]) < 0.7
    assert dice_overlap(found, volume.truth[1]) > 0.85


def test_the_nearer_plane_has_more_say() -> None:
    volume = still(0)
    labelled = volume.labelled(0, 8)
    votes = votes_of(volume, labelled)
    middle = [votes.log_odds(labelled, plane)[16, 16] for plane in (1, 3, 5, 7)]
    assert middle == sorted(middle, reverse=True)
    assert middle[0] == pytest.approx(np.log(7), abs=0.2)
    assert middle[1] > 0 > middle[2]


def test_planes_without_the_object_on_both_sides_say_nothing() -> None:
    volume = still(8)
    labelled = volume.labelled(0, 4, 8)
    votes = votes_of(volume, labelled)
    assert not votes.log_odds(labelled, 2).any()
    assert votes.log_odds(labelled, 6).any()


def test_beside_one_labelled_plane_it_votes_alone() -> None:
    volume = still(2)
    labelled = volume.labelled(2)
    found = votes_of(volume, labelled).log_odds(labelled, 7)
    assert dice_overlap(found > 0, volume.truth[2]) > 0.97


def test_labels_that_share_votes_do_not_know_each_other() -> None:
    volume = still(0, 8)
    of_one = volume.labelled(0, 8)
    of_another = LabelledPlanes(of_one.planes, ~of_one.masks)
    shared = votes_of(volume, of_one)
    both = [shared.log_odds(labelled, 4) for labelled in (of_one, of_another)]
    alone = votes_of(volume, of_one).log_odds(of_another, 4)
    assert np.array_equal(both[1], alone)
    inside = (slice(10, 22), slice(10, 22))
    assert both[0][inside] == pytest.approx(-both[1][inside], abs=1e-3)


@pytest.mark.parametrize("shape", [(2, 2), (3, 40)])
def test_planes_smaller_than_the_search_have_votes(shape: tuple[int, int]) -> None:
    grey: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 255, (3, *shape), np.uint8)
    truth = np.ones((3, *shape), bool)
    volume = DrawnVolume(truth, grey, grey.astype(np.float32), np.ones(3))
    labelled = volume.labelled(0, 2)
    found = votes_of(volume, labelled).log_odds(labelled, 1)
    assert (found > 2).all()


def test_blank_planes_vote_by_place() -> None:
    volume = still(0, 8)
    volume.grey[:] = 7
    labelled = volume.labelled(0, 8)
    found = votes_of(volume, labelled).log_odds(labelled, 4)
    assert dice_overlap(found > 0, volume.truth[0]) > 0.9


def test_both_sides_are_carried_to_the_plane(bent_tube: DrawnVolume) -> None:
    labelled = bent_tube.labelled(0, 6, 12)
    votes = votes_of(bent_tube, labelled)
    for plane, side in ((2, BELOW), (10, ABOVE)):
        nearest = 0 if side == BELOW else 12
        in_place = dice_overlap(bent_tube.truth[nearest], bent_tube.truth[plane])
        found = votes.log_odds(labelled, plane) > 0
        assert dice_overlap(found, bent_tube.truth[plane]) > in_place + 0.2


def test_patches_are_compared_as_by_a_filter() -> None:
    here, there = np.random.default_rng(0).normal(128, 40, (2, 12, 17)).astype(np.float32)
    compared = patch_votes._patch_differences(here, there)
    moved = patch_votes._moved(there)
    slow = [ndimage.uniform_filter(np.square(here - one), patch_votes._PATCH) for one in moved]
    # at the border, where one repeats pixels and the other squares, they differ
    inside = (slice(None), slice(1, -1), slice(1, -1))
    assert np.allclose(compared[inside], np.stack(slow)[inside], rtol=1e-5)


class TestAgreement:
    def test_is_about_one_where_mask_and_votes_are_alike(self) -> None:
        mask = draw_tube([(16.0, 16.0)], 6)[0]
        votes = np.where(mask, 3, -3).astype(np.float32)
        assert vote_agreement(mask, votes) == pytest.approx(0.98, abs=0.01)

    def test_falls_with_what_they_share(self) -> None:
        wide, narrow = (draw_tube([(16.0, 16.0)], radius)[0] for radius in (8, 4))
        votes = np.where(narrow, 3, -3).astype(np.float32)
        assert vote_agreement(wide, votes) < 0.5 < vote_agreement(narrow, votes)

    def test_is_zero_where_nothing_is_found_or_nobody_votes(self) -> None:
        mask = draw_tube([(16.0, 16.0)], 6)[0]
        votes = np.where(mask, 3, -3).astype(np.float32)
        assert vote_agreement(np.zeros_like(mask), votes) == 0
        assert vote_agreement(mask, np.zeros_like(votes)) == 0
