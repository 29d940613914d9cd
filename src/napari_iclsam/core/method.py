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
from torch.nn import functional as F

from napari_iclsam.core.confidence import Probe, fit_probe
from napari_iclsam.core.embeddings import Embedding
from napari_iclsam.core.fusion import icl_guidance, sam_bias
from napari_iclsam.core.geometry import resize, resize_mask
from napari_iclsam.core.networks import Context, Networks
from napari_iclsam.core.prompts import boxes_of, open_until_shrunk
from napari_iclsam.core.results import Progress, Stage
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.support import SupportSet

_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""Axes mirrored in each copy that the in-context model is averaged over."""


@dataclass(frozen=True, slots=True)
class Examples:
    """A support set as the networks see it: 8-bit RGB images and their embeddings, pair by pair."""

    support: SupportSet
    images: tuple[NDArray[np.uint8], ...]
    embeddings: tuple[Embedding, ...]

    def subset(self, pairs: Sequence[int]) -> Examples:
        """Return some of the pairs."""
        return Examples(
            self.support.subset(pairs), tuple(self.images[p] for p in pairs), tuple(self.embeddings[p] for p in pairs)
        )

    def masks(self, pair: int) -> NDArray[np.bool_]:
        """Return the mask of each label in one pair, (L, H, W)."""
        return np.stack([self.support.mask(pair, label) for label in self.support.ids])


@dataclass(frozen=True, slots=True)
class Learnt:
    """What does not depend on the query.

    Attributes
    ----------
    probe : Probe
    icl_size : int
        Side of the in-context model's images.
    contexts : tuple of Context
        Of the in-context model, L tasks each; one a mirrored copy. Empty if each query chooses its own examples.
    """

    probe: Probe
    icl_size: int
    contexts: tuple[Context, ...]


@dataclass(frozen=True, slots=True)
class Maps:
    """What both models say of one query before the fusion, for L labels.

    Attributes
    ----------
    confidence : Tensor, (L, 1, H, W)
        Semantic confidence map.
    icl : Tensor, (L, 1, s, s)
        Probabilities of the in-context model.
    sam : Tensor, (L, 1, H, W)
        Logits of SAM, the maximum over the boxes of a label; -1 where it has none.
    boxes : tuple of ndarray, (n, 4)
        Of each label.
    """

    confidence: Tensor
    icl: Tensor
    sam: Tensor
    boxes: tuple[NDArray[np.int64], ...]


@dataclass(slots=True)
class Clock:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, stage: Stage) -> Iterator[None]:
        """Compute without gradients, and add the time of the block to a stage."""
        start = time.perf_counter()
        with torch.inference_mode():
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
        icl = segment_in_context(networks, learnt, examples, rgb, query, confidence, settings)
        boxes = find_boxes(icl, rgb.shape[:2], settings)
    yield Progress("sam", "Refining the outlines")
    with clock.step("sam"):
        sam = refine_with_sam(networks, query, icl, confidence, boxes, settings)
    return Maps(confidence, icl, sam, boxes)


def learn(
    networks: Networks,
    examples: Examples,
    settings: Settings,
    contexts: tuple[Context, ...] | None = None,
) -> Learnt:
    """Fit the probe, and encode the context if that was not done before."""
    masks = [examples.masks(pair) for pair in range(len(examples.support))]
    probe = fit_probe(examples.embeddings, masks, settings)
    side = networks.icl_size(examples.images)
    if len(examples.support) > settings.max_examples:
        contexts = ()
    elif contexts is None:
        contexts = encode_context(networks, examples, side, settings)
    return Learnt(probe, side, contexts)


def glance(
    networks: Networks, examples: Examples, rgb: NDArray[np.uint8], settings: Settings
) -> tuple[tuple[Context, ...], Tensor]:
    """Segment an image before anything is embedded, by the in-context model alone, without guidance.

    Returns
    -------
    contexts : tuple of Context
        Of the examples, or of ``max_examples`` of them, evenly spread.
    probabilities : Tensor, (L, 1, s, s)
    """
    count = len(examples.support)
    chosen = np.unique(np.linspace(0, count - 1, min(count, settings.max_examples)).round().astype(int)).tolist()
    some = Examples(examples.support.subset(chosen), tuple(examples.images[pair] for pair in chosen), ())
    side = networks.icl_size(examples.images)
    contexts = encode_context(networks, some, side, settings)
    unguided = torch.zeros((len(examples.support.ids), 1, *rgb.shape[:2]), device=networks.device)
    return contexts, _ask(networks, contexts, side, rgb, unguided, settings)


def encode_context(networks: Networks, examples: Examples, side: int, settings: Settings) -> tuple[Context, ...]:
    """Give the support to the in-context model: for each mirrored copy, L tasks of K pairs."""
    images = torch.cat([icl_input(networks, image, side, settings, stretch=True) for image in examples.images])[None]
    masks = torch.stack(
        [torch.cat([resize_mask(m, (side, side)) for m in examples.masks(k)]) for k in range(len(examples.images))],
        dim=1,
    ).to(images.device)
    images = images.expand(len(masks), -1, -1, -1, -1)
    return tuple(networks.encode_support(images.flip(axes), masks.flip(axes)) for axes in _copies(settings))


def icl_input(networks: Networks, rgb: NDArray[np.uint8], side: int, settings: Settings, *, stretch: bool) -> Tensor:
    """Make the in-context model's input of an image, (1, C, s, s); see `Networks.icl_image`."""
    return networks.icl_image(rgb, side, settings.channel, smooth=settings.mode == "auto", stretch=stretch)


