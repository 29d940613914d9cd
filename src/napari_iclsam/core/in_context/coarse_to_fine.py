"""The in-context model's part: one look at the whole image, then closer ones at what it found and what it expects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.encoder.cache import Embedding
from napari_iclsam.core.encoder.runner import Context, Networks, some_tasks
from napari_iclsam.core.fusion.published import icl_guidance
from napari_iclsam.core.fusion.threshold import best_bin, cut_of, histogram
from napari_iclsam.core.images.crops import Region, mean_extent, region_of, share_of, views_of, window_at
from napari_iclsam.core.images.geometry import resize, resize_mask
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.in_context.localisation import Surroundings, expected_places, surroundings_of
from napari_iclsam.core.settings import Settings

_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""Axes mirrored in each copy that the in-context model is averaged over."""

_CLOSER = (2.2, 1.3)
"""Sides of the windows of the closer looks, one after the other, relative to the examples' objects."""

_WHOLE = 0.9
"""Windows larger than this share of the images show nothing new."""

_OUTLINED, _FOUND = (0.03, 0.2), (0.8, 0.8)
"""What masks may lose if they are halved, at a side below the images' own and from there on (`_side`): where the model
outlines them, and where it only has to find them."""

_PART = 0.15
"""A component counts as found if it has this share of the largest one's sum of probabilities."""

_CANVAS = 1024
"""Looks are added up at the size of the image, or smaller, so that its longer side has at most so many pixels."""

_LATTICE = 512
"""What was found is read at every n-th pixel, so that there are at most so many on the longer side."""

Masks = list[NDArray[np.bool_]]
"""Of one label, (H, W) each, pair by pair."""


@dataclass(frozen=True, slots=True)
class Examples:
    """A support set as the networks see it: 8-bit RGB images and their embeddings, pair by pair."""

    support: SupportSet
    images: tuple[NDArray[np.uint8], ...]
    embeddings: tuple[Embedding, ...]

    def subset(self, pairs: Sequence[int]) -> Examples:
        """Return some of the pairs."""
        embeddings = tuple(self.embeddings[p] for p in pairs) if self.embeddings else ()
        return Examples(self.support.subset(pairs), tuple(self.images[p] for p in pairs), embeddings)

    def masks(self, pair: int) -> NDArray[np.bool_]:
        """Return the mask of each label in one pair, (L, H, W)."""
        return np.stack([self.support.mask(pair, label) for label in self.support.ids])

    def masks_by_label(self) -> list[Masks]:
        """Return the mask of each pair, (H, W), label by label."""
        pairs = range(len(self.support))
        return [[self.support.mask(pair, label) for pair in pairs] for label in self.support.ids]


