"""Dice of masks and matches of objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_iclsam.core.metrics import ObjectMatches, dice, match_objects

PAIRS = hnp.arrays(bool, (2, 4, 5))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1),
        ([1, 1, 0, 0], [0, 0, 1, 1], 0),
        ([1, 1, 1, 0], [1, 0, 0, 0], 0.5),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1),
        ([0, 0, 0, 0], [1, 0, 0, 0], 0),
        ([7, 7, 0, 0], [2, 0, 2, 0], 0.5),
    ],
    ids=[
        "equal",
        "apart",
        "one inside the other",
        "both empty",
        "one empty",
        "any number is foreground",
    ],
)
def test_dice_of_known_masks(a: list[int], b: list[int], expected: float) -> None:
    assert dice(np.array([a]), np.array([b])) == pytest.approx(expected)


@given(PAIRS)
def test_dice_is_the_f1_score(pair: NDArray[np.bool_]) -> None:
    a, b = pair
    hits, wrong = (a & b).sum(), (a ^ b).sum()
    assert (
        dice(a, b)
        == dice(b, a)
        == pytest.approx(2 * hits / (2 * hits + wrong) if hits + wrong else 1)
    )


def test_masks_of_different_shape_have_no_dice() -> None:
    with pytest.raises(ValueError, match=r"one shape; got \(2, 3\) and \(3, 2\)"):
        dice(np.zeros((2, 3)), np.zeros((3, 2)))


def _row(*objects: tuple[int, int, int]) -> np.ndarray:
    """Return a label image of one row with objects (id, first, last + 1)."""
    ids = np.zeros((1, 40), np.int64)
    for number, first, last in objects:
        ids[0, first:last] = number
    return ids


def test_object_at_an_iou_of_one_half_is_found() -> None:
    # 4 pixels of 8
    matches = match_objects(_row((1, 0, 4)), _row((7, 0, 8)), 0.5)
    assert matches == ObjectMatches(1, 1, 1)
    assert match_objects(_row((1, 0, 4)), _row((7, 0, 8)), 0.51).true_positives == 0


def test_object_that_reaches_the_threshold_with_two_is_found_once() -> None:
    halves = _row((1, 0, 4), (2, 4, 8))
    assert match_objects(halves, _row((1, 0, 8)), 0.5) == ObjectMatches(1, 2, 1)


def test_scores_of_objects_are_those_of_the_field() -> None:
    matches = match_objects(_row((1, 0, 4), (2, 10, 12)), _row((5, 0, 4), (6, 20, 24), (9, 30, 33)))
    assert matches.f1 == pytest.approx(2 / 5)
    assert matches.average_precision == pytest.approx(1 / 4)


def test_images_without_any_object_have_no_score() -> None:
    matches = match_objects(_row(), _row())
    assert matches.is_empty
    assert np.isnan(matches.f1)
    assert np.isnan(matches.average_precision)


def test_matches_need_no_background_and_no_small_ids() -> None:
    full = np.full((3, 3), 2**31 - 1)
    assert match_objects(full, full).f1 == 1


def test_matches_add_up() -> None:
    assert ObjectMatches(1, 2, 3) + ObjectMatches(1, 1, 1) == ObjectMatches(2, 3, 4)


def test_objects_of_images_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        match_objects(np.zeros((2, 2), int), np.zeros((2, 3), int))
