"""The in-context model, coarse to fine: the full image, then crops of found and expected places."""

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

from napari_iclsam.core.encoder.embedding import EmbeddedImage, Embedding
from napari_iclsam.core.encoder.examples import Examples, Masks
from napari_iclsam.core.fusion.threshold import best_bin, histogram, lower_edge
from napari_iclsam.core.images.crops import (
    Crop,
    Region,
    crop_size,
    find_region,
    mean_size,
    plan_crops,
)
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.in_context.localisation import ObjectTemplate, fit_template, localise
from napari_iclsam.core.in_context.resolution import (
    FIND,
    OUTLINE,
    nearest_size,
    shapes_of,
    smallest_sufficient_size,
)
from napari_iclsam.core.in_context.runner import Context, InContextRunner, select_tasks
from napari_iclsam.core.recipe import Recipe
from napari_iclsam.core.steps import evenly_spaced

_CROP_FACTORS = (2.2, 1.3)
"""Sizes of the crops, stage after stage, relative to the examples' objects."""

_FULL = 0.9
"""Crops larger than this part of the images show nothing new."""

_COMPONENT = 0.15
"""A component counts as found if it has this share of the largest one's sum of probabilities."""

_CANVAS = 1024
"""Logits are summed at the size of the image, or smaller, so that its longer side has at most so
many pixels."""

_LATTICE = 512
"""What was found is read at every n-th pixel, so that there are at most so many on the longer
side."""


@dataclass(frozen=True, slots=True)
class CropStage:
    """Crops of the support around its objects, encoded.

    Attributes
    ----------
    sizes : mapping of int to float
        By index of a label whose objects are small enough: relative size of its crops.
    side : int
        Input size of the model.
    contexts : tuple of Context
        One task for each of these labels; one for each mirrored copy.
    """

    sizes: Mapping[int, float]
    side: int
    contexts: tuple[Context, ...]

    def contexts_of(self, labels: Sequence[int]) -> list[Context]:
        """Return the contexts of some of its labels."""
        if len(labels) == len(self.sizes):
            return list(self.contexts)
        tasks = [task for task, label in enumerate(self.sizes) if label in labels]
        return [select_tasks(context, tasks) for context in self.contexts]


