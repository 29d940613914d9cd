"""Images of any kind become 8-bit RGB, and that becomes what the in-context model takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_iclsam.core.images.intensity import (
    as_rgb8,
    check_contrast,
    check_image,
    in_field_of_view,
    unit_channels,
)

RAMP = np.linspace(0, 1, 400).reshape(20, 20)

KINDS = [np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
ANY_IMAGE = st.one_of(
    st.sampled_from(KINDS).flatmap(lambda kind: hnp.arrays(kind, shapes())),
    st.sampled_from([16, 32]).flatmap(
        lambda width: hnp.arrays(
            f"f{width // 8}",
            shapes(),
            elements=st.floats(width=width, allow_nan=False, allow_infinity=False),
        )
    ),
)


def shapes() -> st.SearchStrategy[tuple[int, ...]]:
    plane = st.tuples(st.integers(2, 7), st.integers(2, 7))
    return st.one_of(
        plane, st.tuples(st.integers(2, 7), st.integers(2, 7), st.sampled_from([3, 4]))
    )


@given(ANY_IMAGE)
def test_any_real_image_becomes_rgb_and_stays_as_it_was(image: NDArray[Any]) -> None:
    before = image.copy()
    rgb = as_rgb8(image)
    assert (rgb.dtype, rgb.shape) == (np.uint8, (*image.shape[:2], 3))
    assert (image == before).all()


@given(hnp.arrays(np.uint16, (6, 5)))
def test_brighter_never_becomes_darker(image: NDArray[np.uint16]) -> None:
    grey = as_rgb8(image)[..., 0]
    order = np.argsort(image, axis=None)
    assert (np.diff(grey.ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 4)], ids=["grey", "rgb", "rgba"])
def test_eight_bits_are_taken_as_they_are(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(30, 90, shape, np.uint8)
    expected = image[..., :3] if image.ndim == 3 else np.stack([image] * 3, axis=-1)
    assert (as_rgb8(image) == expected).all()


@pytest.mark.parametrize(
    "dtype", [np.uint16, np.int16, np.int32, np.float32, np.float64, ">u2", ">f4"], ids=str
)
def test_other_grey_values_are_stretched_between_their_extremes(dtype: Any) -> None:
    grey = as_rgb8((RAMP * 5000 + 100).astype(dtype))
    assert (grey.min(), grey.max()) == (0, 255)
    assert np.abs(grey[..., 0] - RAMP * 255).max() < 2


@pytest.mark.parametrize("hot", [65535, 0], ids=["hot pixel", "dead pixel"])
def test_a_single_outlier_does_not_decide_the_contrast(hot: int) -> None:
    image = np.random.default_rng(0).integers(1000, 1100, (60, 60)).astype(np.uint16)
    image[3, 3] = hot
    rest = np.delete(as_rgb8(image)[..., 0].ravel(), 3 * 60 + 3)
    assert rest.min() <= 3
    assert rest.max() >= 252


def body_in_a_circle(side: int = 100) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Make a slice of a CT, air around a body around bone, and its circular field of view."""
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    radius = np.hypot(rows, columns)
    body = np.where(radius < 30, 40, -1000) + np.where(radius < 8, 700, 0)
    noise = np.random.default_rng(0).normal(0, 20, body.shape)
    return (body + noise).astype(np.int16), radius < 49


@pytest.mark.parametrize("padding", [-2000, -3024, -32768, 30000])
def test_padding_outside_the_field_of_view_does_not_decide_the_contrast(padding: int) -> None:
    image, seen = body_in_a_circle()
    padded = np.where(seen, image, padding).astype(np.int16)
    assert (in_field_of_view(padded) == seen).all()
    difference = as_rgb8(padded)[seen].astype(int) - as_rgb8(image)[seen]
    assert np.abs(difference).max() <= 4
    assert (as_rgb8(padded)[~seen] == (0 if padding < 0 else 255)).all()


def test_a_crop_that_holds_one_corner_of_the_padding_is_seen_as_the_whole_is() -> None:
    image, seen = body_in_a_circle()
    crop = np.where(seen, image, -2000)[:60, :60]
    assert (in_field_of_view(crop) == seen[:60, :60]).all()


def test_padding_within_padding_is_found_too() -> None:
    image, seen = body_in_a_circle()
    padded = np.where(seen, image, -2000)
    padded = np.pad(padded, 10, constant_values=-32768)
    assert (in_field_of_view(padded) == np.pad(seen, 10)).all()


def test_a_value_that_means_no_data_is_found_wherever_it_lies() -> None:
    image = np.random.default_rng(0).normal(5, 1, (50, 50))
    missing = np.random.default_rng(1).random(image.shape) < 0.3
    assert (in_field_of_view(np.where(missing, -9999, image)) == ~missing).all()


@pytest.mark.parametrize("turned", [False, True], ids=["straight", "rotated"])
def test_a_blank_border_does_not_decide_the_contrast(turned: bool) -> None:
    rows, columns = np.indices((60, 60)) - 29.5
    inside = (np.abs(rows) + np.abs(columns) < 28) if turned else (np.abs(rows) < 20)
    values = np.random.default_rng(0).integers(1000, 1100, inside.shape)
    grey = as_rgb8(np.where(inside, values, 0).astype(np.uint16))[inside]
    assert (grey.min(), grey.max()) == (0, 255)


