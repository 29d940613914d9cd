"""Steps of fitting a task: embed the examples, and cross-validate the fusion on them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.context import Runners, fit_context, run_models
from napari_iclsam.core.encoder.examples import Examples
from napari_iclsam.core.fitted_fusion import (
    FittedFusion,
    fit_fusion,
    in_context_alone,
    masks_gain_much,
    with_presence,
)
from napari_iclsam.core.fusion.cross_validation import CAREFUL, SPARING
from napari_iclsam.core.fusion.held_out import HeldOut, folds, held_out
from napari_iclsam.core.fusion.log_odds import foreground_log_odds
from napari_iclsam.core.fusion.weights import FusionWeights
from napari_iclsam.core.inference import StageTimer
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.quality.dice_estimate import OVERCONFIDENCE, OVERCONFIDENCE_OF_MEAN
from napari_iclsam.core.recipe import Recipe
from napari_iclsam.core.refinement.pixel_classifier import (
    PixelSamples,
    fit_pixel_classifier,
    sample_pixels,
)
from napari_iclsam.core.refinement.tile_screen import fit_tile_screen
from napari_iclsam.core.steps import drain
from napari_iclsam.core.volume.strengths import is_doubtful

_PROBE_CELLS = 20_000
"""At most so many cells fit the probe of a fold of the cross-validation."""


def draw_pixels(recipe: Recipe, examples: Examples) -> PixelSamples | None:
    """Draw the pixels that the pixel classifier is fitted to; None where it is not used."""
    if not recipe.pixel_classifier:
        return None
    return sample_pixels(examples.images, examples.all_masks(), recipe.seed, examples.known())


def fit_screen(
    recipe: Recipe, examples: Examples, samples: PixelSamples | None
) -> Callable[[NDArray[np.uint8]], bool] | None:
    """Fit what tells tiles (H, W, 3) that hold nothing; None for examples that are no tiles."""
    if samples is None or not recipe.in_tiles:
        return None
    classifier = fit_pixel_classifier(samples, recipe.seed)
    return fit_tile_screen(classifier, examples.images, examples.all_masks()).is_empty


def embed_steps(
    runners: Runners, examples: Examples, timer: StageTimer
) -> Generator[Progress, None, Examples]:
    """Embed the examples one by one."""
    count = len(examples)
    embeddings = []
    for done, image in enumerate(examples.images):
        yield Progress("embed", f"Embedding the examples: {done + 1} of {count}", done, count)
        with timer.stage("embed"):
            embeddings.append(runners.experts.embed(image).embeddings)
    return replace(examples, embeddings=tuple(embeddings))


def fusion_steps(
    runners: Runners,
    examples: Examples,
    samples: PixelSamples | None,
    defaults: Sequence[FusionWeights],
    timer: StageTimer,
) -> Generator[Progress, None, FittedFusion]:
    """Cross-validate the fusion weights on the examples; without that, the defaults hold.

    Parameters
    ----------
    runners : Runners
    examples : Examples
    samples : PixelSamples, optional
        Of the examples, for the pixel classifier.
    defaults : sequence of FusionWeights
        One a label.
    timer : StageTimer
    """
    cases: list[HeldOut] = []
    if runners.recipe.cross_validate and len(examples) > 1:
        cases = yield from hold_out_steps(runners, examples, samples, timer)
    rule = SPARING if runners.recipe.sparing else CAREFUL
    is_mean = runners.recipe.feature_similarity
    overconfidence = OVERCONFIDENCE_OF_MEAN if is_mean else OVERCONFIDENCE
    fusion = fit_fusion(cases, defaults, examples, rule, overconfidence)
    least = counts_least(runners.recipe, fusion)
    if least or (runners.recipe.in_tiles and not masks_gain_much(fusion)):
        fusion = in_context_alone(fusion, cases, examples.support.ids)
    # whether a plane of a stack holds an object is decided when those beside are known
    if not runners.recipe.sparing:
        fusion = with_presence(fusion, cases)
    return replace(fusion, counts_least=least)


def counts_least(recipe: Recipe, fusion: FittedFusion) -> bool:
    """Return whether the 2-D method counts least in a stack, label on label: the cheapest will do.

    Where no plane tells of another, prompts and crops lie beside the object. On development volumes
    the in-context model alone was then as good, in a fraction of the time. Tiles have a rule of
    their own, and keep the size of their objects.
    """
    if not recipe.sparing or recipe.in_tiles or recipe.fusion != "log-odds":
        return False
    scores = [score.fused for score in fusion.scores.values()]
    # with one labelled plane, none was left out
    return not scores or is_doubtful(float(np.mean(scores)))


def hold_out_steps(
    runners: Runners, examples: Examples, samples: PixelSamples | None, timer: StageTimer
) -> Generator[Progress, None, list[HeldOut]]:
    """Segment examples by means of the others, fold by fold."""
    count = len(examples)
    recipe = _cheaper(runners.recipe)
    parts = folds(count)
    total = sum(len(part) for part in parts)
    done = 0
    cases: list[HeldOut] = []
    for part in parts:
        shown = [pair for pair in range(count) if pair not in part]
        rest = examples.subset(shown)
        of_rest = None if samples is None else samples.subset(shown)
        with timer.stage("check"):
            context = fit_context(replace(runners, recipe=recipe), rest, samples=of_rest)
        for pair in part:
            done += 1
            message = f"Cross-validating the examples: {done} of {total}"
            yield Progress("check", message, count, count)
            query = examples.embedded(pair)
            outputs = drain(run_models(context, query, timer))
            with timer.stage("check"):
                foreground = foreground_log_odds(rest.all_masks(), rest.known())
                known = examples.support.known(pair)
                case = held_out(outputs, examples.masks(pair), foreground, known)
                # of an example that is mostly unknown, no pixel may be left to compare
                if case.truth.shape[-1]:
                    cases.append(case)
    return cases


def _cheaper(recipe: Recipe) -> Recipe:
    return replace(recipe, probe_cells=min(recipe.probe_cells, _PROBE_CELLS))
