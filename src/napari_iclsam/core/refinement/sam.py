"""The steps of ICL-SAM for one query, each a function of values (Hu et al. 2024; formulae in docs/concepts.md)."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.encoder.cache import Embedding
from napari_iclsam.core.encoder.runner import Networks
from napari_iclsam.core.fusion.published import sam_bias
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.in_context.coarse_to_fine import Examples, Reference, refer, refer_closer, segment_in_context
from napari_iclsam.core.prediction import Progress, Stage
from napari_iclsam.core.refinement.probe import Probe, fit_probe
from napari_iclsam.core.refinement.prompts import boxes_of, open_until_shrunk
from napari_iclsam.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Learnt:
    """What does not depend on the query.

    Attributes
    ----------
    probe : Probe
    reference : Reference, optional
        None if each query chooses its own examples.
    """

    probe: Probe
    reference: Reference | None


@dataclass(frozen=True, slots=True)
class Maps:
    """What both models say of one query before the fusion, for L labels.

    Attributes
    ----------
    confidence : Tensor, (L, 1, H, W)
        Semantic confidence map.
    icl : Tensor, (L, 1, h, w)
        Probabilities of the in-context model.
    sam : Tensor, (L, 1, H, W)
        Logits of SAM, the maximum over the boxes of a label; -1 where it has none.
    boxes : tuple of ndarray, (n, 4)
        Of each label.
    icl_alone : Tensor, (L, 1, s, s)
        Probabilities of the in-context model by its look at the whole image, without closer ones.
    """

    confidence: Tensor
    icl: Tensor
    sam: Tensor
    boxes: tuple[NDArray[np.int64], ...]
    icl_alone: Tensor


@dataclass(slots=True)
class Clock:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, stage: Stage, *, gradients: bool = False) -> Iterator[None]:
        """Compute with or without gradients, and add the time of the block to a stage."""
        start = time.perf_counter()
        with torch.inference_mode(not gradients), torch.set_grad_enabled(gradients):
            yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def look(
    networks: Networks,
    learnt: Learnt,
    examples: Examples,
    rgb: NDArray[np.uint8],
    query: Embedding,
    settings: Settings,
    clock: Clock,
) -> Generator[Progress, None, Maps]:
    """Let both models look at an embedded image: confidence map, in-context model, boxes, SAM."""
    yield Progress("icl", "Comparing with the examples")
    with clock.step("icl"):
        confidence = learnt.probe.confidence(query)
        seen = segment_in_context(networks, learnt.reference, examples, rgb, query, confidence, settings)
        boxes = find_boxes(seen.closer, rgb.shape[:2], settings)
    yield Progress("sam", "Refining the outlines")
    with clock.step("sam"):
        sam = refine_with_sam(networks, query, seen.closer, confidence, boxes, settings)
    return Maps(confidence, seen.closer, sam, boxes, seen.alone)


def learn(networks: Networks, examples: Examples, settings: Settings, first: Reference | None = None) -> Learnt:
    """Fit the probe, and let the in-context model read the examples, as far as a ``first`` look has not done it."""
    masks = [examples.masks(pair) for pair in range(len(examples.support))]
    probe = fit_probe(examples.embeddings, masks, settings)
    if len(examples.support) > settings.max_examples:
        return Learnt(probe, None)
    reference = first or refer(networks, examples, settings)
    return Learnt(probe, refer_closer(networks, reference, examples, settings))


def find_boxes(probabilities: Tensor, size: tuple[int, int], settings: Settings) -> tuple[NDArray[np.int64], ...]:
    """Return the box prompts of each label from probabilities (L, 1, h, w), in pixels of the image."""
    masks = (resize(probabilities, size)[:, 0] > 0.5).cpu().numpy()
    found = []
    for mask in masks:
        opened = open_until_shrunk(mask)
        if settings.mode == "auto" and not opened.any():  # too thin for the opening, not too thin for a box
            opened = mask
        found.append(boxes_of(opened, settings.min_component, settings.max_boxes))
    return tuple(found)


def refine_with_sam(
    networks: Networks,
    query: Embedding,
    icl: Tensor,
    confidence: Tensor,
    boxes: Sequence[NDArray[np.int64]],
    settings: Settings,
) -> Tensor:
    """Return SAM's logits of each label on the image, (L, 1, H, W), all boxes of all labels decoded together."""
    frame, size = query.frame, (query.frame.height, query.frame.width)
    owner = torch.tensor([label for label, found in enumerate(boxes) for _ in found], dtype=torch.long)
    sam = icl.new_full((len(boxes), 1, *size), -1.0)
    if not len(owner) or not settings.use_sam:
        return sam
    owner = owner.to(icl.device)
    prompts = frame.boxes_to_square(np.concatenate(boxes)).to(icl.device)
    bias = sam_bias(confidence, frame, networks.promptable.grid, settings)[owner]
    masks = None
    if settings.mode == "auto" and settings.mask_prompt:
        masks = mask_prompts(icl, query, prompts, owner, side=4 * networks.promptable.grid)
    logits = networks.decode(query, prompts, bias, masks)
    for label in range(len(boxes)):
        for one in logits[owner == label]:
            there = frame.logits_to_image(one[None, None])
            first = bool((sam[label] == -1).all())
            sam[label] = there[0] if first else torch.maximum(sam[label], there[0])
    return sam


def mask_prompts(icl: Tensor, query: Embedding, boxes: Tensor, owner: Tensor, side: int) -> Tensor:
    """Return the in-context model's logits, each within its box: mask prompts (N, 1, side, side) over the square."""
    outside = -_LOGIT_LIMIT
    logits = torch.logit(icl.clamp(1e-4, 1 - 1e-4)).clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT)
    grid = query.frame.image_to_grid(logits - outside, side) + outside
    at = (torch.arange(side, device=icl.device) + 0.5) * query.frame.side / side
    margin = 0.1 * (boxes[:, 2:] - boxes[:, :2]) + query.frame.side / side
    (x0, y0), (x1, y1) = (boxes[:, :2] - margin).T[..., None], (boxes[:, 2:] + margin).T[..., None]
    inside = ((at >= y0) & (at <= y1))[:, :, None] & ((at >= x0) & (at <= x1))[:, None, :]
    return torch.where(inside[:, None], grid[owner], torch.full_like(grid[owner], outside))


_LOGIT_LIMIT = 8.0