@dataclass(frozen=True, slots=True)
class CloserLook:
    """What the in-context model makes of windows of the examples, about their objects.

    Attributes
    ----------
    extents : mapping of int to float
        By index of a label whose objects are small enough: the side of its windows, as a share of the image's.
    side : int
        Of the in-context model's images.
    contexts : tuple of Context
        One task for each of these labels; one a mirrored copy.
    """

    extents: Mapping[int, float]
    side: int
    contexts: tuple[Context, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """What the in-context model computes of a support set alone.

    Attributes
    ----------
    side : int
        Of its images at the first look.
    contexts : tuple of Context
        Of the whole images, L tasks each; one a mirrored copy.
    closer : tuple of CloserLook
        In the order of looking.
    surroundings : mapping of int to Surroundings
        By index of a label that has closer looks.
    """

    side: int
    contexts: tuple[Context, ...]
    closer: tuple[CloserLook, ...] = ()
    surroundings: Mapping[int, Surroundings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """Probabilities of L labels in a query by the in-context model.

    Attributes
    ----------
    alone : Tensor, (L, 1, s, s)
        By its look at the whole image.
    closer : Tensor, (L, 1, h, w)
        By all its looks.
    """

    alone: Tensor
    closer: Tensor


def most_similar(embeddings: Sequence[Embedding], query: Embedding, count: int) -> list[int]:
    """Return which support embeddings are nearest to the query's by the cosine of their means, in order of the set."""
    means = torch.stack([e.frame.crop_grid(e.features.embedding[0]).mean(dim=(-2, -1)) for e in (query, *embeddings)])
    means = F.normalize(means - means[1:].mean(dim=0), dim=1)
    return sorted(torch.topk(means[1:] @ means[0], count).indices.tolist())


def refer(networks: Networks, examples: Examples, settings: Settings) -> Reference:
    """Give whole images of the support to the in-context model: for each mirrored copy, L tasks of K pairs."""
    masks = examples.masks_by_label()
    side = first_side(networks.icl.image_sizes, masks, settings)
    images = torch.cat([icl_input(networks, image, side, settings, stretch=True) for image in examples.images])[None]
    return Reference(side, _encode(networks, images.expand(len(masks), -1, -1, -1, -1), masks, settings))


def first_side(sides: Sequence[int], masks: Sequence[Masks], settings: Settings) -> int:
    """Return at which of a model's sides whole images are seen, given the masks of each label in each."""
    if settings.mode == "paper":
        return nearest_side(sides, [(mask.shape[0], mask.shape[1]) for by_pair in masks for mask in by_pair])
    closer = _extents(_regions(masks), _CLOSER[-1], settings)
    return _side(sides, masks, [_FOUND if label in closer else _OUTLINED for label in range(len(masks))])


def nearest_side(sides: Sequence[int], shapes: Sequence[tuple[int, int]]) -> int:
    """Return which of an in-context model's sides is nearest to the largest of a task's images (H, W).

    By ratio; the size of an image of H x W is sqrt(H W), as it will be resized to a square.
    """
    pixels = max(height * width for height, width in shapes)
    return min(sides, key=lambda side: abs(math.log(side * side / pixels)))


def _side(sides: Sequence[int], masks: Sequence[Masks], limits: Sequence[tuple[float, float]]) -> int:
    """Return the smallest side of the model's images that is enough for masks.

    It is at most one step below their own size, the nearest that the model has, and at most twice that. The largest
    that the model has is for thin things alone, and nothing's own size.

    Parameters
    ----------
    sides : sequence of int
    masks : sequence of Masks
        Label by label; of images, or of windows of them.
    limits : sequence of (float, float)
        Of each label: what may be lost at a side below the masks' own, and from it on.
    """
    sides = sorted(sides)
    own = nearest_side(sides[:-1] or sides, [(mask.shape[0], mask.shape[1]) for by_pair in masks for mask in by_pair])
    allowed = [side for side in sides[max(0, sides.index(own) - 1) :] if side <= 2 * own]

    def suffices(side: int) -> bool:
        lost = (_lost_by_halving(by_pair, side) for by_pair in masks)
        return all(share <= limit[side >= own] for share, limit in zip(lost, limits, strict=True))

    return next((side for side in allowed if suffices(side)), allowed[-1])


def _lost_by_halving(masks: Masks, side: int) -> float:
    """Return how much of masks at a side, relative to their area, changes if they are made half as large and back."""
    known = [resize_mask(mask, (side, side)) for mask in masks if mask.any()]
    if not known:
        return 0.0
    shown = torch.cat(known)
    return float((resize(F.avg_pool2d(shown, 2), (side, side)) - shown).abs().sum() / shown.sum().clamp_min(1))


def refer_closer(networks: Networks, reference: Reference, examples: Examples, settings: Settings) -> Reference:
    """Add windows of the support to a reference, for the closer looks.

    The last of them is at the size that its masks need, the other one, which only prepares it, at the smallest.
    """
    looks = []
    masks, sides = examples.masks_by_label(), networks.icl.image_sizes
    regions = _regions(masks)
    for factor in _CLOSER:
        if extents := _extents(regions, factor, settings):
            windows = [_windows(examples.images, masks[n], regions[n], extent) for n, extent in extents.items()]
            inside = [[mask for _, mask in own] for own in windows]
            last = factor == _CLOSER[-1]
            side = _side(sides, inside, [_OUTLINED] * len(inside)) if last else min(sides)
            images = [[icl_input(networks, rgb, side, settings, stretch=True) for rgb, _ in own] for own in windows]
            contexts = _encode(networks, torch.stack([torch.cat(own) for own in images]), inside, settings)
            looks.append(CloserLook(extents, side, contexts))
    labels = sorted({label for look in looks for label in look.extents})
    surroundings = {label: surroundings_of(examples.embeddings, regions[label]) for label in labels}
    return replace(reference, closer=tuple(looks), surroundings=surroundings)


def _regions(masks: Sequence[Masks]) -> list[list[Region | None]]:
    """Return where each label lies in each pair."""
    return [[region_of(mask) for mask in own] for own in masks]


def _extents(regions: Sequence[Sequence[Region | None]], factor: float, settings: Settings) -> dict[int, float]:
    """Return how large windows are to be, for the labels whose windows are smaller than the images."""
    if settings.mode == "paper" or not settings.closer_looks:
        return {}
    extents = {}
    for label, own in enumerate(regions):
        known = [region for region in own if region]
        if known:
            extent = factor * mean_extent(known)
            if sum(share_of(extent, region) for region in known) <= _WHOLE * len(known):
                extents[label] = extent
    return extents


def _windows(
    images: Sequence[NDArray[np.uint8]], masks: Masks, regions: Sequence[Region | None], extent: float
) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Return windows about a label, of image and mask of each pair, at their own sizes.

    Where an example does not hold the label, the window is where the label is in the others.
    """
    known = [region for region in regions if region]
    row, column = (float(np.mean([getattr(region, axis) for region in known])) for axis in ("row", "column"))
    windows = []
    for rgb, mask, region in zip(images, masks, regions, strict=True):
        place = region or Region(row, column, 0.0)
        window = window_at(place.row, place.column, share_of(extent, region), (mask.shape[0], mask.shape[1]))
        windows.append((rgb[window], mask[window]))
    return windows


def _encode(networks: Networks, images: Tensor, masks: Sequence[Masks], settings: Settings) -> tuple[Context, ...]:
    """Give T support sets (T, K, C, s, s) and their masks, of any size, to the network, for each mirrored copy."""
    side = images.shape[-2], images.shape[-1]
    small = torch.stack([torch.cat([resize_mask(mask, side) for mask in own]) for own in masks]).to(images.device)
    return tuple(networks.encode_support(images.flip(axes), small.flip(axes)) for axes in _copies(settings))


def _ask(
    networks: Networks, contexts: Sequence[Context], images: Tensor, guidance: Tensor, settings: Settings
) -> Tensor:
    """Return the logits of T tasks in an image each (T, C, s, s): (T, 1, s, s), the mean over the mirrored copies."""
    logits = [
        networks.segment_in_context(images.flip(axes), context, guidance.flip(axes)).flip(axes)
        for axes, context in zip(_copies(settings), contexts, strict=True)
    ]
    return torch.stack(logits).mean(dim=0)


def icl_input(networks: Networks, rgb: NDArray[np.uint8], side: int, settings: Settings, *, stretch: bool) -> Tensor:
    """Make the in-context model's input of an image, (1, C, s, s); see `Networks.icl_image`."""
    return networks.icl_image(rgb, side, settings.channel, smooth=settings.mode == "auto", stretch=stretch)


def glance(
    networks: Networks, examples: Examples, rgb: NDArray[np.uint8], settings: Settings
) -> tuple[Reference, Tensor]:
    """Segment an image before anything is embedded: one look at the whole of it, without guidance.

    Returns
    -------
    reference : Reference
        Of the examples, or of ``max_examples`` of them, evenly spread.
    probabilities : Tensor, (L, 1, s, s)
    """
    count = len(examples.support)
    chosen = np.unique(np.linspace(0, count - 1, min(count, settings.max_examples)).round().astype(int)).tolist()
    reference = refer(networks, examples.subset(chosen), settings)
    unguided = torch.zeros((len(examples.support.ids), 1, *rgb.shape[:2]), device=networks.device)
    return reference, torch.sigmoid(_first_look(networks, reference, rgb, unguided, settings))


def segment_in_context(
    networks: Networks,
    reference: Reference | None,
    examples: Examples,
    rgb: NDArray[np.uint8],
    query: Embedding,
    confidence: Tensor,
    settings: Settings,
) -> Seen:
    """Let the in-context model look at a query, guided by the confidence maps (L, 1, H, W).

    Without a reference, the examples that are most similar to the query make one.
    """
    pairs = len(examples.support)
    if reference is None:
        nearest = most_similar(examples.embeddings, query, settings.max_examples)
        some, pairs = examples.subset(nearest), len(nearest)
        reference = refer_closer(networks, refer(networks, some, settings), some, settings)
    guidance = icl_guidance(confidence, pairs, settings)
    logits = _first_look(networks, reference, rgb, guidance, settings)
    alone = torch.sigmoid(logits)
    if not reference.closer:
        return Seen(alone, alone)
    expected = expected_places(reference.surroundings, query)
    closer = _look_closer(networks, reference, rgb, logits, guidance, expected, settings)
    return Seen(alone, torch.sigmoid(closer))


def _first_look(
    networks: Networks, reference: Reference, rgb: NDArray[np.uint8], guidance: Tensor, settings: Settings
) -> Tensor:
    """Return the logits of L labels in the whole image, (L, 1, s, s)."""
    image = icl_input(networks, rgb, reference.side, settings, stretch=settings.mode == "auto")
    return _ask(networks, reference.contexts, image.expand(len(guidance), -1, -1, -1), guidance, settings)


def _look_closer(
    networks: Networks,
    reference: Reference,
    rgb: NDArray[np.uint8],
    logits: Tensor,
    guidance: Tensor,
    expected: Mapping[int, Region],
    settings: Settings,
) -> Tensor:
    """Return the mean logits of all looks, (L, 1, h, w): what is found and what is expected tell where to look next."""
    shape = (rgb.shape[0], rgb.shape[1])
    scale = min(1.0, _CANVAS / max(shape))
    canvas = max(1, round(scale * shape[0])), max(1, round(scale * shape[1]))
    total = resize(logits, canvas).clone()
    times = torch.ones_like(total)
    for look in reference.closer:
        views = {}
        for label, extent in look.extents.items():
            found = _found(total[label, 0] / times[label, 0])
            views[label] = views_of(extent, found, expected[label], reliable=reference.surroundings[label].reliable)
        for turn in range(max(map(len, views.values()))):
            there = {label: own[turn] for label, own in views.items() if turn < len(own)}
            tasks = [index for index, label in enumerate(look.extents) if label in there]
            contexts = [some_tasks(context, tasks) if len(tasks) < len(views) else context for context in look.contexts]
            images, guides = [], []
            for label, view in there.items():
                window = window_at(*view, shape)
                images.append(icl_input(networks, rgb[window], look.side, settings, stretch=True))
                guides.append(resize(guidance[label : label + 1][(..., *window)], (look.side, look.side)))
            answers = _ask(networks, contexts, torch.cat(images), torch.cat(guides), settings)
            for (label, view), answer in zip(there.items(), answers, strict=True):
                window = window_at(*view, canvas)
                part = total[label][(..., *window)]
                part += resize(answer[None], (part.shape[-2], part.shape[-1]))[0]
                times[label][(..., *window)] += 1
    return total / times


def _found(logits: Tensor) -> Region | None:
    """Return where logits (h, w) show something, but for small parts of it; None if they show nothing."""
    step = math.ceil(max(logits.shape) / _LATTICE)
    logits = logits[step // 2 :: step, step // 2 :: step]
    mask = (logits >= cut_of(best_bin(histogram(logits.flatten()[None])))).cpu().numpy()
    components, _ = ndimage.label(mask)
    sums = np.bincount(components.ravel(), (torch.sigmoid(logits).cpu().numpy() * mask).ravel())
    return region_of(mask & (sums >= _PART * sums.max())[components])


def _copies(settings: Settings) -> tuple[tuple[int, ...], ...]:
    return _FLIPS if settings.flips and settings.mode == "auto" else _FLIPS[:1]
