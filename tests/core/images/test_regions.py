"""A region shows what its image shows there; what is wrong with one is said in words."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.images.intensity import to_8bit
from napari_iclsam.core.images.regions import (
    LabelledRegion,
    RegionLabels,
    check_agreement,
    cut_examples,
    painted_region,
)

IMAGE = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80)


def labels_with(
    *squares: tuple[slice, slice], shape: tuple[int, int] = (60, 80)
) -> NDArray[np.int32]:
    labels = np.zeros(shape, np.int32)
    for square in squares:
        labels[square] = 1
    return labels


LABELS = labels_with(np.s_[5:10, 5:10], np.s_[40:50, 60:70])


def piece(region: LabelledRegion, labels: NDArray[np.int32], image: str = "a") -> RegionLabels:
    return RegionLabels(image, f"{image}.tif", region, labels[region.slices])


def test_region_has_the_grey_scale_of_its_image() -> None:
    images, labels = cut_examples([IMAGE], [LABELS], [[(0, 0, 20, 30)]])
    np.testing.assert_array_equal(images[0], to_8bit(IMAGE)[:20, :30])
    np.testing.assert_array_equal(labels[0], LABELS[:20, :30])


def test_an_image_may_have_several_regions_or_none() -> None:
    images, labels = cut_examples(
        [IMAGE, IMAGE], [LABELS, LABELS], [[(0, 0, 20, 30), (30, 50, 60, 80)], []]
    )
    assert [each.shape for each in images] == [(20, 30), (30, 30), (60, 80)]
    assert [int(each.sum()) for each in labels] == [25, 100, 125]


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ((0, 0, 61, 80), "leaves the image of example 1, which has 60 rows and 80 columns"),
        ((-1, 0, 20, 80), "leaves the image of example 1"),
        ((20, 0, 20, 80), "y0 < y1"),
        ((0, 0, 20), "got 3 numbers"),
        ((12, 0, 30, 30), "holds no labels"),
    ],
    ids=["too large", "negative", "empty", "three numbers", "without labels"],
)
def test_what_is_wrong_with_a_region_is_said(region: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cut_examples([IMAGE], [LABELS], [[region]])


def test_fractions_are_no_region() -> None:
    with pytest.raises(TypeError, match="integer"):
        cut_examples([IMAGE], [LABELS], [[(0, 0, 20.5, 30)]])  # type: ignore[list-item]


def test_each_example_needs_its_regions() -> None:
    with pytest.raises(ValueError, match="got 1, 1 and 0"):
        cut_examples([IMAGE], [LABELS], [])


def test_overlapping_regions_that_agree_pass() -> None:
    check_agreement(
        [
            piece(LabelledRegion(0, 0, 20, 30), LABELS),
            piece(LabelledRegion(4, 4, 30, 40), LABELS),
        ]
    )


def test_overlapping_regions_that_disagree_are_refused() -> None:
    other = LABELS.copy()
    other[5:7, 5:7] = 0
    with pytest.raises(ValueError, match=r"0 0 20 30 and 4 4 30 40 of a.tif overlap.* 4 pixels"):
        check_agreement(
            [
                piece(LabelledRegion(0, 0, 20, 30), LABELS),
                piece(LabelledRegion(4, 4, 30, 40), other),
            ]
        )


def test_regions_of_two_images_do_not_overlap() -> None:
    region = LabelledRegion(0, 0, 20, 30)
    check_agreement([piece(region, LABELS), piece(region, 0 * LABELS, "b")])


def test_region_around_what_is_painted_in_a_corner_of_a_large_image_is_offered() -> None:
    labels = labels_with(np.s_[0:10, 20:30], np.s_[190:200, 100:220], shape=(1000, 900))
    assert painted_region(labels) == LabelledRegion(0, 10, 210, 230)


@pytest.mark.parametrize(
    "labels",
    [
        labels_with(np.s_[0:10, 0:10], shape=(300, 300)),
        labels_with(shape=(1000, 1000)),
        labels_with(np.s_[0:10, 0:10], np.s_[900:910, 900:910], shape=(1000, 1000)),
    ],
    ids=["small image", "empty", "labelled all over"],
)
def test_no_region_is_offered_where_none_is_meant(labels: NDArray[np.int32]) -> None:
    assert painted_region(labels) is None