def test_a_masked_object_stays_brighter_than_its_background() -> None:
    image, _ = body_in_a_circle()
    brain = np.where(image > -500, image + 400, 0)
    assert in_field_of_view(brain).all()


def test_objects_on_a_black_background_are_no_field_of_view() -> None:
    image = np.zeros((60, 60), np.uint16)
    for row, column in ((5, 5), (30, 8), (10, 40), (40, 40)):
        image[row : row + 12, column : column + 12] = np.random.default_rng(0).integers(
            900, 1000, (12, 12)
        )
    assert in_field_of_view(image).all()


def test_one_object_on_an_otherwise_flat_image_is_seen() -> None:
    image = np.full((100, 100), 7, np.uint16)
    image[2, 2] = 9
    grey = as_rgb8(image)[..., 0]
    assert grey[2, 2] == 255
    assert (np.delete(grey.ravel(), 202) == 0).all()


def test_true_is_white_and_false_is_black() -> None:
    image = RAMP > 0.5
    assert (as_rgb8(image)[..., 0] == np.where(image, 255, 0)).all()


def test_colors_in_zero_to_one_are_multiplied_not_stretched() -> None:
    image = np.random.default_rng(0).uniform(0.2, 0.6, (9, 9, 3))
    assert np.abs(as_rgb8(image) - image * 255).max() <= 0.5 + 1e-9


def test_colors_beyond_one_share_one_scale_so_that_hues_stay() -> None:
    image = np.zeros((10, 10, 3), np.uint16)
    image[:5, :, 0], image[5:, :, 1] = 4000, 2000
    rgb = as_rgb8(image)
    assert rgb[0, 0].tolist() == [255, 0, 0]
    assert rgb[9, 0].tolist() == [0, 128, 0]


def test_alpha_has_no_say_in_the_colors() -> None:
    image = np.random.default_rng(0).integers(0, 900, (9, 9, 4)).astype(np.uint16)
    opaque = image.copy()
    opaque[..., 3] = 65535
    assert (as_rgb8(image) == as_rgb8(opaque)).all()
    assert (as_rgb8(image) == as_rgb8(image[..., :3])).all()


@pytest.mark.parametrize("value", [0, 0.5, -3.0, 1e30], ids=str)
def test_a_constant_image_becomes_zeros(value: float) -> None:
    assert not as_rgb8(np.full((5, 4), value, np.float32)).any()


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.array([[1, np.nan], [np.inf, 2]]), ValueError, "has 2 of 4 values that are not finite"),
        (np.zeros((3, 2, 2, 3)), ValueError, r"predict_stack or choose a plane"),
        (np.zeros((4, 4, 5)), ValueError, r"got shape \(4, 4, 5\)"),
        (np.float32(3), ValueError, r"got shape \(\)"),
        (np.zeros((2, 1)), ValueError, "at least 2 x 2 pixels; got 2 x 1"),
        (np.zeros((0, 0)), ValueError, "at least 2 x 2 pixels; got 0 x 0"),
        (np.zeros((2, 2), complex), TypeError, "real numbers; got dtype complex128"),
        (np.array([["a", "b"]] * 2), TypeError, "real numbers"),
        (np.zeros((2, 2), object), TypeError, "real numbers; got dtype object"),
    ],
    ids=[
        "not finite",
        "stack",
        "five channels",
        "number",
        "one column",
        "empty",
        "complex",
        "text",
        "objects",
    ],
)
def test_what_is_no_plane_of_numbers_is_refused(
    image: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        as_rgb8(image)


def test_the_message_names_the_image() -> None:
    with pytest.raises(ValueError, match="The query must have"):
        check_image(np.zeros((1, 5)), "query")


def test_an_image_without_contrast_is_told_with_its_value() -> None:
    with pytest.raises(ValueError, match="The image has the value 4 everywhere"):
        check_contrast(np.full((3, 3), 4))
    check_contrast(np.eye(3))


RGB = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)


@pytest.mark.parametrize(("channel", "index"), [("red", 0), ("green", 1), ("blue", 2)])
def test_one_channel_is_that_of_the_color(channel: Any, index: int) -> None:
    values = unit_channels(RGB, 1, channel)
    assert values.dtype == np.float32
    assert (values == RGB[None, ..., index]).all()


def test_luminance_is_a_weighted_mean_that_keeps_grey() -> None:
    expected = 0.299 * RGB[..., 0] + 0.587 * RGB[..., 1] + 0.114 * RGB[..., 2]
    assert np.allclose(unit_channels(RGB, 1)[0], expected, atol=1e-3)
    grey = np.repeat(RGB[..., :1], 3, axis=2)
    assert np.allclose(unit_channels(grey, 1)[0], grey[..., 0], atol=1e-3)


def test_three_channels_are_red_green_blue() -> None:
    assert (unit_channels(RGB, 3) == RGB.transpose(2, 0, 1)).all()
