"""Tiles are of the examples' scale, cover an image, and are chosen only for many small objects."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.images.tiles import (
    TileRule,
    plan_tiles,
    tile_side,
    tile_weights,
)


def grid(side: int, spacing: int, size: int) -> NDArray[np.int32]:
    """Return squares in rows and columns."""
    labels = np.zeros((side, side), np.int32)
    for row in range(4, side - size, spacing):
        for column in range(4, side - size, spacing):
            labels[row : row + size, column : column + size] = 1
    return labels


def support_of(*labels: NDArray[np.int32]) -> SupportSet:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, painted.shape, np.uint8) for painted in labels]
    return SupportSet.of(images, labels)


def test_few_objects_call_for_no_tiles() -> None:
    labels = np.zeros((512, 512), np.int32)
    labels[10:30, 10:30] = 1
    assert tile_side([labels]) is None
    assert TileRule().shape([labels], (4096, 4096)) is None


def test_tile_follows_the_size_of_the_objects() -> None:
    small = tile_side([grid(512, 32, 14)])
    large = tile_side([grid(512, 64, 28)])
    assert small is not None
    assert large is not None
    assert large == pytest.approx(2 * small, abs=1)


def test_specks_do_not_make_tiles_smaller() -> None:
    labels = grid(512, 64, 28)
    clean = tile_side([labels.copy()])
    labels[::32, 0] = 1
    assert tile_side([labels]) == clean


def test_large_example_is_cut_into_tiles_that_cover_it() -> None:
    support = support_of(grid(512, 40, 20))
    cut = support.in_tiles()
    assert len(cut) == 4
    assert {labels.shape for labels in cut.labels} == {(256, 256)}
    assert sum(int(labels.sum()) for labels in cut.labels) == int(support.labels[0].sum())


def test_one_large_example_is_cut_into_four_even_if_its_objects_are_large() -> None:
    assert TileRule(are_regions=True).side([grid(512, 64, 50)]) == 256
    assert TileRule(are_regions=True).side([grid(512, 64, 50)] * 4) == 512


def test_example_is_not_cut_through_its_objects() -> None:
    labels = np.zeros((512, 512), np.int32)
    labels[100:400, 100:400] = 1
    assert TileRule(are_regions=True).side([labels]) == 512


def test_example_of_the_size_of_a_tile_stays_whole() -> None:
    support = support_of(grid(256, 40, 20))
    cut = support.in_tiles()
    np.testing.assert_array_equal(cut.images[0], support.images[0])
    assert len(cut) == 1


def test_large_example_without_objects_gives_one_tile() -> None:
    cut = support_of(grid(512, 40, 20), np.zeros((512, 512), np.int32)).in_tiles()
    assert [bool(labels.any()) for labels in cut.labels] == [True] * 4 + [False]


def test_tiles_of_an_example_have_one_grey_scale() -> None:
    labels = grid(512, 40, 20)
    image = np.tile(np.linspace(0, 4000, 512, dtype=np.uint16), (512, 1))
    cut = SupportSet.of([image], [labels]).in_tiles()
    assert {tile.dtype for tile in cut.images} == {np.dtype(np.uint8)}
    assert cut.images[0].max() < 130
    assert cut.images[1].min() > 125


def test_very_large_example_gives_a_few_tiles() -> None:
    assert len(support_of(grid(1600, 40, 14)).in_tiles()) == 8


def test_image_is_seen_in_tiles_of_the_size_of_the_examples() -> None:
    support = support_of(grid(512, 40, 20)).in_tiles()
    assert TileRule().shape(support.labels, (2048, 2048)) == (256, 256)


def test_image_of_the_size_of_the_examples_is_seen_whole() -> None:
    assert TileRule().shape([grid(256, 40, 20)], (300, 300)) is None


def test_tiles_that_the_user_chose_hold_for_examples_and_images() -> None:
    labels = [grid(512, 64, 28)]
    rule = TileRule("128")
    assert rule.side(labels) == 128
    assert rule.shape(labels, (300, 100)) == (128, 100)
    assert rule.shape(labels, (128, 128)) is None


def test_off_means_that_nothing_is_seen_in_tiles() -> None:
    labels = [grid(512, 32, 14)]
    assert TileRule("off").side(labels) is None
    assert TileRule("off").shape(labels, (4096, 4096)) is None


def test_examples_that_are_regions_tell_the_scale_however_few_objects_they_show() -> None:
    labels = np.zeros((200, 240), np.int32)
    labels[40:90, 40:90] = 1
    assert TileRule(are_regions=True).shape([labels], (2048, 2048)) == (200, 240)
    assert TileRule(are_regions=True).shape([labels], (150, 150)) is None


def test_tiles_cover_every_pixel_and_stay_inside() -> None:
    shape = (301, 577)
    seen = np.zeros(shape, int)
    for rows, columns in plan_tiles(shape, (128, 100)):
        assert (rows.stop - rows.start, columns.stop - columns.start) == (128, 100)
        seen[rows, columns] += 1
    assert seen.min() >= 1
    assert sum(rows.stop > 301 for rows, _ in plan_tiles(shape, (128, 100))) == 0


def test_neighboring_tiles_overlap_by_a_quarter() -> None:
    starts = sorted({columns.start for _, columns in plan_tiles((64, 1000), (64, 64))})
    assert max(np.diff(starts)) <= 48


def test_image_as_large_as_a_tile_is_one_tile() -> None:
    assert plan_tiles((64, 48), (64, 48)) == [(slice(0, 64), slice(0, 48))]


def test_weights_fall_from_the_center_and_are_nowhere_zero() -> None:
    weights = tile_weights((64, 32))
    assert weights.argmax() in (31 * 32 + 15, 31 * 32 + 16, 32 * 32 + 15, 32 * 32 + 16)
    assert weights.min() > 0
    np.testing.assert_allclose(weights, weights[::-1, ::-1])
