"""Single steps of the method: which examples are near, boxes, prompts, many labels, mirrored copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from napari_iclsam.core.encoder.cache import Embedding
from napari_iclsam.core.fusion.outputs import StageOutputs
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.in_context.coarse_to_fine import (
    first_side,
    most_similar,
    refer,
    segment_in_context,
)
from napari_iclsam.core.inference import StageTimer, find_boxes, look, mask_prompts, refine_with_sam
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.task import Task
from napari_iclsam.models.features import Features
from napari_iclsam.models.starter_icl import TwoScales
from napari_iclsam.models.universeg import UniverSeg

AUTO, PAPER = Settings(), Settings(mode="paper")
Make = Callable[..., ICLSAM]
Scene = Callable[..., Any]


def maps_of(task: Task, image: np.ndarray) -> StageOutputs:
    """What both models say before the fusion."""
    rgb = as_rgb8(image)
    segmenter = task.segmenter
    with torch.inference_mode():
        query = segmenter.networks.embed(rgb, segmenter.cache)
        steps = look(
            segmenter.networks,
            task._learnt,
            task._examples,
            rgb,
            query,
            segmenter.settings,
            StageTimer(),
        )
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]


def embedding(direction: int, frame: Frame | None = None) -> Embedding:
    features = 0.1 * torch.rand(1, 8, 8, 8, generator=torch.Generator().manual_seed(direction))
    features[0, direction] += 1
    return Embedding(Features(features), frame or Frame(64, 64, 64))


def test_the_most_similar_examples_come_in_the_order_of_the_set() -> None:
    support = [embedding(n) for n in (0, 1, 2, 1, 3)]
    assert most_similar(support, embedding(1), 2) == [1, 3]
    assert len(most_similar(support, embedding(1), 4)) == 4


def test_padding_says_nothing_about_likeness() -> None:
    wide = Frame(32, 64, 64)
    padded = embedding(1, wide)
    padded.features.embedding[:, :, 4:] = 0
    padded.features.embedding[:, 2, 4:] = 100
    assert most_similar([embedding(n) for n in (0, 1, 2)], padded, 1) == [1]


@pytest.mark.parametrize(("mode", "boxes"), [("auto", [[4, 20, 59, 21]]), ("paper", [])])
def test_an_object_too_thin_for_the_opening_has_a_box_in_auto_mode(
    mode: str, boxes: list[list[int]]
) -> None:
    probabilities = torch.zeros(1, 1, 64, 64)
    probabilities[..., 20:22, 4:60] = 1
    found = find_boxes(probabilities, (64, 64), Settings(mode=mode))  # type: ignore[arg-type]
    assert found[0].tolist() == boxes


def test_boxes_are_in_pixels_of_the_image_label_by_label() -> None:
    probabilities = torch.zeros(3, 1, 32, 32)
    probabilities[0, 0, 8:16, 8:24] = 1
    probabilities[2, 0, 0:8, 0:4] = 1
    probabilities[2, 0, 20:30, 4:24] = 1
    found = find_boxes(probabilities, (64, 128), AUTO)
    assert [len(boxes) for boxes in found] == [1, 0, 2]
    assert np.abs(found[0][0] - [32, 16, 95, 31]).max() <= 1
    assert np.abs(found[2][0] - [16, 40, 95, 59]).max() <= 1


@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (40, 64), (64, 24)], ids=["square", "wide", "high"]
)
def test_a_mask_prompt_is_the_in_context_map_inside_its_box_and_background_outside(
    height: int, width: int
) -> None:
    query = embedding(0, Frame(height, width, 64))
    icl = torch.full((2, 1, 32, 32), 0.9)
    icl[1] = 0.7
    boxes, owner = (
        torch.tensor([[8.0, 8.0, 16.0, 20.0], [2.0, 2.0, 12.0, 12.0]]),
        torch.tensor([1, 0]),
    )
    masks = mask_prompts(icl, query, boxes, owner, side=32)
    assert masks.shape == (2, 1, 32, 32)
    assert torch.allclose(masks[0, 0, 5:9, 5:7], torch.logit(torch.tensor(0.7)), atol=1e-4)
    assert torch.allclose(masks[1, 0, 2:5, 2:5], torch.logit(torch.tensor(0.9)), atol=1e-4)
    for mask in masks[:, 0]:
        assert (mask[15:] == -8).all()
        assert (mask[:, 13:] == -8).all()


@pytest.mark.parametrize("mode", ["auto", "paper"])
def test_several_labels_at_once_are_those_one_by_one(
    segmenter: Make, scene: Scene, mode: str
) -> None:
    scenes, query = [scene(48, 40, seed) for seed in range(2)], scene(48, 40, 7)[0]
    images = [image for image, _ in scenes]
    together = maps_of(segmenter(mode=mode).fit(images, [labels for _, labels in scenes]), query)
    assert sum(map(len, together.boxes)) >= 2
    for n, label in enumerate((1, 4)):
        own = [np.where(labels == label, label, 0) for _, labels in scenes]
        alone = maps_of(segmenter(mode=mode).fit(images, own), query)
        assert (together.boxes[n] == alone.boxes[0]).all()
        for name in ("confidence", "icl", "sam"):
            a, b = getattr(together, name)[n], getattr(alone, name)[0]
            assert torch.allclose(a, b, atol=1e-4 * float(b.abs().max())), name


def test_of_several_boxes_the_largest_logit_counts(segmenter: Make, scene: Scene) -> None:
    image, labels = scene()
    task = segmenter(mask_prompt=False).fit([image], [labels])
    networks, query = task.segmenter.networks, task._examples.embeddings[0]
    icl, confidence = torch.rand(2, 1, 128, 128), torch.rand(2, 1, 48, 48)
    boxes = np.array([[2, 2, 20, 20], [30, 10, 44, 40], [5, 25, 40, 45]])
    none = np.zeros((0, 4), np.int64)

    def refine(first: np.ndarray) -> torch.Tensor:
        settings = task.segmenter.settings
        return refine_with_sam(networks, query, icl, confidence, (first, none), settings)

    together, alone = refine(boxes), [refine(one[None]) for one in boxes]
    assert torch.allclose(together[0], torch.stack(alone).amax(dim=0)[0], atol=1e-4)
    assert (together[1] == -1).all()


def test_many_boxes_are_decoded_in_parts(
    segmenter: Make, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, labels = scene()
    task = segmenter().fit([image], [labels])
    networks, query = task.segmenter.networks, task._examples.embeddings[0]
    corners = torch.rand(7, 2) * 30
    boxes = torch.cat([corners, corners + 12], dim=1)
    bias, masks = torch.randn(7, networks.promptable.grid**2), torch.randn(7, 1, 32, 32)
    at_once = networks.decode(query, boxes, bias, masks)
    monkeypatch.setattr("napari_iclsam.core.encoder.runner.PROMPTS_AT_ONCE", 3)
    assert torch.allclose(networks.decode(query, boxes, bias, masks), at_once, atol=1e-4)


class TestWithMoreExamplesThanAsked:
    """Five examples of which the in-context model may see two."""

    @pytest.fixture
    def task(self, segmenter: Make, scene: Scene) -> Task:
        scenes = [scene(seed=seed) for seed in range(5)]
        images = [image // (seed + 1) for seed, (image, _) in enumerate(scenes)]
        return segmenter(max_examples=2, mode="paper").fit(images, [labels for _, labels in scenes])

    def test_the_nearest_two_are_seen_as_if_they_were_all(self, task: Task) -> None:
        examples, networks, settings = (
            task._examples,
            task.segmenter.networks,
            task.segmenter.settings,
        )
        rgb, query = examples.images[3], examples.embeddings[3]
        near = most_similar(examples.embeddings, query, 2)
        assert 3 in near
        few = examples.subset(near)
        with torch.inference_mode():
            args = (rgb, query, task._learnt.probe.confidence(query), settings)
            expected = segment_in_context(networks, refer(networks, few, settings), few, *args)
            got = segment_in_context(networks, task._learnt.reference, examples, *args)
        assert task._learnt.reference is None
        assert torch.equal(got.closer, expected.closer)

    def test_each_query_chooses_its_own(self, task: Task) -> None:
        embeddings = task._examples.embeddings
        chosen = {tuple(most_similar(embeddings, query, 2)) for query in embeddings}
        assert len(chosen) > 1


@pytest.mark.parametrize(
    ("tta_flips", "same"), [(True, True), (False, False)], ids=["with tta_flips", "without"]
)
def test_with_flips_a_mirrored_world_has_a_mirrored_result(
    segmenter: Make, scene: Scene, flips: bool, same: bool
) -> None:
    (image, labels), (query, _) = scene(seed=0), scene(seed=1)
    make = segmenter(tta_flips=flips, icl_guidance=0.0, use_sam=False, coarse_to_fine=False)
    plain = maps_of(make.fit([image], [labels]), query).icl
    mirrored = maps_of(make.fit([image[:, ::-1]], [labels[:, ::-1]]), query[:, ::-1]).icl
    # Masks are resized by nearest neighbours, which a mirror shifts by up to a pixel: near, not
    # equal.
    difference = (mirrored.flip(-1) - plain).abs().mean()
    assert (difference < 0.01) == same


def test_guidance_moves_the_in_context_model(segmenter: Make, scene: Scene) -> None:
    (image, labels), (query, _) = scene(seed=0), scene(seed=1)
    unguided, weak, strong = (
        maps_of(segmenter(icl_guidance=alpha).fit([image], [labels]), query).icl
        for alpha in (0.0, 0.3, 2.0)
    )
    assert 0 < (weak - unguided).abs().mean() < (strong - unguided).abs().mean()


@pytest.mark.parametrize(
    ("shapes", "side"),
    [
        ([(120, 120)], 128),
        ([(88, 203)], 128),
        ([(233, 197)], 256),
        ([(50, 40), (260, 380)], 384),
        ([(2000, 1500)], 512),
    ],
)
def test_in_paper_mode_the_in_context_model_takes_images_near_the_size_of_the_largest_example(
    shapes: list[tuple[int, int]], side: int
) -> None:
    masks = [[np.zeros(shape, bool) for shape in shapes]]
    assert first_side(TwoScales.image_sizes, masks, Settings(mode="paper")) == side
    assert first_side(UniverSeg.image_sizes, masks, Settings(mode="paper")) == 128
