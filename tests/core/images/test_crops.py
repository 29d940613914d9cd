"""Crops around objects, in relative coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_iclsam.core.images.crops import (
    Crop,
    Region,
    crop_size,
    crop_sizes,
    find_region,
    mean_size,
)


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_a_crop_lies_in_its_image_and_has_its_relative_size(
    row: float, column: float, size: float, shape: tuple[int, int]
) -> None:
    slices = Crop(row, column, size).slices(shape)
    for part, centre, pixels in zip(slices, (row, column), shape, strict=True):
        assert 0 <= part.start < part.stop <= pixels
        assert abs(part.stop - part.start - size * pixels) <= 1
        if part.start > 0 and part.stop < pixels:
            assert abs((part.start + part.stop) / 2 - centre * pixels) <= 1


def test_a_region_is_the_box_of_a_mask_relative_to_the_image() -> None:
    mask = np.zeros((100, 200), bool)
    mask[10:30, 40:60] = True
    mask[25, 100] = True
    assert find_region(mask) == Region(row=0.2, column=70.5 / 200, size=61 / 200)
    assert find_region(np.zeros((5, 5), bool)) is None


def test_the_mean_size_of_regions_is_the_geometric_one() -> None:
    assert mean_size([Region(0, 0, 0.1), Region(0, 0, 0.4)]) == pytest.approx(0.2)


def test_labels_have_crops_unless_these_are_nearly_the_whole_image() -> None:
    small = [Region(0.5, 0.5, 0.2), None]
    large = [Region(0.5, 0.5, 0.5), Region(0.5, 0.5, 0.5)]
    absent = [None, None]
    assert crop_sizes([small, large, absent], 1.6, 0.9) == pytest.approx({0: 0.32, 1: 0.8})
    assert crop_sizes([small, large, absent], 1.6, 0.7) == pytest.approx({0: 0.32})


def test_a_crop_is_larger_where_its_object_needs_more_and_at_most_the_image() -> None:
    assert crop_size(0.3, Region(0, 0, 0.5)) == pytest.approx(0.575)
    assert crop_size(0.3, Region(0, 0, 1.0)) == 1
    assert crop_size(0.3, None) == 0.3