def segment_in_context(
    networks: Networks,
    learnt: Learnt,
    examples: Examples,
    rgb: NDArray[np.uint8],
    query: Embedding,
    confidence: Tensor,
    settings: Settings,
) -> Tensor:
    """Return the in-context model's probabilities of each label, (L, 1, s, s), guided by the confidence maps."""
    contexts, pairs = learnt.contexts, len(examples.support)
    if not contexts:
        nearest = most_similar(examples.embeddings, query, settings.max_examples)
        contexts, pairs = encode_context(networks, examples.subset(nearest), learnt.icl_size, settings), len(nearest)
    return _ask(networks, contexts, learnt.icl_size, rgb, icl_guidance(confidence, pairs, settings), settings)


def most_similar(embeddings: Sequence[Embedding], query: Embedding, count: int) -> list[int]:
    """Return which support embeddings are nearest to the query's by the cosine of their means, in order of the set."""
    means = torch.stack([e.frame.crop_grid(e.features.embedding[0]).mean(dim=(-2, -1)) for e in (query, *embeddings)])
    means = F.normalize(means - means[1:].mean(dim=0), dim=1)
    return sorted(torch.topk(means[1:] @ means[0], count).indices.tolist())


def find_boxes(probabilities: Tensor, size: tuple[int, int], settings: Settings) -> tuple[NDArray[np.int64], ...]:
    """Return the box prompts of each label from probabilities (L, 1, s, s), in pixels of the image."""
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


def _ask(
    networks: Networks,
    contexts: Sequence[Context],
    side: int,
    rgb: NDArray[np.uint8],
    guidance: Tensor,
    settings: Settings,
) -> Tensor:
    """Return the in-context model's probabilities of L labels, (L, 1, s, s), the mean over the mirrored copies."""
    image = icl_input(networks, rgb, side, settings, stretch=settings.mode == "auto")
    logits = [
        networks.segment_in_context(
            image.flip(axes).expand(len(guidance), -1, -1, -1), context, guidance.flip(axes)
        ).flip(axes)
        for axes, context in zip(_copies(settings), contexts, strict=True)
    ]
    return torch.sigmoid(torch.stack(logits).mean(dim=0))


def _copies(settings: Settings) -> tuple[tuple[int, ...], ...]:
    return _FLIPS if settings.flips and settings.mode == "auto" else _FLIPS[:1]
