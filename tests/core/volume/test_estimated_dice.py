"""The expected Dice of settled planes."""

from __future__ import annotations

from dataclasses import replace

from napari_iclsam.core.volume.estimated_dice import estimate_settled_dice
from napari_iclsam.core.volume.presence import PresenceEvidence

SURE = PresenceEvidence(
    enclosed=True,
    beside_empty=False,
    distance=0.1,
    overlap=0.95,
    estimate=3.0,
    appearance=1.0,
)

AGREED = 0.95


def test_nothing_found_has_an_estimate_of_zero() -> None:
    assert estimate_settled_dice(SURE, 0, AGREED) == 0


def test_a_large_object_between_labelled_planes_is_expected_to_be_right() -> None:
    assert estimate_settled_dice(SURE, 1000, AGREED) > 0.9


def test_less_is_expected_far_from_the_labels() -> None:
    unsure = replace(SURE, enclosed=False, overlap=0.5)
    near = estimate_settled_dice(unsure, 300, 0.5)
    far = estimate_settled_dice(replace(unsure, distance=0.9), 300, 0.5)
    assert near > far + 0.1


def test_less_is_expected_where_image_and_neighbours_disagree() -> None:
    differing = estimate_settled_dice(replace(SURE, overlap=0.1), 300, AGREED)
    assert differing < estimate_settled_dice(SURE, 300, AGREED)


def test_less_is_expected_where_mask_and_votes_disagree() -> None:
    differing = estimate_settled_dice(SURE, 300, 0.5)
    assert differing < estimate_settled_dice(SURE, 300, AGREED) - 0.05


def test_less_is_expected_of_a_small_object() -> None:
    assert estimate_settled_dice(SURE, 10, AGREED) < estimate_settled_dice(SURE, 1000, AGREED)


def test_distances_beyond_any_reach_are_alike() -> None:
    far, farther = (
        estimate_settled_dice(replace(SURE, distance=distance), 300, AGREED)
        for distance in (5.0, 50.0)
    )
    assert far == farther
