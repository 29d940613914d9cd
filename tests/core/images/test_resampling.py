"""Averages over areas: OpenCV's numbers, and what they must be by themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.images.resampling import resize_by_area

OPENCV = dict(np.load(Path(__file__).parent / "data" / "opencv_area.npz"))
"""Random images, and what ``cv2.resize(..., interpolation=cv2.INTER_AREA)`` of OpenCV 5.0.0 makes
of them."""

CASES = [name.removesuffix("_image") for name in OPENCV if name.endswith("_image")]


@pytest.mark.parametrize("case", CASES)
def test_pixels_are_those_of_opencv(case: str) -> None:
    expected = OPENCV[f"{case}_resized"]
    resized = resize_by_area(OPENCV[f"{case}_image"], expected.shape[:2])
    assert resized.dtype == np.uint8
    assert (resized == expected).all()


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 255))
def test_a_constant_image_stays_constant(height: int, width: int, value: int) -> None:
    frame = Frame(height, width, 256)
    resized = resize_by_area(np.full((height, width, 3), value, np.uint8), frame.scaled)
    assert resized.shape == (*frame.scaled, 3)
    assert (resized == value).all()


def test_a_pixel_counts_as_much_as_it_is_covered() -> None:
    row = np.array([[[0] * 3, [90] * 3, [240] * 3]], np.uint8)
    assert resize_by_area(row, (1, 2))[0, :, 0].tolist() == [30, 190]


def test_an_image_of_the_right_size_is_not_touched() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (64, 40, 3), np.uint8)
    assert (resize_by_area(rgb, (64, 40)) == rgb).all()


def test_a_frame_resizes_as_the_model_wants_it() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (300, 180, 3), np.uint8)
    frame = Frame(300, 180, 256)
    by_area = frame.to_square(rgb, "area")
    assert by_area.shape == (1, 3, 256, 154)
    assert (by_area[0].numpy().transpose(1, 2, 0) == resize_by_area(rgb, (256, 154))).all()
    assert (by_area - frame.to_square(rgb)).abs().max() > 0
