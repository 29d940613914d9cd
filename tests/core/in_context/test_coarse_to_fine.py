"""The in-context model, coarse to fine: the full image, then crops around what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_iclsam import Settings, dice
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.encoder.examples import Examples
from napari_iclsam.core.images.crops import Region
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.in_context.coarse_to_fine import (
    EncodedSupport,
    InContextOutput,
    segment_in_context,
)
from napari_iclsam.core.in_context.nearest import nearest_examples
from napari_iclsam.core.networks import LoadedSam, Networks
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.task import Task
from napari_iclsam.models.features import Features
from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.models.universeg import UniverSeg

Make = Callable[..., ICLSAM]
SIDE = 96


def disc(row: int, column: int, radius: int, side: int = SIDE) -> NDArray[np.bool_]:
    y, x = np.mgrid[:side, :side]
    return np.asarray((y - row) ** 2 + (x - column) ** 2 <= radius**2)


def photo(mask: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    """A bright object on a dark, noisy ground."""
    noise = np.random.default_rng(seed).normal(0, 12, mask.shape)
    return np.clip(np.where(mask, 190, 80) + noise, 0, 255).astype(np.uint8)


def encoded_of(task: Task) -> EncodedSupport:
    assert task.context.encoded is not None
    return task.context.encoded


def segmented(task: Task, image: NDArray[np.uint8]) -> InContextOutput:
    """What the in-context model finds in an image, unguided."""
    runners = task.context.runners
    with torch.inference_mode():
        query = runners.experts.embed(as_rgb8(image))
        unguided = torch.zeros((len(task.support.ids), 1, *image.shape))
        return segment_in_context(runners.in_context, encoded_of(task), query, unguided)


def crop_sizes(task: Task) -> list[list[float]]:
    """Relative sizes of the crops of each crop stage, in order."""
    return [list(stage.sizes.values()) for stage in encoded_of(task).crop_stages]


def examples_of(embeddings: list[Embedding]) -> Examples:
    image, labels = np.arange(16, dtype=np.uint8).reshape(4, 4), np.ones((4, 4), int)
    support = SupportSet.of([image] * len(embeddings), [labels] * len(embeddings))
    images = tuple(as_rgb8(each) for each in support.images)
    return Examples(support, images, tuple((each,) for each in embeddings))


def embedding(direction: int, frame: Frame | None = None) -> Embedding:
    features = 0.1 * torch.rand(1, 8, 8, 8, generator=torch.Generator().manual_seed(direction))
    features[0, direction] += 1
    return Embedding(Features(features), frame or Frame(64, 64, 64))


def nearest(embeddings: list[Embedding], query: Embedding, count: int) -> list[int]:
    """Indices of the nearest examples."""
    chosen = nearest_examples(examples_of(embeddings), query, count)
    return [[one is each for each in embeddings].index(True) for one in chosen.of_expert(0)]


def test_the_nearest_examples_come_in_the_order_of_the_set() -> None:
    embeddings = [embedding(n) for n in (0, 1, 2, 1, 3)]
    assert nearest(embeddings, embedding(1), 2) == [1, 3]
    assert len(nearest(embeddings, embedding(1), 4)) == 4


def test_padding_does_not_count_in_the_similarity_of_examples() -> None:
    wide = Frame(32, 64, 64)
    padded = embedding(1, wide)
    padded.features.embedding[:, :, 4:] = 0
    padded.features.embedding[:, 2, 4:] = 100
    assert nearest([embedding(n) for n in (0, 1, 2)], padded, 1) == [1]


class TestCropStages:
    """The smaller the objects, the more crop stages."""

    def fit(self, segmenter: Make, radius: int, **settings: Any) -> Task:
        masks = [disc(40, 50, radius), disc(55, 40, radius)]
        images = [photo(mask, seed) for seed, mask in enumerate(masks)]
        return segmenter(**settings).fit(images, [mask.astype(np.int32) for mask in masks])

    @pytest.mark.parametrize(("radius", "factors"), [(8, [2.2, 1.3]), (24, [1.3]), (38, [])])
    def test_small_objects_have_two_large_ones_none(
        self, segmenter: Make, radius: int, factors: list[float]
    ) -> None:
        size = (2 * radius + 1) / SIDE
        found = crop_sizes(self.fit(segmenter, radius))
        assert found == [[pytest.approx(factor * size)] for factor in factors]

    @pytest.mark.parametrize("settings", [{"mode": "paper"}, {"coarse_to_fine": False}], ids=str)
    def test_there_are_none_where_they_are_turned_off(
        self, segmenter: Make, settings: dict[str, Any]
    ) -> None:
        assert crop_sizes(self.fit(segmenter, 8, **settings)) == []

    def test_without_crops_the_result_is_that_of_the_full_image_stage(
        self, segmenter: Make
    ) -> None:
        found = segmented(self.fit(segmenter, 38), photo(disc(48, 48, 38), 7))
        assert torch.equal(found.full_image, found.probabilities)

    def test_only_small_labels_have_crops(self, segmenter: Make) -> None:
        labels = [np.where(disc(48, 48, 40), 1, 0) for _ in range(2)]
        for mask in labels:
            mask[disc(20, 30, 6)] = 5
        images = [photo(mask == 5, seed) for seed, mask in enumerate(labels)]
        encoded = encoded_of(segmenter().fit(images, labels))
        assert [set(stage.sizes) for stage in encoded.crop_stages] == [{1}, {1}]


class Counting(nn.Module):
    """An in-context network that finds what is bright, with larger logits at each call."""

    image_sizes = (64, 128)
    image_channels = 1

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[Tensor] = []
        self.supports: list[tuple[Tensor, Tensor]] = []

    def encode_support(self, images: Tensor, masks: Tensor) -> None:
        self.supports.append((images, masks))

    def forward(self, query: Tensor, support: None, guidance: Tensor | None = None) -> Tensor:
        self.queries.append(query)
        return torch.where(query > 0.5, 1.0, -1.0) * 2 * len(self.queries)


@pytest.fixture
def counting() -> ICLSAM:
    networks = Networks((LoadedSam(StarterSam(64).eval()),), Counting())
    return ICLSAM(
        settings=Settings(cross_validate=False, use_sam=False),
        networks=networks,
        cache=EmbeddingCache(),
    )


class TestCrops:
    """Crops are where the object is, and each stage counts as much as the others."""

    def test_crops_of_the_examples_hold_their_objects(self, counting: ICLSAM) -> None:
        masks = [disc(30, 60, 8), disc(70, 20, 12), np.zeros((SIDE, SIDE), bool)]
        counting.fit(
            [photo(mask, 0) for mask in masks[:2]] + [photo(masks[0], 1)],
            [m.astype(np.int32) for m in masks],
        )
        icl = counting.networks.icl
        assert isinstance(icl, Counting)
        full, coarse, fine = icl.supports
        assert full[0].shape == coarse[0].shape == (1, 3, 1, 64, 64)
        for (images, found), factor in ((coarse, 2.2), (fine, 1.3)):
            share = found.mean(dim=(-3, -2, -1))[0]
            assert share[:2] == pytest.approx([np.pi / 4 / factor**2] * 2, rel=0.6)
            assert share[2] == 0
            assert (images > 0.5).float()[0, :2].sub(found[0, :2]).abs().mean() < 0.05

    def test_the_mean_of_all_stages_within_the_crop_and_the_full_image_alone_outside(
        self, counting: ICLSAM
    ) -> None:
        mask = disc(30, 66, 8)
        task = counting.fit([photo(mask, 0)], [mask.astype(np.int32)])
        found = segmented(task, photo(mask, 0)).probabilities[0, 0].logit()
        assert found[30, 66] == pytest.approx((2 + 4 + 6) / 3)
        assert found[30, 80] == pytest.approx(-(2 + 4) / 2)  # beyond the last crop
        assert found[80, 10] == pytest.approx(-2)

    @pytest.mark.parametrize("reliable", [False, True])
    def test_a_crop_around_the_expected_place_is_added_or_the_only_one_if_reliable(
        self, counting: ICLSAM, monkeypatch: pytest.MonkeyPatch, reliable: bool
    ) -> None:
        mask, there = disc(48, 48, 8), disc(24, 70, 8)
        task = counting.fit([photo(mask, 0)], [mask.astype(np.int32)])
        expected = {0: Region(0.75, 0.25, 0.0)}
        monkeypatch.setattr(
            "napari_iclsam.core.in_context.coarse_to_fine.localise",
            lambda templates, query: expected,
        )
        encoded = encoded_of(task)
        templates = {0: replace(encoded.templates[0], reliable=reliable)}
        task.context = replace(task.context, encoded=replace(encoded, templates=templates))
        image = np.where(there, 190, 80).astype(np.uint8)
        image[72, 24] = 110  # too faint to be found in the full image, the brightest within a crop
        found = segmented(task, image).probabilities[0, 0].logit()
        assert found[24, 70] == pytest.approx(2 if reliable else (2 + 4 + 8) / 3)
        assert found[77, 29] == pytest.approx(-(2 + 4 + 6) / 3 if reliable else -(2 + 6 + 10) / 3)

    def test_crops_that_meet_at_the_border_are_one(
        self, counting: ICLSAM, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mask = disc(30, 48, 24)
        task = counting.fit([photo(mask, 0)], [mask.astype(np.int32)])
        expected = {
            0: Region(0.05, 0.5, 0.0)
        }  # a crop of 0.66 of the image around either leaves it
        monkeypatch.setattr(
            "napari_iclsam.core.in_context.coarse_to_fine.localise",
            lambda templates, query: expected,
        )
        found = segmented(task, photo(mask, 0)).probabilities[0, 0].logit()
        assert found[30, 48] == pytest.approx((2 + 4) / 2)

    def test_where_nothing_is_found_there_are_no_crops(self, counting: ICLSAM) -> None:
        mask = disc(48, 48, 8)
        task = counting.fit([photo(mask, 0)], [mask.astype(np.int32)])
        found = segmented(task, np.zeros((SIDE, SIDE), np.uint8))
        assert found.probabilities.unique() == pytest.approx(1 / (1 + np.exp(2)))

    def test_logits_of_a_large_image_are_summed_at_a_smaller_size(self, counting: ICLSAM) -> None:
        mask = disc(100, 90, 20, side=300)
        task = counting.fit([photo(mask, 0)], [mask.astype(np.int32)])
        large = np.kron(photo(mask, 1), np.ones((4, 6), np.uint8))
        assert segmented(task, large).probabilities.shape == (1, 1, 683, 1024)


def test_each_label_has_its_own_crops(networks: Networks) -> None:
    """Two labels at once get the crops, and so the result, of each alone."""
    assert isinstance(networks.icl, UniverSeg)
    labels = np.where(disc(30, 30, 8), 1, 0) + np.where(disc(70, 60, 12), 4, 0)
    image = photo(labels > 0, 0)
    settings = Settings(cross_validate=False)

    def result(wanted: NDArray[Any]) -> InContextOutput:
        segmenter = ICLSAM(networks=networks, settings=settings, cache=EmbeddingCache())
        return segmented(segmenter.fit([image], [wanted]), image)

    both = result(labels)
    for index, label in enumerate((1, 4)):
        one = result(np.where(labels == label, label, 0))
        assert both.probabilities[index] == pytest.approx(one.probabilities[0], abs=1e-4)


def test_crops_help_the_bundled_models_with_small_objects() -> None:
    places = [(90, 70), (150, 110), (120, 160), (70, 120)]
    rng = np.random.default_rng(5)
    scenes = []
    for row, column in places:
        target, other = disc(row, column, 14, 256), disc(row + 40, column - 45, 14, 256)
        grain = rng.normal(0, 14, (256, 256))
        grey = np.where(target, 120, np.where(other, 165, 90)) + grain
        scenes.append((np.clip(grey, 0, 255).astype(np.uint8), target))
    plain = ICLSAM(settings=Settings(coarse_to_fine=False), cache=EmbeddingCache())
    cropping = ICLSAM(networks=plain.networks, settings=Settings(), cache=plain.cache)

    def mean(segmenter: ICLSAM) -> float:
        task = segmenter.fit([scenes[0][0]], [scenes[0][1].astype(np.int32)])
        return float(
            np.mean([dice(task.predict(image).labels == 1, mask) for image, mask in scenes[1:]])
        )

    before, after = mean(plain), mean(cropping)
    assert after > before
