"""The fusion of a task: fitted to the held-out examples, then applied to the models' outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from napari_iclsam.core.encoder.examples import Examples
from napari_iclsam.core.fusion.cross_validation import (
    CAREFUL,
    KeepRule,
    choose_weights,
    cross_validated_scores,
    helpful_parts,
)
from napari_iclsam.core.fusion.held_out import HeldOut
from napari_iclsam.core.fusion.log_odds import (
    foreground_log_odds,
    fuse_log_odds,
    log_odds_of,
    shifted_for_thin,
    with_pixels_for_thin,
)
from napari_iclsam.core.fusion.outputs import StageOutputs
from napari_iclsam.core.fusion.presence import (
    Presence,
    cap_by_presence,
    fit_presence,
    presence_log_odds,
)
from napari_iclsam.core.fusion.published import fuse, icl_score, sam_score
from napari_iclsam.core.fusion.weights import (
    FusionWeights,
    Kept,
    default_weights,
    published_weights,
)
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.metrics import StageScores
from napari_iclsam.core.quality.dice_estimate import (
    OVERCONFIDENCE,
    bias_correction,
    estimate_dice,
)
from napari_iclsam.core.recipe import FusionRule, Recipe
from napari_iclsam.weights.entry import FusionDefault

_MASKS_GAIN = 0.05
"""Dice that masks of promptable models must gain in tiles. They take most of the time, and the
fine-tuned in-context model catches up with less: on mosaics of nuclei it is as good or better."""


@dataclass(frozen=True, slots=True)
class FittedFusion:
    """What cross-validation says of each label.

    Attributes
    ----------
    weights : tuple of FusionWeights
    scores : mapping of int to StageScores
        By label: mean Dice of the held-out examples. Empty without cross-validation.
    corrections : tuple of float
        Bias correction of the quality estimates; see `napari_iclsam.core.quality.dice_estimate`.
    kept : Kept
        Which parts help; the weights are those of these.
    foreground : tuple of float
        Log-odds of the share of the foreground in the examples, label by label.
    presence : tuple of Presence or None
        Label by label; None where no example tells of images without it, and in stacks, whose
        planes tell of each other.
    overconfidence : float
        Of the in-context model's part; see `napari_iclsam.core.quality.dice_estimate`.
    counts_least : bool
        Whether, in a stack, labelled planes count so much more that whole planes at the smallest
        input will do.
    """

    weights: tuple[FusionWeights, ...]
    scores: Mapping[int, StageScores]
    corrections: tuple[float, ...]
    kept: Kept
    foreground: tuple[float, ...]
    presence: tuple[Presence | None, ...]
    overconfidence: float = OVERCONFIDENCE
    counts_least: bool = False

    @property
    def uses_masks(self) -> bool:
        """Whether the masks of any promptable model count."""
        for weights in self.weights:
            if any(weights.of_expert(expert)[0] for expert in range(weights.experts)):
                return True
        return False

    def fuse(self, outputs: StageOutputs, rule: FusionRule) -> Fused:
        """Fuse the outputs of both models."""
        if rule == "in-context model alone":
            # estimates are of log-odds, which these rules do not compute
            return Fused(resize(outputs.icl, outputs.size) - 0.5, ())
        if rule == "published":
            icl = icl_score(outputs.icl, outputs.size)
            scores = fuse(icl, sam_score(outputs.sam), self.weights)
            return Fused(scores, ())
        log_odds = log_odds_of(outputs, self.foreground)
        estimates = estimate_dice(log_odds, self.corrections, self.overconfidence)
        present = presence_log_odds(log_odds, self.presence, estimates)
        scores = cap_by_presence(fuse_log_odds(log_odds, self.weights), present)
        absent = tuple(label for label, odds in enumerate(present) if odds <= 0)
        return Fused(scores, tuple(estimates), absent)


@dataclass(frozen=True, slots=True)
class Fused:
    """What the fusion says of an image.

    Attributes
    ----------
    scores : Tensor, (L, 1, H, W)
        Positive where a label is foreground.
    estimates : tuple of float
        Estimated Dice of each label; empty in paper mode.
    absent : tuple of int
        Labels, numbered from 0, that are judged to be absent.
    """

    scores: Tensor
    estimates: tuple[float, ...]
    absent: tuple[int, ...] = ()


def default_fusion(
    recipe: Recipe, kinds: Sequence[FusionDefault], examples: Examples
) -> list[FusionWeights]:
    """Return the fusion weights of each label before any are cross-validated.

    Parameters
    ----------
    recipe : Recipe
    kinds : sequence of {"published", "starter"}
        Which weights each promptable model has by default.
    examples : Examples
    """
    count = len(examples)
    labels = examples.support.ids
    if recipe.fusion != "log-odds":
        return [published_weights(count)] * len(labels)
    default = default_weights(kinds, count)
    masks = examples.masks_by_label()
    if recipe.pixel_classifier:
        return [with_pixels_for_thin(default, of_label) for of_label in masks]
    if list(kinds) == ["published"]:
        return [default] * len(labels)
    return [shifted_for_thin(default, of_label) for of_label in masks]


def fit_fusion(
    cases: Sequence[HeldOut],
    defaults: Sequence[FusionWeights],
    examples: Examples,
    rule: KeepRule = CAREFUL,
    overconfidence: float = OVERCONFIDENCE,
) -> FittedFusion:
    """Choose the fusion weights of each label by cross-validation.

    Parameters
    ----------
    cases : sequence of HeldOut
        Without any, the defaults hold.
    defaults : sequence of FusionWeights
        One a label.
    examples : Examples
    rule : KeepRule
    overconfidence : float

    Returns
    -------
    FittedFusion
        Without presence; see `with_presence`.
    """
    weights = []
    corrections = []
    scores = {}
    kept = helpful_parts(cases, defaults, rule)
    cases = [case.only(kept) for case in cases]
    for label, default in enumerate(defaults):
        chosen = choose_weights(cases, label, default.only(kept))
        score = cross_validated_scores(cases, label, chosen)
        weights.append(chosen)
        corrections.append(bias_correction(cases, label, chosen, overconfidence))
        if score is not None:
            scores[examples.support.ids[label]] = score
    foreground = foreground_log_odds(examples.all_masks(), examples.known())
    unknown = (None,) * len(defaults)
    return FittedFusion(
        tuple(weights),
        scores,
        tuple(corrections),
        kept,
        tuple(foreground),
        unknown,
        overconfidence,
    )


def with_presence(fusion: FittedFusion, cases: Sequence[HeldOut]) -> FittedFusion:
    """Return a fusion that judges whether each label is in an image at all."""
    # of the parts that queries will have
    cases = [case.only(fusion.kept) for case in cases]
    presence = [fit_presence(cases, label) for label in range(len(fusion.presence))]
    return replace(fusion, presence=tuple(presence))


def masks_gain_much(fusion: FittedFusion) -> bool:
    """Return whether some label gains much by masks of promptable models, or nothing is known."""
    gains = [score.fused - score.icl for score in fusion.scores.values()]
    return not gains or max(gains) >= _MASKS_GAIN


def in_context_alone(
    fusion: FittedFusion, cases: Sequence[HeldOut], ids: Sequence[int]
) -> FittedFusion:
    """Return the fusion with no weight but that of the in-context model.

    Parameters
    ----------
    fusion : FittedFusion
        Of `fit_fusion`.
    cases : sequence of HeldOut
    ids : sequence of int
        Labels.
    """
    alone = FusionWeights((1.0, *(0.0, 0.0) * len(fusion.kept.experts)))
    kept = replace(fusion.kept, pixels=False)
    cases = [case.only(kept) for case in cases]
    scores = {}
    corrections = []
    for label, label_id in enumerate(ids):
        corrections.append(bias_correction(cases, label, alone, fusion.overconfidence))
        score = cross_validated_scores(cases, label, alone)
        if score is not None:
            scores[label_id] = score
    return replace(
        fusion,
        weights=(alone,) * len(corrections),
        scores=scores,
        corrections=tuple(corrections),
        kept=kept,
    )
