"""The part of the planes of a stack that its labels can reach."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.images.plane_region import PlaneRegion, reachable_region
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.prediction import Prediction, Provenance

SIZE = (300, 400)


def squares(*columns: int, side: int = 64) -> SupportSet:
    """Planes with a square each, from these columns on."""
    planes = []
    for column in columns:
        labels = np.zeros(SIZE, np.uint8)
        top = min(100, SIZE[0] - side - 30)
        labels[top : top + side, column : column + side] = 3
        planes.append(labels)
    noise = np.random.default_rng(0).integers(0, 255, (len(planes), *SIZE), np.uint8)
    return SupportSet.of(list(noise), planes)


def found(support: SupportSet) -> PlaneRegion:
    region = reachable_region(support)
    assert region is not None
    return region


def test_region_holds_all_labels_and_a_margin() -> None:
    region = found(squares(150, 170))
    assert region.rows.start <= 94
    assert region.rows.stop >= 170
    assert region.columns.start <= 144
    assert region.columns.stop >= 240


def test_object_that_moves_is_expected_to_go_on() -> None:
    region = found(squares(150, 190))
    assert region.columns.start <= 130
    assert region.columns.stop >= 274


def test_label_a_pixel_further_leaves_the_region_as_it_was() -> None:
    one = found(squares(150, 170))
    other = found(squares(150, 170, side=65))
    assert (one.rows, one.columns) == (other.rows, other.columns)


def test_region_of_a_small_object_shows_what_is_around_it() -> None:
    region = found(squares(150, 150, side=5))
    assert min(region.shape) >= 48


@pytest.mark.parametrize(
    "support",
    [squares(150), squares(20, 110, side=260)],
    ids=["one plane", "nearly the whole plane"],
)
def test_planes_are_seen_whole(support: SupportSet) -> None:
    assert reachable_region(support) is None


def test_planes_of_several_sizes_are_seen_whole() -> None:
    support = squares(150, 170)
    smaller = SupportSet.of(
        [support.images[0], support.images[1][:200]], [support.labels[0], support.labels[1][:200]]
    )
    assert reachable_region(smaller) is None


def test_examples_are_cut_where_queries_are() -> None:
    support = squares(150, 170)
    region = found(support)
    cut = region.cut_support(support)
    assert cut.ids == support.ids
    assert cut.labels[0].shape == region.shape
    np.testing.assert_array_equal(cut.images[1], region.cut(support.images[1]))
    assert (cut.labels[1] > 0).sum() == (support.labels[1] > 0).sum()


def test_prediction_is_put_back_where_it_was_cut() -> None:
    region = PlaneRegion(slice(10, 14), slice(20, 25), (30, 40))
    labels: NDArray[np.int32] = np.zeros((4, 5), np.int32)
    labels[1, 2] = 3
    maps = {3: labels / np.float32(4)}
    boxes = {3: np.array([[2, 1, 2, 1]])}
    made = Provenance("", {}, {}, {}, {}, "", 1, "cpu", "", "")
    restored = region.restored(Prediction(labels, maps, maps, labels, labels, boxes, {}, made))
    assert np.argwhere(restored.labels == 3).tolist() == [[11, 22]]
    assert restored.probabilities[3][11, 22] == 0.75
    assert restored.confidence[3].shape == (30, 40)
    assert restored.boxes[3].tolist() == [[22, 11, 22, 11]]
