"""The in-context model, coarse to fine: the full image, then crops of found and expected places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.encoder.embedding import EmbeddedImage
from napari_iclsam.core.encoder.examples import Examples, Masks
from napari_iclsam.core.images.crops import (
    Crop,
    Region,
    crop_size,
    crop_sizes,
    find_region,
    plan_crops,
)
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.in_context.localisation import ObjectTemplate, fit_template, localise
from napari_iclsam.core.in_context.logit_sum import LogitSum, find_foreground
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

_SIMILARITY = 0.35
"""Weight of the features of promptable models in the full image. See training/README.md."""

_FULL = 0.9
"""Crops larger than this part of the images show nothing new."""

_FULL_IN_STACKS = 0.7
"""The same in stacks, whose planes tell of each other. See benchmarks/RESULTS.md."""


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
    # the same images for all labels, which differ by their masks
    images = torch.cat(inputs)[None]
    return EncodedSupport(side, runner.encode_support(images, masks))


def full_image_side(sizes: Sequence[int], masks: Sequence[Masks], recipe: Recipe) -> int:
    """Return the input size for full images, given the masks of each label in each image."""
    if recipe.input_size == "nearest":
        return nearest_size(sizes, shapes_of(masks))
    if recipe.input_size == "smallest":
        return min(sizes)
    cropped = _crop_sizes(_regions(masks), _CROP_FACTORS[-1], recipe)
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
    encoded = encode_full_images(runner, examples.subset(chosen).without_unknown())
    # guidance comes from embeddings, for which a preview does not wait
    labels = len(examples.support.ids)
    unguided = torch.zeros((labels, 1, *rgb.shape[:2]), device=runner.device)
    return encoded, torch.sigmoid(_segment_full_image(runner, encoded, rgb, unguided))


def segment_in_context(
    runner: InContextRunner,
    encoded: EncodedSupport,
    query: EmbeddedImage,
    guidance: Tensor,
    similarity: Tensor | None = None,
) -> InContextOutput:
    """Segment a query: its full image, then crops where something was found or is expected.

    Parameters
    ----------
    runner : InContextRunner
    encoded : EncodedSupport
    query : EmbeddedImage
    guidance : Tensor, (L, 1, H, W)
        Of `napari_iclsam.core.refinement.guidance.in_context_guidance`.
    similarity : Tensor, (L, 1, H, W), optional
        Log-odds by `napari_iclsam.core.refinement.similarity`.
    """
    logits = _segment_full_image(runner, encoded, query.rgb, guidance)
    if similarity is not None:
        logits = torch.lerp(logits, resize(similarity, (encoded.side,) * 2), _SIMILARITY)
    full_image = torch.sigmoid(logits)
    if not encoded.crop_stages:
        return InContextOutput(full_image, full_image)
    refined = _segment_crops(runner, encoded, query, logits, guidance)
    return InContextOutput(full_image, torch.sigmoid(refined))


def encode_support(
    runner: InContextRunner, examples: Examples, encoded: EncodedSupport | None = None
) -> EncodedSupport:
    """Encode full images and crops of a support set that were not ``encoded`` for a preview."""
    shown = examples.without_unknown()
    if encoded is None:
        encoded = encode_full_images(runner, shown)
    return encode_crops(runner, encoded, shown)


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
    return crop_sizes(regions, factor, _FULL_IN_STACKS if recipe.sparing else _FULL)


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
    image = runner.input_of(rgb, encoded.side, rescale=runner.recipe.rescale_query)
    return runner.segment(encoded.contexts, image, guidance)


def _segment_crops(
    runner: InContextRunner,
    encoded: EncodedSupport,
    query: EmbeddedImage,
    logits: Tensor,
    guidance: Tensor,
) -> Tensor:
    """Return the mean logits of all stages, (L, 1, h, w)."""
    expected = localise(encoded.templates, query.embedding)
    logit_sum = LogitSum(logits, query.shape)
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
