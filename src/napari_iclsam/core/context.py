"""The fitted context of a task: both models and what they learn from the support set."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.encoder.embedding import EmbeddedImage
from napari_iclsam.core.encoder.examples import Examples
from napari_iclsam.core.encoder.experts import Experts
from napari_iclsam.core.fusion.outputs import ExpertOutput, StageOutputs
from napari_iclsam.core.in_context.coarse_to_fine import (
    EncodedSupport,
    InContextOutput,
    encode_support,
    segment_in_context,
)
from napari_iclsam.core.in_context.nearest import nearest_examples
from napari_iclsam.core.in_context.runner import InContextRunner
from napari_iclsam.core.inference import StageTimer
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.recipe import Recipe
from napari_iclsam.core.refinement.guidance import in_context_guidance
from napari_iclsam.core.refinement.pixel_classifier import (
    PixelClassifier,
    PixelSamples,
    fit_pixel_classifier,
)
from napari_iclsam.core.refinement.probe import Probe, fit_probe, mean_similarity
from napari_iclsam.core.refinement.prompts import find_boxes
from napari_iclsam.core.refinement.sam import refine_with_sam


@dataclass(frozen=True, slots=True)
class Runners:
    """Both models on their device.

    Attributes
    ----------
    experts : Experts
        Promptable models.
    in_context : InContextRunner
    recipe : Recipe
    """

    experts: Experts
    in_context: InContextRunner
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class FittedContext:
    """What does not depend on the query.

    Attributes
    ----------
    runners : Runners
    examples : Examples
    probes : tuple of Probe
        One a promptable model.
    encoded : EncodedSupport, optional
        None if there are more examples than the in-context model is shown: each query chooses its
        own.
    pixels : PixelClassifier, optional
        None if none is used.
    is_empty : callable, optional
        Tells tiles (H, W, 3) that hold nothing, if the examples are tiles.
    """

    runners: Runners
    examples: Examples
    probes: tuple[Probe, ...]
    encoded: EncodedSupport | None
    pixels: PixelClassifier | None = None
    is_empty: Callable[[NDArray[np.uint8]], bool] | None = None


def fit_context(
    runners: Runners,
    examples: Examples,
    encoded: EncodedSupport | None = None,
    samples: PixelSamples | None = None,
) -> FittedContext:
    """Fit what depends on the support set alone.

    Parameters
    ----------
    runners : Runners
    examples : Examples
    encoded : EncodedSupport, optional
        The support set, as far as it was encoded for a preview.
    samples : PixelSamples, optional
        Of the examples; without them, no pixel classifier is used.
    """
    masks = examples.all_masks()
    known = examples.known()
    probes = tuple(
        fit_probe(examples.of_expert(expert), masks, runners.recipe, known)
        for expert in range(len(runners.experts))
    )
    pixels = None
    if samples is not None:
        pixels = fit_pixel_classifier(samples, runners.recipe.seed)
    # which examples are shown then depends on the query, so nothing can be encoded before it
    # comes
    if len(examples) > runners.recipe.max_examples:
        return FittedContext(runners, examples, probes, None, pixels)
    encoded = encode_support(runners.in_context, examples, encoded)
    return FittedContext(runners, examples, probes, encoded, pixels)


def run_models(
    context: FittedContext, query: EmbeddedImage, timer: StageTimer
) -> Generator[Progress, None, StageOutputs]:
    """Run both models on a query: confidence map, in-context model, boxes, SAM."""
    recipe = context.runners.recipe
    yield Progress("icl", "Comparing with the examples")
    with timer.stage("icl"):
        confidence = [
            probe.confidence(embedding)
            for probe, embedding in zip(context.probes, query.embeddings, strict=True)
        ]
        # there is one in-context model and it takes one guidance: no promptable model is
        # preferred
        mean_confidence = torch.stack(confidence).mean(dim=0)
        segmented = segment_query(context, query, mean_confidence)
        boxes = find_boxes(segmented.probabilities, query.shape, recipe)
    yield Progress("sam", "Refining the outlines")
    outputs = []
    with timer.stage("sam"):
        for runner, embedding, own in zip(
            context.runners.experts.runners, query.embeddings, confidence, strict=True
        ):
            probabilities = segmented.probabilities
            # each decoder is guided by the map of its own features, not by the mean
            sam = refine_with_sam(
                runner,
                embedding,
                probabilities,
                own,
                boxes,
                recipe,
            )
            outputs.append(ExpertOutput(own, sam))
    pixels = None
    if context.pixels is not None:
        with timer.stage("icl"):
            pixels = _classify_pixels(context.pixels, query).to(segmented.probabilities.device)
    return StageOutputs(
        segmented.probabilities,
        tuple(outputs),
        boxes,
        segmented.full_image,
        pixels,
    )


def _classify_pixels(classifier: PixelClassifier, query: EmbeddedImage) -> Tensor:
    """Return the log-odds of each label by the pixel classifier, (L, 1, H, W)."""
    return torch.from_numpy(classifier.log_odds(query.rgb))[:, None]


def segment_query(
    context: FittedContext, query: EmbeddedImage, confidence: Tensor
) -> InContextOutput:
    """Run the in-context model on a query, guided by the confidence maps (L, 1, H, W)."""
    runner = context.runners.in_context
    recipe = context.runners.recipe
    encoded = context.encoded
    # guidance fades with the number of examples shown (Hu et al. 2024), not with those there are
    pairs = len(context.examples)
    if encoded is None:
        nearest = nearest_examples(
            context.examples,
            query.embedding,
            recipe.max_examples,
        )
        encoded = encode_support(runner, nearest)
        pairs = len(nearest)
    guidance = in_context_guidance(confidence, pairs, recipe.icl_guidance)
    similarity = mean_similarity(context.probes, query.embeddings)
    return segment_in_context(runner, encoded, query, guidance, similarity)
