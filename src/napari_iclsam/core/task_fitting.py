"""Fit a task to a support set, with models that are loaded."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from napari_iclsam.core.context import Runners, fit_context
from napari_iclsam.core.encoder.examples import Examples
from napari_iclsam.core.fitted_fusion import FittedFusion, default_fusion
from napari_iclsam.core.fitting import draw_pixels, embed_steps, fit_screen, fusion_steps
from napari_iclsam.core.fusion.weights import FusionWeights
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.in_context.fine_tuning import can_fine_tune, fine_tune
from napari_iclsam.core.inference import StageTimer
from napari_iclsam.core.networks import Networks
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.preview import preview_steps
from napari_iclsam.core.provenance import provenance_of
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.task import Task


@dataclass(frozen=True, slots=True)
class TaskFitting:
    """How tasks are fitted.

    Attributes
    ----------
    networks : Networks
        What is known of the models.
    runners : Runners
        The models on their device.
    settings : Settings
        Kept with the task.
    """

    networks: Networks
    runners: Runners
    settings: Settings

    def steps(
        self, support: SupportSet, preview_image: NDArray[Any] | None = None
    ) -> Generator[Progress, None, Task]:
        """Fit a task step by step; see `ICLSAM.fit_steps`."""
        count = len(support)
        timer = StageTimer()
        runners = self.runners
        recipe = runners.recipe
        provenance = provenance_of(self.networks, recipe, self.settings, support)
        images = Examples.of(support, shared_scale=recipe.shared_scale)
        encoded = None
        if preview_image is not None:
            shown = preview_steps(runners.in_context, images, preview_image, provenance)
            encoded = yield from shown
        examples = yield from embed_steps(runners, images, timer)
        with timer.stage("fit"):
            samples = draw_pixels(recipe, examples)
            is_empty = fit_screen(recipe, examples, samples)
        defaults = self._default_fusion(examples)
        fusion = yield from fusion_steps(runners, examples, samples, defaults, timer)
        # what does not help costs nothing from here on
        samples = samples if fusion.kept.pixels else None
        runners = _keep_what_helps(runners, fusion)
        examples = examples.with_experts(fusion.kept.experts)
        fine_tunable = recipe.fine_tune and self.networks.icl_facts.fine_tunable
        if fine_tunable and can_fine_tune(examples):
            tuned = yield from fine_tune(runners.in_context, examples, timer)
            runners = replace(runners, in_context=tuned)
            # what the model encoded before it was fine-tuned is out of date
            encoded = None
        yield Progress("fit", "Fitting the confidence map", count, count)
        with timer.stage("fit"):
            context = fit_context(runners, examples, encoded, samples)
        context = replace(context, is_empty=is_empty)
        return Task(context, fusion, self.settings, provenance)

    def _default_fusion(self, examples: Examples) -> list[FusionWeights]:
        """Return the fusion weights of each label before any are cross-validated."""
        recipe = self.runners.recipe
        sams = self.networks.taking_part(recipe)
        kinds = [sam.facts.fusion_default for sam in sams]
        return default_fusion(recipe, kinds, examples)


def _keep_what_helps(runners: Runners, fusion: FittedFusion) -> Runners:
    """Return the promptable models that are fused; none is prompted if no mask counts."""
    recipe = replace(runners.recipe, refine=runners.recipe.refine and fusion.uses_masks)
    if fusion.counts_least:
        recipe = replace(recipe, coarse_to_fine=False, input_size="smallest")
    return Runners(
        experts=runners.experts.subset(fusion.kept.experts),
        in_context=replace(runners.in_context, recipe=recipe),
        recipe=recipe,
    )
