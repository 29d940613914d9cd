"""What a support set takes, refuses, keeps and is recognised by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_iclsam.core.images.support import LabelStyle, SupportSet

IMAGE = np.arange(48, dtype=np.uint8).reshape(6, 8)
LABELS = np.zeros((6, 8), np.uint8)
LABELS[1:3, 2:5] = 1
LABELS[4, 4] = 7


def three() -> SupportSet:
    return SupportSet.of(
        [IMAGE, IMAGE + 1, IMAGE + 2], [LABELS, LABELS * 2, LABELS * 0], {1: LabelStyle("nucleus")}
    )


def with_pixel(value: float, count: int = 1) -> NDArray[np.float32]:
    image = IMAGE.astype(np.float32)
    image.flat[:count] = value
    return image


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        ([], [], ValueError, "At least one example"),
        ([IMAGE], [], ValueError, "got 1 images and 0 label images"),
        (
            [IMAGE],
            [LABELS[:, :7]],
            ValueError,
            r"Example 1: .*same height and width; got image \(6, 8\).*\(6, 7\)",
        ),
        ([IMAGE, IMAGE], [LABELS, LABELS.T], ValueError, "Example 2: .*same height and width"),
        ([IMAGE], [LABELS[None]], ValueError, "same height and width"),
        (
            [IMAGE],
            [LABELS.astype(float)],
            TypeError,
            "Example 1: labels must be integers.*got dtype float64",
        ),
        ([IMAGE], [LABELS.astype(complex)], TypeError, "labels must be integers"),
        (
            [IMAGE],
            [LABELS.astype(int) - 1],
            ValueError,
            "0 .background. or positive.*got values from -1 to 6",
        ),
        ([IMAGE], [np.where(LABELS, 2**31, 0)], ValueError, "below 2.*31"),
        ([IMAGE], [np.full((6, 8), 2**64 - 1, np.uint64)], ValueError, "below 2.*31"),
        ([IMAGE, IMAGE], [LABELS * 0, LABELS * 0], ValueError, "All examples are background"),
        (
            [with_pixel(np.nan, 3)],
            [LABELS],
            ValueError,
            "image of example 1 has 3 of 48 values that are not finite",
        ),
        ([with_pixel(np.inf)], [LABELS], ValueError, "has 1 of 48 values that are not finite"),
        ([with_pixel(-np.inf)], [LABELS], ValueError, "has 1 of 48 values that are not finite"),
        ([IMAGE * 0 + 9], [LABELS], ValueError, "image of example 1 has the value 9 everywhere"),
        (
            [np.zeros((0, 8), np.uint8)],
            [np.zeros((0, 8), np.uint8)],
            ValueError,
            "at least 2 x 2 pixels; got 0 x 8",
        ),
        (
            [np.zeros((8, 0))],
            [np.zeros((8, 0), int)],
            ValueError,
            "at least 2 x 2 pixels; got 8 x 0",
        ),
        (
            [np.zeros((1, 1))],
            [np.ones((1, 1), int)],
            ValueError,
            "at least 2 x 2 pixels; got 1 x 1",
        ),
        ([np.zeros((4, 6, 8))], [LABELS], ValueError, r"must be one plane.*got shape \(4, 6, 8\)"),
        ([np.zeros((6, 8, 2))], [LABELS], ValueError, "must be one plane"),
        ([np.zeros(8)], [LABELS], ValueError, "must be one plane"),
        ([np.zeros((1, 6, 8, 3))], [LABELS], ValueError, "must be one plane"),
        (
            [IMAGE.astype(complex)],
            [LABELS],
            TypeError,
            "must hold real numbers; got dtype complex128",
        ),
        ([IMAGE.astype(str)], [LABELS], TypeError, "must hold real numbers"),
    ],
    ids=[
        "no pair",
        "one without labels",
        "narrower labels",
        "transposed labels of the second pair",
        "labels with three axes",
        "float labels",
        "complex labels",
        "negative labels",
        "label above 31 bits",
        "label of 64 bits",
        "all background",
        "nan",
        "infinity",
        "minus infinity",
        "constant image",
        "no rows",
        "no columns",
        "one pixel",
        "a stack",
        "two channels",
        "one axis",
        "four axes",
        "complex image",
        "text image",
    ],
)
def test_bad_pairs_are_refused_with_a_message(
    images: list[NDArray[Any]], labels: list[NDArray[Any]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        SupportSet.of(images, labels)


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64, ">i4"], ids=str
)
def test_labels_of_any_integer_kind_become_int32(dtype: Any) -> None:
    support = SupportSet.of([IMAGE], [LABELS.astype(dtype)])
    assert support.labels[0].dtype == np.int32
    assert (support.labels[0] == LABELS.astype(dtype)).all()


def test_labels_are_collected_over_all_pairs_in_ascending_order() -> None:
    assert three().ids == (1, 2, 7, 14)


def test_an_example_without_objects_may_be_empty_and_flat() -> None:
    support = SupportSet.of([IMAGE, IMAGE * 0], [LABELS, LABELS * 0])
    assert len(support) == 2
    assert not support.mask(1, 1).any()


def test_what_is_kept_is_a_copy_that_cannot_be_written_to() -> None:
    image, labels = IMAGE.copy(), LABELS.astype(np.int32)
    support = SupportSet.of([image], [labels])
    image[:], labels[:] = 0, 0
    assert (support.images[0] == IMAGE).all()
    assert (support.labels[0] == LABELS).all()
    for array in (support.images[0], support.labels[0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_images_keep_their_dtype_and_size() -> None:
    images = [IMAGE.astype(np.float64), np.zeros((3, 4, 4), np.uint16)]
    images[1][0, 0] = 5
    support = SupportSet.of(images, [LABELS, np.ones((3, 4), int)])
    assert [(i.dtype, i.shape) for i in support.images] == [
        (np.float64, (6, 8)),
        (np.uint16, (3, 4, 4)),
    ]


def test_a_mask_is_where_a_pair_has_a_label() -> None:
    support = three()
    assert support.mask(0, 1).dtype == bool
    assert support.mask(0, 1).sum() == 6
    assert support.mask(1, 14).tolist() == (LABELS == 7).tolist()
    assert not support.mask(2, 1).any()


def test_names_are_those_given_or_made_of_the_number() -> None:
    support = SupportSet.of(
        [IMAGE], [LABELS], {1: LabelStyle("nucleus"), 7: LabelStyle("", (1, 0, 0, 1))}
    )
    assert [support.name(label) for label in support.ids] == ["nucleus", "label 7"]


def test_a_subset_keeps_labels_and_names_of_the_whole() -> None:
    support = three()
    subset = support.subset([2, 0])
    assert (subset.ids, subset.name(1), len(subset)) == (support.ids, "nucleus", 2)
    assert subset.images[0] is support.images[2]
    assert subset.labels[1] is support.labels[0]


@pytest.mark.parametrize("pair", [0, 1, 2])
def test_without_a_pair_the_others_stay_in_order(pair: int) -> None:
    support = three()
    others = [k for k in range(3) if k != pair]
    assert support.without(pair).fingerprint() == support.subset(others).fingerprint()
    assert len(support) == 3


def test_equal_sets_have_equal_fingerprints() -> None:
    assert three().fingerprint() == three().fingerprint()
    assert len(three().fingerprint()) == 64


@given(pair=st.integers(0, 2), index=st.integers(0, 47), labels=st.booleans())
def test_any_pixel_changes_the_fingerprint(pair: int, index: int, labels: bool) -> None:
    before = three()
    images, maps = [i.copy() for i in before.images], [lab.copy() for lab in before.labels]
    (maps if labels else images)[pair].flat[index] += 1
    assert SupportSet.of(images, maps).fingerprint() != before.fingerprint()


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ([IMAGE + 1, IMAGE], [LABELS * 2, LABELS]),
        ([IMAGE.astype(np.int8), IMAGE + 1], [LABELS, LABELS * 2]),
        ([IMAGE.reshape(8, 6), IMAGE + 1], [LABELS.reshape(8, 6), LABELS * 2]),
        ([IMAGE], [LABELS]),
    ],
    ids=["order", "dtype", "shape", "number"],
)
def test_fingerprints_tell_apart(images: list[NDArray[Any]], labels: list[NDArray[Any]]) -> None:
    plain = SupportSet.of([IMAGE, IMAGE + 1], [LABELS, LABELS * 2])
    assert SupportSet.of(images, labels).fingerprint() != plain.fingerprint()


def test_pairs_may_come_as_one_stacked_array_each() -> None:
    images, labels = np.arange(2 * 4 * 5).reshape(2, 4, 5), np.ones((2, 4, 5), int)
    assert (
        SupportSet.of(images, labels).fingerprint()
        == SupportSet.of(list(images), list(labels)).fingerprint()
    )


def test_the_old_name_of_the_color_of_a_style_warns_and_works() -> None:
    style = LabelStyle("cells", (1.0, 0.0, 0.0, 1.0))
    with pytest.warns(DeprecationWarning, match="is now called LabelStyle.color"):
        assert style.colour == style.color