@dataclass(frozen=True, slots=True)
class EncodedSupport:
    """What the in-context model computes of a support set alone.

    Attributes
    ----------
    side : int
        Input size at the full-image stage.
    contexts : tuple of Context
        Of the full images, L tasks each; one for each mirrored copy.
    crop_stages : tuple of CropStage
        In their order.
    templates : mapping of int to ObjectTemplate
        By index of a label that has crops.
    """

    side: int
    contexts: tuple[Context, ...]
    crop_stages: tuple[CropStage, ...] = ()
    templates: Mapping[int, ObjectTemplate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InContextOutput:
    """Probabilities of L labels in a query.

    Attributes
    ----------
    full_image : Tensor, (L, 1, s, s)
        Of the full-image stage.
    probabilities : Tensor, (L, 1, h, w)
        Of all stages.
    """

    full_image: Tensor
    probabilities: Tensor


def encode_full_images(runner: InContextRunner, examples: Examples) -> EncodedSupport:
    """Encode the full images of a support set, as L tasks of K pairs."""
    masks = examples.masks_by_label()
    side = full_image_side(
        runner.network.image_sizes,
        masks,
        runner.recipe,
    )
    inputs = [runner.input_of(image, side) for image in examples.images]
    images = torch.cat(inputs)[None]
    images = images.expand(len(masks), -1, -1, -1, -1)
    return EncodedSupport(side, runner.encode_support(images, masks))


def full_image_side(sizes: Sequence[int], masks: Sequence[Masks], recipe: Recipe) -> int:
    """Return the input size for full images, given the masks of each label in each image."""
    if recipe.input_size == "nearest":
        return nearest_size(sizes, shapes_of(masks))
    cropped = _crop_sizes(
        _regions(masks),
        _CROP_FACTORS[-1],
        recipe,
    )
    # what crops outline later needs only to be found here, so that a smaller and faster input
    # will do
    losses = []
    for label in range(len(masks)):
        losses.append(FIND if label in cropped else OUTLINE)
    return smallest_sufficient_size(sizes, masks, losses)


def encode_crops(
    runner: InContextRunner, encoded: EncodedSupport, examples: Examples
) -> EncodedSupport:
    """Add crops around the objects of the support set, and templates of the objects."""
    masks = examples.masks_by_label()
    regions = _regions(masks)
    stages = []
    for factor in _CROP_FACTORS:
        sizes = _crop_sizes(regions, factor, runner.recipe)
        if sizes:
            crops = {}
            for label, size in sizes.items():
                crops[label] = _support_crops(
                    examples,
                    masks[label],
                    regions[label],
                    size,
                )
            stages.append(
                _encode_stage(
                    runner,
                    sizes,
                    crops,
                    last=factor == _CROP_FACTORS[-1],
                )
            )
    labels: set[int] = set()
    for stage in stages:
        labels.update(stage.sizes)
    embeddings = examples.of_expert(0)
    templates = {label: fit_template(embeddings, regions[label]) for label in sorted(labels)}
    return replace(
        encoded,
        crop_stages=tuple(stages),
        templates=templates,
    )


def preview(
    runner: InContextRunner, examples: Examples, rgb: NDArray[np.uint8]
) -> tuple[EncodedSupport, Tensor]:
    """Segment an image before anything is embedded, by the full-image stage without guidance.

    Returns
    -------
    encoded : EncodedSupport
        Of the examples, or of ``max_examples`` of them, evenly spaced.
    probabilities : Tensor, (L, 1, s, s)
    """
    chosen = evenly_spaced(len(examples), runner.recipe.max_examples)
    encoded = encode_full_images(runner, examples.subset(chosen))
    # guidance comes from embeddings, for which a preview does not wait
    labels = len(examples.support.ids)
    unguided = torch.zeros((labels, 1, *rgb.shape[:2]), device=runner.device)
    return encoded, torch.sigmoid(_segment_full_image(runner, encoded, rgb, unguided))


def segment_in_context(
    runner: InContextRunner, encoded: EncodedSupport, query: EmbeddedImage, guidance: Tensor
) -> InContextOutput:
    """Segment a query: its full image, then crops where something was found or is expected.

    Parameters
    ----------
    runner : InContextRunner
    encoded : EncodedSupport
    query : EmbeddedImage
    guidance : Tensor, (L, 1, H, W)
        Of `napari_iclsam.core.refinement.guidance.in_context_guidance`.
    """
    logits = _segment_full_image(runner, encoded, query.rgb, guidance)
    full_image = torch.sigmoid(logits)
    if not encoded.crop_stages:
        return InContextOutput(full_image, full_image)
    refined = _segment_crops(runner, encoded, query, logits, guidance)
    return InContextOutput(full_image, torch.sigmoid(refined))


def nearest_examples(examples: Examples, query: Embedding, count: int) -> Examples:
    """Return the examples whose embeddings are most similar to the query's, in the set's order.

    Similarity is the cosine of their means over the image, less the mean of the support.
    """
    embeddings = (query, *examples.of_expert(0))
    of_each = [embedding.cells.mean(dim=(-2, -1)) for embedding in embeddings]
    means = torch.stack(of_each)
    # what all images share says nothing of which are alike
    directions = F.normalize(means - means[1:].mean(dim=0), dim=1)
    similarities = directions[1:] @ directions[0]
    # in the order of the set, so that equal choices give equal sums
    return examples.subset(sorted(torch.topk(similarities, count).indices.tolist()))


def encode_support(
    runner: InContextRunner, examples: Examples, encoded: EncodedSupport | None = None
) -> EncodedSupport:
    """Encode full images and crops of a support set that were not ``encoded`` for a preview."""
    if encoded is None:
        encoded = encode_full_images(runner, examples)
    return encode_crops(runner, encoded, examples)


def _regions(masks: Sequence[Masks]) -> list[list[Region | None]]:
    """Return where each label lies in each pair."""
    regions = []
    for of_label in masks:
        regions.append([find_region(mask) for mask in of_label])
    return regions


def _crop_sizes(
    regions: Sequence[Sequence[Region | None]], factor: float, recipe: Recipe
) -> dict[int, float]:
    """Return the relative crop sizes of those labels whose crops are smaller than the images."""
    if not recipe.coarse_to_fine:
        return {}
    sizes = {}
    for label, of_label in enumerate(regions):
        known = [region for region in of_label if region]
        if not known:
            continue
        size = factor * mean_size(known)
        # crops of nearly the whole image cost a run and show nothing new
        crop_sizes = [crop_size(size, region) for region in known]
        if sum(crop_sizes) <= _FULL * len(known):
            sizes[label] = size
    return sizes


@dataclass(frozen=True, slots=True)
class _SupportCrop:
    """Image (h, w, 3) and mask (h, w) of a crop, at their own size."""

    rgb: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def _support_crops(
    examples: Examples, masks: Masks, regions: Sequence[Region | None], size: float
) -> list[_SupportCrop]:
    """Crop each pair around a label.

    An example without it is cropped where it lies in the others.
    """
    known = [region for region in regions if region]
    row = float(np.mean([region.row for region in known]))
    column = float(np.mean([region.column for region in known]))
    crops = []
    for rgb, mask, region in zip(examples.images, masks, regions, strict=True):
        # an example without the label shows what its usual place looks like without it
        center = region or Region(row, column, 0.0)
        crop = Crop(
            center.row,
            center.column,
            crop_size(size, region),
        )
        inside = crop.slices((mask.shape[0], mask.shape[1]))
        crops.append(_SupportCrop(rgb[inside], mask[inside]))
    return crops


def _encode_stage(
    runner: InContextRunner,
    sizes: Mapping[int, float],
    crops: Mapping[int, list[_SupportCrop]],
    *,
    last: bool,
) -> CropStage:
    """Encode the crops of a stage.

    The last stage has the size that its masks need, a stage that prepares it the smallest.
    """
    masks = [[crop.mask for crop in of_label] for of_label in crops.values()]
    # a stage that only prepares the next needs no detail
    side = min(runner.network.image_sizes)
    if last:
        side = smallest_sufficient_size(
            runner.network.image_sizes,
            masks,
            [OUTLINE] * len(masks),
        )
    images = []
    for of_label in crops.values():
        inputs = [runner.input_of(crop.rgb, side) for crop in of_label]
        images.append(torch.cat(inputs))
    return CropStage(
        sizes,
        side,
        runner.encode_support(torch.stack(images), masks),
    )


def _segment_full_image(
    runner: InContextRunner, encoded: EncodedSupport, rgb: NDArray[np.uint8], guidance: Tensor
) -> Tensor:
    """Return the logits of L labels in the full image, (L, 1, s, s)."""
    # one image for all labels, which differ by their masks and their guidance
    image = runner.input_of(
        rgb,
        encoded.side,
        rescale=runner.recipe.rescale_query,
    )
    images = image.expand(len(guidance), -1, -1, -1)
    return runner.segment(encoded.contexts, images, guidance)


class _LogitSum:
    """Sum of the logits of full image and crops, and how many of them there are at each pixel.

    Attributes
    ----------
    total, count : Tensor, (L, 1, h, w)
    """

    def __init__(self, full_image: Tensor, shape: tuple[int, int]) -> None:
        scale = min(1.0, _CANVAS / max(shape))
        height = max(1, round(scale * shape[0]))
        width = max(1, round(scale * shape[1]))
        # a copy, since the sum grows in place and the logits are used again
        self.total = resize(full_image, (height, width)).clone()
        # the full image covers each pixel once, so that no division by zero is possible
        self.count = torch.ones_like(self.total)

    def add(self, label: int, crop: Crop, logits: Tensor) -> None:
        """Add the logits (1, s, s) of a crop."""
        height, width = self.total.shape[-2:]
        rows, columns = crop.slices((height, width))
        part = self.total[label, :, rows, columns]
        size = (part.shape[-2], part.shape[-1])
        part += resize(logits[None], size)[0]
        self.count[label, :, rows, columns] += 1

    def mean(self) -> Tensor:
        """Return the mean logits, (L, 1, h, w)."""
        return self.total / self.count

    def mean_of(self, label: int) -> Tensor:
        """Return the mean logits of a label, (h, w)."""
        return self.total[label, 0] / self.count[label, 0]


def _segment_crops(
    runner: InContextRunner,
    encoded: EncodedSupport,
    query: EmbeddedImage,
    logits: Tensor,
    guidance: Tensor,
) -> Tensor:
    """Return the mean logits of all stages, (L, 1, h, w)."""
    expected = localise(encoded.templates, query.embedding)
    logit_sum = _LogitSum(logits, query.shape)
    for stage in encoded.crop_stages:
        planned = {}
        for label, size in stage.sizes.items():
            # of all stages so far, so that the second stage builds on the first
            found = find_foreground(logit_sum.mean_of(label))
            reliable = encoded.templates[label].reliable
            planned[label] = plan_crops(
                size,
                found,
                expected[label],
                reliable=reliable,
            )
        for crops in _by_turn(planned):
            segmented = _segment_turn(runner, stage, query, crops, guidance)
            for (label, crop), crop_logits in zip(crops.items(), segmented, strict=True):
                logit_sum.add(label, crop, crop_logits)
    return logit_sum.mean()


def _by_turn(planned: Mapping[int, list[Crop]]) -> list[dict[int, Crop]]:
    """Regroup the crops of each label: the first of all labels, then the second if any."""
    turns = []
    for turn in range(max(map(len, planned.values()))):
        of_turn = {}
        for label, crops in planned.items():
            if turn < len(crops):
                of_turn[label] = crops[turn]
        turns.append(of_turn)
    return turns


def _segment_turn(
    runner: InContextRunner,
    stage: CropStage,
    query: EmbeddedImage,
    crops: Mapping[int, Crop],
    guidance: Tensor,
) -> Tensor:
    """Segment one crop for each of some labels, in one call: logits (n, 1, s, s)."""
    size = (stage.side, stage.side)
    images = []
    guides = []
    for label, crop in crops.items():
        rows, columns = crop.slices(query.shape)
        images.append(runner.input_of(query.rgb[rows, columns], stage.side))
        guides.append(resize(guidance[label : label + 1, :, rows, columns], size))
    contexts = stage.contexts_of(list(crops))
    return runner.segment(
        contexts,
        torch.cat(images),
        torch.cat(guides),
    )


def find_foreground(logits: Tensor) -> Region | None:
    """Return where logits (h, w) show foreground, without small components; None if nowhere."""
    # components are found on the CPU, where large images take long, and a box needs no single
    # pixels
    step = math.ceil(max(logits.shape) / _LATTICE)
    sampled = logits[step // 2 :: step, step // 2 :: step]
    counts = histogram(sampled.flatten()[None])
    threshold = lower_edge(best_bin(counts))
    mask = (sampled >= threshold).cpu().numpy()
    components, _ = ndimage.label(mask)
    probabilities = torch.sigmoid(sampled).cpu().numpy() * mask
    # by probability and not by area: a large, doubtful component is no reason to move a crop
    sums = np.bincount(components.ravel(), probabilities.ravel())
    is_large = sums >= _COMPONENT * sums.max()
    large = is_large[components]
    return find_region(mask & large)
