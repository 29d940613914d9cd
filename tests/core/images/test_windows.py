"""One grey scale where images share a unit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam import SupportSet
from napari_iclsam.core.images.windows import Window, ct_window, in_window, with_window

ROWS, COLUMNS = np.indices((96, 96)) - 47.5
RADIUS = np.hypot(ROWS, COLUMNS)


def ct(bone: int = 700, padding: int | None = None) -> NDArray[np.int16]:
    """Draw air, a body and bone in Hounsfield units."""
    values = np.where(RADIUS < 36, 40, -1000) + np.where(RADIUS < 8, bone, 0)
    values = values + np.random.default_rng(0).normal(0, 15, values.shape)
    if padding is not None:
        values[RADIUS > 47] = padding
    return values.astype(np.int16)


def test_a_window_makes_its_ends_black_and_white() -> None:
    image = np.array([[-500, -160], [40, 240], [1000, -32768]], np.int16)
    assert Window(-160, 240).apply(image).tolist() == [[0, 0], [128, 255], [255, 0]]


@pytest.mark.parametrize(("low", "high"), [(5, 5), (6, 5), (float("nan"), 5)])
def test_a_window_needs_a_lower_and_a_higher_value(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="a lower and a higher grey value"):
        Window(low, high)


@pytest.mark.parametrize("padding", [None, -2000, -3024, -32768])
def test_ct_has_one_window_whatever_its_padding(padding: int | None) -> None:
    window = ct_window([ct(), ct(padding=padding), ct(padding=padding).astype(np.float32)])
    assert window is not None
    assert -1080 < window.low < -1000
    assert 700 < window.high < 820


@pytest.mark.parametrize(
    "image",
    [
        ct().astype(np.float32) / 1000,
        (ct() + 1024).clip(0).astype(np.uint16),
        ct().clip(-60, 200),
        np.zeros((20, 20, 3), np.float32) - 500,
        np.random.default_rng(0).normal(0, 1, (96, 96)),
        np.zeros((20, 20), np.int16),
    ],
    ids=["scaled", "shifted", "windowed", "colors", "standardized", "blank"],
)
def test_other_images_have_none(image: NDArray[np.generic]) -> None:
    assert ct_window([image]) is None


def test_examples_of_8_bits_were_scaled_before() -> None:
    labels = (RADIUS < 8).astype(np.uint8)
    images = [ct(), Window(-160, 240).apply(ct())]
    support = with_window(SupportSet.of(images, [labels] * 2), Window(-160, 240))
    assert (support.images[0] == support.images[1]).all()


def test_a_window_within_8_bits_is_one_of_8_bit_images_too() -> None:
    labels = (RADIUS < 8).astype(np.uint8)
    image = np.linspace(0, 255, 96 * 96).reshape(96, 96).astype(np.uint8)
    support = with_window(SupportSet.of([image], [labels]), Window(50, 200))
    assert (support.images[0] == Window(50, 200).apply(image)).all()


def test_ct_beside_ct_has_the_scale_of_the_others_and_anything_else_its_own() -> None:
    window = ct_window([ct()])
    assert window is not None
    metal = ct(bone=2500)
    assert (in_window(metal, window) == window.apply(metal)).all()
    for other in (ct().clip(-60, 200), window.apply(ct())):
        assert in_window(other, window) is other
    assert in_window(metal, None) is metal
