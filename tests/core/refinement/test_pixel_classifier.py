"""The pixel classifier: what it learns of a few images, and images with little to learn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam.core.refinement import pixel_classifier
from napari_iclsam.core.refinement.pixel_classifier import (
    LIMIT,
    PixelClassifier,
    fit_pixel_classifier,
    sample_pixels,
)
from napari_iclsam.core.refinement.pixel_features import (
    SIGMAS,
    count_channels,
    feature_maps,
    select_channels,
)

Image = NDArray[np.uint8]
Masks = NDArray[np.bool_]


def scene(seed: int, shape: tuple[int, int] = (48, 64)) -> tuple[Image, Masks]:
    """A grey image with noise, a bright thin line and a dark disc, and masks of both, (2, H, W)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    line = np.abs(rows - rng.integers(5, 15)) < 1
    disc = np.hypot(rows - 32, columns - rng.integers(20, 40)) < 9
    grey = 120 + 70 * line - 60 * disc + rng.normal(0, 12, shape)
    image = np.clip(grey, 0, 255).astype(np.uint8)
    return np.repeat(image[..., None], 3, axis=2), np.stack([line, disc])


def colored(image: Image) -> Image:
    """The same image with its channels unlike."""
    return (image * np.array([1.0, 0.8, 0.5])).astype(np.uint8)


def fit(*scenes: tuple[Image, Masks], seed: int = 0) -> PixelClassifier:
    images = [image for image, _ in scenes]
    samples = sample_pixels(images, [masks for _, masks in scenes], seed)
    return fit_pixel_classifier(samples, seed)


def dice(found: Masks, truth: Masks) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


@pytest.fixture(scope="module")
def classifier() -> PixelClassifier:
    return fit(scene(0), scene(1))


def test_log_odds_are_positive_on_each_object_of_another_image(classifier: PixelClassifier) -> None:
    image, truth = scene(2)
    found = classifier.log_odds(image)
    assert found.shape == truth.shape
    assert found.dtype == np.float32
    assert np.abs(found).max() <= LIMIT
    assert dice(found[0] > 0, truth[0]) > 0.9
    assert dice(found[1] > 0, truth[1]) > 0.9


def test_brightness_and_contrast_do_not_matter(
    classifier: PixelClassifier,
) -> None:
    image, truth = scene(2)
    dim = (0.6 * image + 10).astype(np.uint8)
    assert dice(classifier.log_odds(dim)[1] > 0, truth[1]) > 0.85


def test_balanced_sampling_leaves_the_probabilities_of_a_rare_object_right() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 64, 1), np.uint8).repeat(3, axis=2)
    rare = rng.random((1, 64, 64)) < 0.05
    query = rng.integers(0, 256, (64, 64, 1), np.uint8).repeat(3, axis=2)
    probability = 1 / (1 + np.exp(-fit((noise, rare)).log_odds(query)))
    assert probability.mean() == pytest.approx(0.05, abs=0.04)


def test_equal_seeds_give_equal_log_odds() -> None:
    image, _ = scene(2)
    first, again, other = (fit(scene(0), seed=seed).log_odds(image) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_labels_that_overlap_are_both_found() -> None:
    image, masks = scene(0)
    both = np.stack([masks[1], masks.any(axis=0)])
    found = fit((image, both)).log_odds(image) > 0
    assert dice(found[0], both[0]) > 0.9
    assert dice(found[1], both[1]) > 0.9


@pytest.mark.parametrize(("value", "expected"), [(False, -LIMIT), (True, LIMIT)])
def test_a_label_of_no_pixel_or_of_all_has_flat_log_odds(value: bool, expected: float) -> None:
    image, masks = scene(0)
    flat = np.full_like(masks[:1], value)
    alone = fit((image, flat)).log_odds(image)
    beside = fit((image, np.concatenate([flat, masks[1:]]))).log_odds(image)
    np.testing.assert_array_equal(alone, np.full(alone.shape, expected, np.float32))
    np.testing.assert_array_equal(beside[0], alone[0])
    assert dice(beside[1] > 0, masks[1]) > 0.9


@pytest.mark.parametrize("missing", [0, 1], ids=["line", "disc"])
def test_a_label_that_only_other_images_hold_is_found_nowhere(missing: int) -> None:
    image, masks = scene(0)
    without = masks.copy()
    without[missing] = False
    samples = sample_pixels([image, image], [without, masks], 0)
    log_odds = fit_pixel_classifier(samples.subset([0]), 0).log_odds(image)
    other = 1 - missing
    assert (log_odds[missing] == -LIMIT).all()
    assert dice(log_odds[other] > 0, masks[other]) > 0.9


def test_images_of_several_sizes_with_and_without_color_go_together() -> None:
    image, masks = scene(1, (48, 80))
    mixed = fit(scene(0), (colored(image), masks))
    assert mixed.channels == 3
    assert mixed.log_odds(scene(2)[0]).shape == (2, 48, 64)


def test_a_color_image_is_classified_by_its_mean_when_all_examples_are_grey(
    classifier: PixelClassifier,
) -> None:
    image, truth = scene(2)
    assert dice(classifier.log_odds(colored(image))[1] > 0, truth[1]) > 0.85


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2)], ids=str)
def test_tiny_images_are_classified(shape: tuple[int, int], classifier: PixelClassifier) -> None:
    image = np.arange(shape[0] * shape[1] * 3, dtype=np.uint8).reshape(*shape, 3)
    masks = np.zeros((1, *shape), bool)
    masks[0, 0, 0] = True
    assert fit((image, masks)).log_odds(image).shape == (1, *shape)
    assert classifier.log_odds(image).shape == (2, *shape)


