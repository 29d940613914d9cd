"""Several promptable models embed each image together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.encoder.experts import Experts
from napari_iclsam.core.encoder.runner import PromptableRunner
from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.models.starter_sam import StarterSam

Scene = Callable[..., Any]


@pytest.fixture(scope="module")
def experts() -> Experts:
    """Two small networks that differ in weights and input size."""
    cache, runners = EmbeddingCache(None), []
    for seed, size in ((0, 64), (1, 96)):
        torch.manual_seed(seed)
        network = StarterSam(size).eval().requires_grad_(False)
        runners.append(PromptableRunner(network, cache, torch.device("cpu")))
    return Experts(tuple(runners))


def test_each_image_has_one_embedding_a_model(experts: Experts, scene: Scene) -> None:
    rgb = as_rgb8(scene(40, 52)[0])
    embedded = experts.embed(rgb)
    assert len(experts) == len(embedded.embeddings) == 2
    assert embedded.rgb is rgb
    assert embedded.shape == (40, 52)
    assert embedded.embedding is embedded.embeddings[0]
    assert [e.features.embedding.shape[-1] for e in embedded.embeddings] == [8, 12]
    for runner, embedding in zip(experts.runners, embedded.embeddings, strict=True):
        assert torch.equal(embedding.features.embedding, runner.embed(rgb).features.embedding)


def test_images_embedded_in_one_call_keep_their_order(experts: Experts, scene: Scene) -> None:
    images = [as_rgb8(scene(40, 52, seed)[0]) for seed in range(3)]
    together = experts.embed_batch(images)
    assert all(one.rgb is image for one, image in zip(together, images, strict=True))
    for embedded, image in zip(together, images, strict=True):
        alone = experts.embed(image)
        for a, b in zip(embedded.embeddings, alone.embeddings, strict=True):
            assert torch.allclose(a.features.embedding, b.features.embedding, atol=1e-5)


def test_some_of_the_models(experts: Experts, scene: Scene) -> None:
    second = experts.subset([1])
    assert second.runners == experts.runners[1:]
    embedded = second.embed(as_rgb8(scene()[0]))
    assert [e.features.embedding.shape[-1] for e in embedded.embeddings] == [12]


def test_as_many_images_at_once_as_the_one_takes_that_takes_fewest(
    experts: Experts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = experts.runners
    sizes = {id(first): 3, id(second): 2}
    monkeypatch.setattr(PromptableRunner, "images_at_once", property(lambda r: sizes[id(r)]))
    assert experts.images_at_once == 2


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_planes_before_a_broken_one_are_embedded(
    experts: Experts, scene: Scene, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(PromptableRunner, "images_at_once", at_once)
    planes = [scene(seed=seed)[0].astype(np.float32) for seed in range(4)]
    planes[2][3, 4] = np.nan
    embedded = experts.embed_planes(iter(planes))
    assert [len(next(embedded).embeddings) for _ in range(2)] == [2, 2]
    with pytest.raises(ValueError, match="1 of 2304 values that are not finite"):
        next(embedded)


def test_without_planes_there_is_nothing_to_embed(experts: Experts) -> None:
    assert list(experts.embed_planes(iter(()))) == []
