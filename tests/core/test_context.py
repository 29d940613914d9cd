"""Both models run on a query: many labels, many examples, mirrored copies, guidance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_iclsam.core.context import FittedContext, run_models, segment_query
from napari_iclsam.core.fusion.outputs import StageOutputs
from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.in_context.coarse_to_fine import encode_support, segment_in_context
from napari_iclsam.core.in_context.nearest import nearest_examples
from napari_iclsam.core.inference import StageTimer
from napari_iclsam.core.refinement.guidance import in_context_guidance
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.steps import drain
from napari_iclsam.core.task import Task

Make = Callable[..., ICLSAM]
Scene = Callable[..., Any]


def outputs_of(task: Task, image: NDArray[np.uint8]) -> StageOutputs:
    """What both models give before the fusion."""
    with torch.inference_mode():
        query = task.context.runners.experts.embed(as_rgb8(image))
        return drain(run_models(task.context, query, StageTimer()))


@pytest.mark.parametrize("mode", ["auto", "paper"])
def test_several_labels_at_once_are_those_one_by_one(
    segmenter: Make, scene: Scene, mode: str
) -> None:
    scenes, query = [scene(48, 40, seed) for seed in range(2)], scene(48, 40, 7)[0]
    images = [image for image, _ in scenes]
    together = outputs_of(segmenter(mode=mode).fit(images, [labels for _, labels in scenes]), query)
    assert sum(map(len, together.boxes)) >= 2
    for n, label in enumerate((1, 4)):
        own = [np.where(labels == label, label, 0) for _, labels in scenes]
        alone = outputs_of(segmenter(mode=mode).fit(images, own), query)
        assert (together.boxes[n] == alone.boxes[0]).all()
        for name in ("confidence", "icl", "sam"):
            a, b = getattr(together, name)[n], getattr(alone, name)[0]
            assert torch.allclose(a, b, atol=1e-4 * float(b.abs().max())), name


class TestWithMoreExamplesThanAsked:
    """Five examples of which the in-context model may be shown two."""

    @pytest.fixture
    def context(self, segmenter: Make, scene: Scene) -> FittedContext:
        scenes = [scene(seed=seed) for seed in range(5)]
        images = [image // (seed + 1) for seed, (image, _) in enumerate(scenes)]
        labels = [labels for _, labels in scenes]
        return segmenter(max_examples=2, mode="paper").fit(images, labels).context

    def test_the_nearest_two_count_as_if_they_were_all(self, context: FittedContext) -> None:
        runner, recipe = context.runners.in_context, context.runners.recipe
        query = context.examples.embedded(3)
        nearest = nearest_examples(context.examples, query.embedding, 2)
        assert any(image is query.rgb for image in nearest.images)
        with torch.inference_mode():
            confidence = context.probes[0].confidence(query.embedding)
            guidance = in_context_guidance(confidence, 2, recipe.icl_guidance)
            encoded = encode_support(runner, nearest)
            expected = segment_in_context(runner, encoded, query, guidance)
            got = segment_query(context, query, confidence)
        assert context.encoded is None
        assert torch.equal(got.probabilities, expected.probabilities)

    def test_each_query_chooses_its_own(self, context: FittedContext) -> None:
        chosen = set()
        for query in context.examples.of_expert(0):
            nearest = nearest_examples(context.examples, query, 2)
            chosen.add(tuple(map(id, nearest.images)))
        assert len(chosen) > 1


@pytest.mark.parametrize(
    ("flips", "same"), [(True, True), (False, False)], ids=["with flips", "without"]
)
def test_with_test_time_flips_a_mirrored_world_has_a_mirrored_result(
    segmenter: Make, scene: Scene, flips: bool, same: bool
) -> None:
    (image, labels), (query, _) = scene(seed=0), scene(seed=1)
    make = segmenter(tta_flips=flips, icl_guidance=0.0, use_sam=False, coarse_to_fine=False)
    plain = outputs_of(make.fit([image], [labels]), query).icl
    mirrored = outputs_of(make.fit([image[:, ::-1]], [labels[:, ::-1]]), query[:, ::-1]).icl
    # Masks are resized by nearest neighbours, which a mirror shifts by up to a pixel: near, not
    # equal.
    difference = (mirrored.flip(-1) - plain).abs().mean()
    assert (difference < 0.01) == same


def test_guidance_moves_the_in_context_model(segmenter: Make, scene: Scene) -> None:
    (image, labels), (query, _) = scene(seed=0), scene(seed=1)
    unguided, weak, strong = (
        outputs_of(segmenter(icl_guidance=alpha).fit([image], [labels]), query).icl
        for alpha in (0.0, 0.3, 2.0)
    )
    assert 0 < (weak - unguided).abs().mean() < (strong - unguided).abs().mean()
