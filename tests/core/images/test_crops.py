"""Crops around objects, in relative coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_iclsam.core.images.crops import Crop, Region, crop_size, find_region, mean_size


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


def test_a_crop_is_larger_where_its_object_needs_more_and_at_most_the_image() -> None:
    assert crop_size(0.3, Region(0, 0, 0.5)) == pytest.approx(0.575)
    assert crop_size(0.3, Region(0, 0, 1.0)) == 1
    assert crop_size(0.3, None) == 0.3
