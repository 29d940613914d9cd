"""Coarser levels of labels: in their place, nothing lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_iclsam.files.pyramid import coarser_plane, factor, nearest_indices


@pytest.mark.parametrize("times", [2, 3, 4])
def test_discs_stay_where_they_are(times: int) -> None:
    size = 24 * times
    y, x = np.indices((size, size))
    shifts = []
    for row, column in np.random.default_rng(0).uniform(0.35, 0.65, (60, 2)) * size:
        disc = (np.hypot(y - row, x - column) < 0.3 * size).astype(np.uint8)
        coarse = coarser_plane(disc[None], (24, 24))
        # A coarse pixel lies in the middle of those that it covers.
        center = np.argwhere(coarse).mean(0) * times + (times - 1) / 2
        shifts.append(center - np.argwhere(disc).mean(0))
    # The last pixel of each block would shift them by half a block.
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.05 * times


def test_an_object_of_one_pixel_does_not_vanish() -> None:
    labels = np.zeros((1, 8, 8), np.uint16)
    labels[0, 3, 5] = 7
    coarse = coarser_plane(labels, (2, 2))
    assert coarse.tolist() == [[0, 7], [0, 0]]


def test_the_commonest_label_wins_and_a_tie_goes_to_the_object() -> None:
    labels = np.array([[[1, 1, 2, 0], [1, 3, 2, 0], [3, 3, 3, 3], [3, 3, 3, 3]]], np.uint8)
    assert coarser_plane(labels, (2, 2)).tolist() == [[1, 2], [3, 3]]


@pytest.mark.parametrize("shape", [(3, 4), (2, 3)], ids=["rounded up", "rounded down"])
def test_sides_that_cannot_be_halved_are_rounded_as_the_image_is(shape: tuple[int, int]) -> None:
    assert coarser_plane(np.ones((1, 5, 7), np.uint8), shape).tolist() == np.ones(shape).tolist()


@given(st.integers(1, 40), st.integers(1, 5))
def test_a_grid_that_is_coarser_by_a_factor_is_found_by_place(count: int, times: int) -> None:
    found = nearest_indices(count * times, (0.3, 1.0), (0.3 * times, 1 + 0.15 * (times - 1)), count)
    assert (found == np.arange(count * times) // times).all()


def test_factors_are_whole_numbers() -> None:
    assert [factor(1030, 515), factor(515, 258), factor(5, 5), factor(2160, 270)] == [2, 2, 1, 8]
