"""Refinement by SAM: mask prompts, and several boxes and labels in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from napari_iclsam.core.encoder.runner import Prompts
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.refinement.sam import mask_prompts, refine_with_sam
from napari_iclsam.core.segmenter import ICLSAM

Make = Callable[..., ICLSAM]
Scene = Callable[..., Any]


@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (40, 64), (64, 24)], ids=["square", "wide", "high"]
)
def test_a_mask_prompt_is_the_in_context_map_inside_its_box_and_background_outside(
    height: int, width: int
) -> None:
    icl = torch.full((2, 1, 32, 32), 0.9)
    icl[1] = 0.7
    boxes = torch.tensor([[8.0, 8.0, 16.0, 20.0], [2.0, 2.0, 12.0, 12.0]])
    owners = torch.tensor([1, 0])
    masks = mask_prompts(icl, Frame(height, width, 64), boxes, owners, side=32)
    assert masks.shape == (2, 1, 32, 32)
    assert torch.allclose(masks[0, 0, 5:9, 5:7], torch.logit(torch.tensor(0.7)), atol=1e-4)
    assert torch.allclose(masks[1, 0, 2:5, 2:5], torch.logit(torch.tensor(0.9)), atol=1e-4)
    for mask in masks[:, 0]:
        assert (mask[15:] == -8).all()
        assert (mask[:, 13:] == -8).all()


def test_of_several_boxes_the_largest_logit_counts(segmenter: Make, scene: Scene) -> None:
    image, labels = scene()
    context = segmenter(mask_prompt=False).fit([image], [labels]).context
    runners, query = context.runners, context.examples.embeddings[0]
    icl, confidence = torch.rand(2, 1, 128, 128), torch.rand(2, 1, 48, 48)
    boxes = np.array([[2, 2, 20, 20], [30, 10, 44, 40], [5, 25, 40, 45]])
    none = np.zeros((0, 4), np.int64)

    def refine(first: np.ndarray) -> torch.Tensor:
        return refine_with_sam(
            runners.promptable, query, icl, confidence, (first, none), runners.recipe
        )

    together, alone = refine(boxes), [refine(one[None]) for one in boxes]
    assert torch.allclose(together[0], torch.stack(alone).amax(dim=0)[0], atol=1e-4)
    assert (together[1] == -1).all()


def test_many_boxes_are_decoded_in_parts(
    segmenter: Make, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, labels = scene()
    context = segmenter().fit([image], [labels]).context
    runner, query = context.runners.promptable, context.examples.embeddings[0]
    corners = torch.rand(7, 2) * 30
    boxes = torch.cat([corners, corners + 12], dim=1)
    bias, masks = torch.randn(7, runner.promptable.grid**2), torch.randn(7, 1, 32, 32)
    prompts = Prompts(boxes, bias, masks)
    at_once = runner.decode(query, prompts)
    monkeypatch.setattr("napari_iclsam.core.encoder.runner.PROMPTS_AT_ONCE", 3)
    calls = []
    decode = runner.promptable.decode
    monkeypatch.setattr(
        runner.network, "decode", lambda *args, **kw: calls.append(1) or decode(*args, **kw)
    )
    assert torch.allclose(runner.decode(query, prompts), at_once, atol=1e-4)
    assert len(calls) == 3
