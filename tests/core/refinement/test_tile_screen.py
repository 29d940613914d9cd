"""Tiles that hold nothing are told from those that hold objects like the examples'."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.images.intensity import is_constant
from napari_iclsam.core.refinement.pixel_classifier import fit_pixel_classifier, sample_pixels
from napari_iclsam.core.refinement.tile_screen import TileScreen, fit_tile_screen


def tile(seed: int, *, objects: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return bright squares on noise, and their mask (1, H, W)."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((1, 64, 64), bool)
    for _ in range(objects):
        row, column = rng.integers(4, 50, 2)
        mask[0, row : row + 10, column : column + 10] = True
    grey = rng.normal(30, 2, (64, 64)) + 100 * mask[0]
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2), mask


@pytest.fixture(scope="module")
def screen() -> TileScreen:
    images, masks = zip(*(tile(seed, objects=4) for seed in range(3)), strict=True)
    classifier = fit_pixel_classifier(sample_pixels(images, masks, 0), 0)
    return fit_tile_screen(classifier, images, masks)


def test_background_holds_nothing(screen: TileScreen) -> None:
    assert screen.is_empty(tile(7, objects=0)[0])


def test_a_single_object_is_not_missed(screen: TileScreen) -> None:
    assert not screen.is_empty(tile(8, objects=1)[0])


def test_limits_lie_far_below_the_examples() -> None:
    rgb, _ = tile(0, objects=0)
    mask = np.zeros((2, 64, 64), bool)
    mask[0, 10:20, 10:20] = True
    classifier = fit_pixel_classifier(sample_pixels([rgb], [mask[:1]], 0), 0)
    limits = fit_tile_screen(classifier, [rgb], [mask[:1]]).limits
    assert limits.shape == (1,)
    assert limits[0] <= -1.5
    # what shows no difference from the background must not be passed over
    assert not fit_tile_screen(classifier, [rgb], [mask[:1]]).is_empty(rgb)


def test_a_tile_of_one_value_is_constant() -> None:
    assert is_constant(np.full((8, 8, 3), 9, np.uint8))
    assert not is_constant(tile(0, objects=0)[0])
