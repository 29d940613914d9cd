"""Tiled equals untiled where both are possible; no seam is left; blank tiles cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam.core.images.planes import PlaneError
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.prediction import Prediction, Progress, Provenance
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.steps import drain
from napari_iclsam.core.task import Task
from napari_iclsam.core.task_file import read_task
from napari_iclsam.core.tiled import TileSegmenter

PROVENANCE = Provenance("0", {}, {}, {}, {}, "", 1, "cpu", "float32", "float32")
IDS = (2, 5)


def support() -> SupportSet:
    labels = np.zeros((64, 64), np.int32)
    labels[:20] = 2
    labels[40:] = 5
    image = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    return SupportSet.of([image], [labels])


def by_brightness(rgb: NDArray[np.uint8]) -> Generator[Progress, None, Prediction]:
    """Answer by each pixel alone, so that what tiles should give is known."""
    yield Progress("icl", "Looking")
    light = np.clip(rgb[..., 0] / 255, 0.01, 0.99).astype(np.float32)
    labels = np.where(light > 0.5, 2, 5).astype(np.int32)
    return Prediction(
        labels=labels,
        probabilities={2: light, 5: 1 - light},
        confidence={2: light, 5: 1 - light},
        icl_labels=labels,
        sam_labels=labels,
        boxes={2: np.array([[0, 1, 2, 3]]), 5: np.zeros((0, 4), np.int64)},
        seconds={"icl": 1.0},
        provenance=PROVENANCE,
        estimated_dice={2: 0.5},
    )


@pytest.fixture
def segment() -> TileSegmenter:
    return TileSegmenter(support(), PROVENANCE, by_brightness)


@pytest.fixture
def image() -> NDArray[np.uint8]:
    grey = np.random.default_rng(1).integers(0, 255, (150, 130), np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def test_tiled_is_untiled_without_a_seam(segment: TileSegmenter, image: NDArray[np.uint8]) -> None:
    tiled = drain(segment.tile_steps(image, (64, 48)))
    whole = drain(by_brightness(image))
    np.testing.assert_array_equal(tiled.labels, whole.labels)
    np.testing.assert_array_equal(tiled.icl_labels, whole.icl_labels)
    np.testing.assert_array_equal(tiled.sam_labels, whole.sam_labels)
    for label in IDS:
        np.testing.assert_allclose(
            tiled.probabilities[label], whole.probabilities[label], atol=1e-5
        )
        np.testing.assert_allclose(tiled.confidence[label], whole.confidence[label], atol=1e-5)


def test_answers_that_differ_from_tile_to_tile_are_blended_gradually(
    image: NDArray[np.uint8],
) -> None:
    answers = iter((0.9, 0.1))

    def differently(rgb: NDArray[np.uint8]) -> Generator[Progress, None, Prediction]:
        constant = np.full_like(rgb, round(255 * next(answers)))
        return (yield from by_brightness(constant))

    tiled = drain(
        TileSegmenter(support(), PROVENANCE, differently).tile_steps(image[:64, :112], (64, 64))
    )
    row = tiled.probabilities[2][32]
    assert row[0] == pytest.approx(0.9, abs=0.01)
    assert row[-1] == pytest.approx(0.1, abs=0.01)
    # a hard seam would be one step of 0.8
    assert np.abs(np.diff(row[50:62])).max() < 0.2


def test_boxes_are_in_pixels_of_the_image(segment: TileSegmenter, image: NDArray[np.uint8]) -> None:
    tiled = drain(segment.tile_steps(image[:64, :112], (64, 64)))
    np.testing.assert_array_equal(tiled.boxes[2], [[0, 1, 2, 3], [48, 1, 50, 3]])
    assert tiled.boxes[5].shape == (0, 4)


def test_tiles_of_one_value_are_background_and_are_not_looked_at(
    segment: TileSegmenter, image: NDArray[np.uint8]
) -> None:
    blank = image.copy()
    blank[:, 48:] = 0
    tiled = drain(segment.tile_steps(blank[:64, :112], (64, 64)))
    assert not tiled.labels[:, 64:].any()
    assert tiled.seconds == {"icl": 1.0}


def test_tiles_that_a_screen_finds_empty_are_not_looked_at(
    segment: TileSegmenter, image: NDArray[np.uint8]
) -> None:
    def is_dark(rgb: NDArray[np.uint8]) -> bool:
        return bool(rgb.max() < 100)

    dark = image[:64, :112].copy()
    dark[:, 48:] //= 4
    screened = replace(segment, screen=is_dark)
    tiled = drain(screened.tile_steps(dark, (64, 64)))
    assert not tiled.labels[:, 64:].any()
    assert tiled.labels[:, :48].any()
    assert tiled.seconds == {"icl": 1.0}


def test_image_without_contrast_has_no_objects_and_says_so(segment: TileSegmenter) -> None:
    tiled = drain(segment.tile_steps(np.zeros((64, 112, 3), np.uint8), (64, 64)))
    assert not tiled.labels.any()
    assert "Nothing found." in tiled.notes
    assert tiled.estimated_dice == {}


def test_number_and_size_of_tiles_are_said(
    segment: TileSegmenter, image: NDArray[np.uint8]
) -> None:
    steps = list(segment.tile_steps(image[:64, :112], (64, 64)))
    assert [step.message for step in steps] == ["Tile 1 of 2", "Tile 2 of 2"]
    tiled = drain(segment.tile_steps(image[:64, :112], (64, 64)))
    assert "2 tiles of 64 x 64 pixels" in tiled.notes[0]
    assert "Not refined" not in tiled.notes[0]


def test_what_is_not_refined_says_so(segment: TileSegmenter, image: NDArray[np.uint8]) -> None:
    unrefined = replace(segment, is_unrefined=True)
    tiled = drain(unrefined.tile_steps(image[:64, :112], (64, 64)))
    assert "Not refined by the promptable model" in tiled.notes[0]


def _many(side: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    labels = np.zeros((side, side), np.int32)
    for row in range(2, side - 8, 16):
        for column in range(2, side - 8, 16):
            labels[row : row + 8, column : column + 8] = 1
    noise = np.random.default_rng(side).normal(0, 8, labels.shape)
    return np.clip(60 + 120 * labels + noise, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def task(segmenter: Callable[..., ICLSAM]) -> Task:
    image, labels = _many(64)
    return segmenter(fine_tune=False).fit([image], [labels])


def test_task_with_many_small_objects_segments_a_large_image_in_tiles(task: Task) -> None:
    image, _ = _many(128)
    prediction = task.predict(image)
    assert prediction.labels.shape == (128, 128)
    assert any("tiles of 64 x 64" in note for note in prediction.notes)
    assert len(prediction.instances) == prediction.instances.ids.max()


def test_task_segments_an_image_of_the_examples_size_whole(task: Task) -> None:
    assert not any("tiles" in note for note in task.predict(_many(64)[0]).notes)


@pytest.mark.parametrize("settings", [{"mode": "paper"}, {"coarse_to_fine": False}], ids=str)
def test_no_tiles_in_paper_mode_and_without_coarse_to_fine(
    segmenter: Callable[..., ICLSAM], settings: dict[str, Any]
) -> None:
    image, labels = _many(64)
    task = segmenter(fine_tune=False, **settings).fit([image], [labels])
    assert not any("tiles" in note for note in task.predict(_many(128)[0]).notes)


def test_region_of_an_image_teaches_the_scale_in_which_the_image_is_seen(
    segmenter: Callable[..., ICLSAM],
) -> None:
    image, labels = _many(128)
    labels[64:] = 0
    labels[:, 48:] = 0
    task = segmenter(fine_tune=False).fit([image], [labels], regions=[[(0, 0, 60, 46)]])
    assert [each.shape for each in task.support.labels] == [(60, 46)]
    assert any("tiles of 60 x 46" in note for note in task.predict(image).notes)


def test_planes_of_a_stack_are_seen_in_tiles(task: Task) -> None:
    stack = np.stack([_many(128)[0], np.zeros((128, 128), np.uint8)])
    done = [step for step in task.stack_steps(stack) if step.prediction is not None]
    assert [step.plane for step in done] == [0, 1]
    assert done[0].prediction is not None
    assert any("tiles of 64 x 64" in note for note in done[0].prediction.notes)
    np.testing.assert_array_equal(
        done[0].prediction.labels, task.predict(np.asarray(stack[0])).labels
    )


def test_plane_that_is_no_image_is_named(task: Task) -> None:
    stack = np.stack([_many(128)[0]] * 2).astype(np.float32)
    stack[1, 0, 0] = np.nan
    with pytest.raises(PlaneError, match=r"Plane 1: .*not finite"):
        task.predict_stack(stack)


def test_examples_with_numbered_objects_teach_how_these_are_told_apart(
    segmenter: Callable[..., ICLSAM], tmp_path: Path
) -> None:
    image, labels = _many(64)
    numbers = ndimage.label(labels)[0]
    task = segmenter(fine_tune=False).fit([image], [numbers], numbered=True)
    assert task.support.ids == (1,)
    assert task.support.separations[1].min_distance > 0
    assert task.predict(image).separations == task.support.separations
    assert task.predict(_many(128)[0]).separations == task.support.separations
    task.save(tmp_path / "x.iclsam")
    saved = read_task(tmp_path / "x.iclsam").support
    assert saved.separations == task.support.separations
    assert saved.fingerprint() == task.support.fingerprint()


def test_task_keeps_the_scale_of_its_regions_in_a_file(
    segmenter: Callable[..., ICLSAM], tmp_path: Path
) -> None:
    image, labels = _many(64)
    task = segmenter(fine_tune=False).fit([image], [labels], regions=[[(0, 0, 40, 64)]])
    task.save(tmp_path / "x.iclsam")
    assert read_task(tmp_path / "x.iclsam").support.are_regions
