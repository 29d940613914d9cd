"""Images larger than memory: the same labels as of an image in memory, written row by row."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.lazy_image import LazyImage
from napari_iclsam.core.prediction import Prediction, Progress, Provenance
from napari_iclsam.core.steps import drain
from napari_iclsam.core.tiled import TileSegmenter

PROVENANCE = Provenance("0", {}, {}, {}, {}, "", 1, "cpu", "float32", "float32")
IDS = (2, 5)


def by_place(rgb: NDArray[np.uint8]) -> Generator[Progress, None, Prediction]:
    """Answer otherwise in each part of a tile, so that blending matters."""
    yield Progress("icl", "Looking")
    slope = np.linspace(0.1, 0.9, rgb.shape[0])[:, None]
    light = np.clip(0.5 * slope + rgb[..., 0] / 510, 0.01, 0.99).astype(np.float32)
    labels = np.where(light > 0.5, 2, 5).astype(np.int32)
    return Prediction(
        labels=labels,
        probabilities={2: light, 5: np.float32(0.9) - light},
        confidence={2: light, 5: light},
        icl_labels=labels,
        sam_labels=labels,
        boxes={2: np.zeros((0, 4), np.int64), 5: np.zeros((0, 4), np.int64)},
        seconds={},
        provenance=PROVENANCE,
    )


@pytest.fixture
def segmenter() -> TileSegmenter:
    labels = np.zeros((40, 50), np.int32)
    labels[:20] = 2
    labels[30:] = 5
    image = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    support = SupportSet.of([image], [labels], are_regions=True)
    return TileSegmenter(support, PROVENANCE, by_place)


@pytest.fixture
def image() -> NDArray[np.uint8]:
    grey = np.random.default_rng(1).integers(0, 255, (150, 130), np.uint8)
    grey[:45, :60] = 7
    return grey


@pytest.mark.parametrize("lazily", [np.asarray, da.from_array], ids=["numpy", "dask"])
def test_labels_are_those_of_an_image_in_memory(
    segmenter: TileSegmenter, image: NDArray[np.uint8], lazily: Callable[..., Any]
) -> None:
    rgb = np.repeat(image[..., None], 3, axis=2)
    whole = drain(segmenter.tile_steps(rgb, (40, 50)))
    labels = np.full(image.shape, 99, np.uint8)
    certainty = np.full(image.shape, np.nan, np.float32)
    result = drain(segmenter.into_steps(lazily(image), labels, certainty))
    np.testing.assert_array_equal(labels, whole.labels)
    np.testing.assert_allclose(certainty, whole.certainty, rtol=1e-5)
    assert (result.note,) == whole.notes[:1]
    assert (result.tiles, result.blank, result.tile) == (20, 1, (40, 50))


def test_more_than_8_bits_are_seen_on_one_scale_in_all_parts() -> None:
    array = np.tile(np.linspace(1000, 9000, 700), (300, 1)).astype(np.uint16)
    lazy = LazyImage.of(array)
    left = lazy.read((slice(0, 10), slice(0, 100)))
    right = lazy.read((slice(0, 10), slice(600, 700)))
    assert left.shape == (10, 100, 3)
    assert left.max() < 45
    assert right.min() > 210


def test_part_with_a_value_that_is_not_finite_is_named(
    segmenter: TileSegmenter, image: NDArray[np.uint8]
) -> None:
    array = image.astype(np.float32)
    array[149, 129] = np.nan
    with pytest.raises(ValueError, match="part at row 110, column 0 of the image has 1 of"):
        drain(segmenter.into_steps(array, np.zeros(image.shape, np.uint8)))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((150, 131), np.uint8), r"size \(150, 130\); got \(150, 131\)"),
        (np.zeros((150, 130), bool), "array of bool"),
        (np.zeros((150, 130), np.float32), "array of float32"),
    ],
    ids=["size", "bool", "float"],
)
def test_array_that_cannot_hold_the_labels_is_refused(
    segmenter: TileSegmenter, image: NDArray[np.uint8], labels: NDArray[Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        segmenter.into_steps(image, labels)


def test_stack_is_refused(segmenter: TileSegmenter) -> None:
    with pytest.raises(ValueError, match="one plane"):
        segmenter.into_steps(np.zeros((5, 40, 50)), np.zeros((40, 50), np.int32))
