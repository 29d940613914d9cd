"""Dice of masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_iclsam.core.metrics import dice

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