def test_a_constant_image_has_the_same_log_odds_everywhere_near_those_of_the_prior() -> None:
    image = np.full((40, 40, 3), 90, np.uint8)
    masks = np.zeros((1, 40, 40), bool)
    masks[:, :10] = True
    found = fit((image, masks)).log_odds(image)
    np.testing.assert_allclose(found, found[0, 0, 0], atol=1e-5)
    assert found[0, 0, 0] == pytest.approx(np.log(1 / 3), abs=0.6)


def test_a_very_large_image_is_classified_on_a_grid(
    classifier: PixelClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, truth = scene(2)
    whole = classifier.log_odds(image)
    monkeypatch.setattr(pixel_classifier, "_LARGEST_GRID", truth[0].size // 4)
    found = classifier.log_odds(image)
    assert found.shape == whole.shape
    assert dice(found[1] > 0, truth[1]) > 0.85
    np.testing.assert_array_equal(
        found[:, [0, 0, -1, -1], [0, -1, 0, -1]], whole[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    )


@pytest.mark.parametrize("count", [1, 3])
def test_features_are_eight_a_scale_and_channel(count: int) -> None:
    maps = list(feature_maps(select_channels(scene(0)[0], count)))
    assert len(maps) == 8 * len(SIGMAS) * count
    assert all(values.dtype == np.float32 for values in maps)
    assert all(values.shape == (48, 64) for values in maps)


def test_half_of_the_features_do_not_depend_on_brightness_and_contrast() -> None:
    channel = select_channels(scene(0)[0], 1)
    maps = np.stack(list(feature_maps(channel))).reshape(len(SIGMAS), 2, 4, 48, 64)
    dim = np.stack(list(feature_maps(0.5 * channel + 0.2))).reshape(maps.shape)
    np.testing.assert_allclose(dim[:, 1], maps[:, 1], atol=0.5)
    assert np.abs(dim[:, 0] - maps[:, 0]).max() > 0.1


def test_the_features_of_a_constant_image_are_constant() -> None:
    for values in feature_maps(np.full((1, 5, 6), 0.4, np.float32)):
        np.testing.assert_allclose(values, values[0, 0], atol=1e-5)


def test_grey_images_have_one_channel() -> None:
    image, _ = scene(0)
    assert count_channels(image) == 1
    assert count_channels(colored(image)) == 3


def test_eigenvalues_are_those_of_a_parabolic_valley() -> None:
    rows = np.indices((65, 65))[0] - 32.0
    valley = (0.5 * rows**2).astype(np.float32)
    maps = list(feature_maps(valley[None]))
    larger, smaller = maps[10][32, 32], maps[11][32, 32]
    assert larger == pytest.approx(1, abs=1e-3)
    assert smaller == pytest.approx(0, abs=1e-3)


def test_a_smoothed_map_is_that_of_the_gaussian_filter() -> None:
    channel = np.random.default_rng(0).random((1, 20, 30), np.float32)
    maps = list(feature_maps(channel))
    np.testing.assert_array_equal(maps[16], ndimage.gaussian_filter(channel[0], 2, mode="nearest"))


def test_no_pixel_is_drawn_of_which_nothing_is_known() -> None:
    image, truth = scene(0)
    known = np.ones(truth.shape[1:], bool)
    known[:, :20] = False
    wrong = truth ^ ~known
    samples = sample_pixels([image], [truth], 0, [known])
    same = sample_pixels([image], [wrong], 0, [known])
    (one,), (other,) = samples.of_image, same.of_image
    assert one.pixels.sum() == known.sum()
    assert sorted(one.pixels[one.pixels > 0]) == sorted(other.pixels[other.pixels > 0])
    assert np.array_equal(one.features, other.features)
