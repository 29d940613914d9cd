"""Parts far smaller than any that a person has marked are no part of the object."""

from __future__ import annotations

import numpy as np
import pytest

from napari_iclsam.core.volume.labelled_planes import LabelledPlanes
from napari_iclsam.core.volume.specks import smallest_part, without_specks


def square(side: int) -> np.ndarray:
    mask = np.zeros((40, 40), bool)
    mask[20 : 20 + side, 20 : 20 + side] = True
    return mask


def test_the_smallest_part_is_that_of_any_labelled_plane() -> None:
    two = square(8)
    two[:5, :4] = True
    masks = np.stack([square(10), two, np.zeros_like(two)])
    assert smallest_part(LabelledPlanes((1, 5, 9), masks)) == 20


@pytest.mark.parametrize(("side", "stays"), [(2, False), (5, False), (6, True)])
def test_parts_below_three_tenths_of_it_are_cleared(side: int, stays: bool) -> None:
    log_odds = np.where(square(12), np.float32(2), np.float32(-3))
    log_odds[:side, :side] = 1
    kept = without_specks(log_odds, smallest=100)
    assert (kept[:side, :side] > 0).all() == stays
    assert np.array_equal(kept > 0, (log_odds > 0) & (stays | square(12)))
    assert np.array_equal(kept[kept < -1], log_odds[log_odds < -1])


def test_a_plane_of_nothing_but_specks_is_empty() -> None:
    log_odds = np.where(square(3), np.float32(2), np.float32(-3))
    assert not (without_specks(log_odds, smallest=100) > 0).any()


def test_single_marked_pixels_let_every_part_stay() -> None:
    log_odds = np.where(square(1), np.float32(2), np.float32(-3))
    assert without_specks(log_odds, smallest=1) is log_odds
