"""Cross-validation of the fusion weights: each example is segmented by means of others.

Which of the in-context model and SAM is better depends on the data (Hu et al. 2024, sec. 4), and
the support set can tell.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.fusion.log_odds import LogOdds, coefficients, log_odds_of
from napari_iclsam.core.fusion.outputs import StageOutputs
from napari_iclsam.core.fusion.threshold import BIN_WIDTH, best_bin, histogram, sum_from
from napari_iclsam.core.fusion.weights import FusionWeights
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.metrics import StageScores, dice_of_counts
from napari_iclsam.core.steps import evenly_spaced

FOLDS = 4
"""Parts of the support set that are held out one after the other."""

HELD_OUT = 12
"""At most so many examples are held out."""

_PIXELS = 128 * 128
"""About so many pixels of each example are compared, on a lattice."""

_PENALTY = 0.01
"""Dice that weights far from the default must gain for each unit of distance."""

_TEMPERATURE = 0.01
"""Dice by which weights may be worse than the best for 1 / e of its part in the mean."""

_SHARES = [(a / 4, b / 4, (4 - a - b) / 4) for a in range(5) for b in range(5 - a)]
_INVERSE_TEMPERATURES = (0.5, 0.7, 1.0, 1.5, 2.5)
_THRESHOLD_SHIFTS = (0.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5)

_ENOUGH_FOR_SHIFTS = 4
"""Examples of a label from which on threshold shifts are searched."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """An example segmented by means of others, at n of its pixels, for L labels.

    Attributes
    ----------
    log_odds : LogOdds
        (L, n) each.
    full_image : Tensor, (L, n), bool
        Mask of the in-context model by its full-image stage.
    truth : Tensor, (L, n), bool
    """

    log_odds: LogOdds
    full_image: Tensor
    truth: Tensor


def held_out(outputs: StageOutputs, masks: NDArray[np.bool_]) -> HeldOut:
    """Sample the outputs of an example and its masks (L, H, W) on a lattice."""
    log_odds = log_odds_of(outputs)
    full_image = resize(outputs.full_image, outputs.size) > 0.5
    truth = torch.from_numpy(np.ascontiguousarray(masks)).to(log_odds.icl.device)[:, None]
    step = math.ceil(math.sqrt(masks[0].size / _PIXELS))

    def sample(pixels: Tensor) -> Tensor:
        return pixels[..., step // 2 :: step, step // 2 :: step].flatten(1)

    sampled = LogOdds(
        sample(log_odds.icl),
        sample(log_odds.sam),
        sample(log_odds.confidence),
        log_odds.agreement,
    )
    return HeldOut(sampled, sample(full_image), sample(truth))


def folds(count: int) -> list[list[int]]:
    """Split ``count`` examples into parts to hold out, at most `HELD_OUT` in all, evenly spaced over the set."""
    chosen = evenly_spaced(count, HELD_OUT)
    parts = min(FOLDS, len(chosen))
    return [chosen[start::parts] for start in range(parts)]


def holding(cases: Sequence[HeldOut], label: int) -> list[HeldOut]:
    """Return those examples that hold a label."""
    return [case for case in cases if case.truth[label].any()]


def choose_weights(cases: Sequence[HeldOut], label: int, default: FusionWeights) -> FusionWeights:
    """Return fusion weights under which the examples are segmented well by means of each other.

    They are the mean of all candidates, weighted by a softmax of their worth (`_worth`): few
    examples hardly tell the best from the second best, and the mean errs less than either. Of a
    label that fewer than two examples hold, the default is returned.

    Parameters
    ----------
    cases : sequence of HeldOut
    label : int
        Index of the label in the cases.
    default : FusionWeights
    """
    known = holding(cases, label)
    if len(known) < 2:
        return default
    mixtures = _mixtures(default)
    shifts = _THRESHOLD_SHIFTS if len(known) >= _ENOUGH_FOR_SHIFTS else _THRESHOLD_SHIFTS[:1]
    candidates = [
        replace(mixture, threshold_shift=shift) for mixture in mixtures for shift in shifts
    ]
    tables = [_dice_table(case, label, mixtures, shifts) for case in known]
    worth = _worth(torch.stack(tables).flatten(1), candidates, default)
    return _weighted_mean(candidates, torch.softmax(worth.double() / _TEMPERATURE, dim=0), default)


def cross_validated_scores(
    cases: Sequence[HeldOut], label: int, weights: FusionWeights
) -> StageScores | None:
    """Return the mean Dice of each stage over the examples that hold a label; None if none does."""
    known = holding(cases, label)
    if not known:
        return None
    icl = [_dice(case.full_image[label], case.truth[label]) for case in known]
    sam = [_dice(case.log_odds.sam[label] > 0, case.truth[label]) for case in known]
    fused = [fused_dice(case, label, weights) for case in known]
    return StageScores(float(np.mean(icl)), float(np.mean(sam)), float(np.mean(fused)), len(known))


def fused_dice(case: HeldOut, label: int, weights: FusionWeights) -> float:
    """Return the Dice of the fused result of an example that holds a label."""
    return _dice_table(case, label, [weights], (weights.threshold_shift,)).item()


def _mixtures(default: FusionWeights) -> list[FusionWeights]:
    """Return the default and a grid of other weights."""
    mixtures = [default]
    for shares, factor in itertools.product(_SHARES, _INVERSE_TEMPERATURES):
        mixtures.append(FusionWeights(*shares, factor, gate_by_agreement=default.gate_by_agreement))
    return mixtures


def _worth(dice: Tensor, candidates: Sequence[FusionWeights], default: FusionWeights) -> Tensor:
    """Return the worth of candidates from their Dice in n examples, (n, C), the default first.

    It is the mean gain over the default, less its standard error (what one example gains and
    another loses is chance), less a small penalty for the distance from the default.
    """
    gains = dice - dice[:, :1]
    standard_error = gains.std(dim=0) / math.sqrt(len(gains))
    distances = torch.tensor([_distance(candidate, default) for candidate in candidates])
    return gains.mean(dim=0) - standard_error - _PENALTY * distances


def _weighted_mean(
    candidates: Sequence[FusionWeights], shares: Tensor, default: FusionWeights
) -> FusionWeights:
    """Return the mean of weights, each with its share (C,), float64; the inverse temperatures are multiplied in."""
    rows = [[one.icl, one.sam, one.confidence, one.threshold_shift] for one in candidates]
    table = torch.tensor(rows, dtype=torch.float64)
    factors = torch.tensor([one.inverse_temperature for one in candidates], dtype=torch.float64)
    table[:, :3] *= factors[:, None]
    icl, sam, confidence, shift = (shares @ table).tolist()
    return replace(
        default,
        icl=icl,
        sam=sam,
        confidence=confidence,
        inverse_temperature=1.0,
        threshold_shift=shift,
    )


def _dice_table(
    case: HeldOut, label: int, mixtures: Sequence[FusionWeights], shifts: Sequence[float]
) -> Tensor:
    """Return the Dice of one label under R mixtures and, instead of their own, each threshold shift, (R, S).

    All mixtures are gated by agreement, or none.
    """
    gated = mixtures[0].gate_by_agreement
    parts = case.log_odds.parts(label, gate_by_agreement=gated)
    fused = coefficients(mixtures, case.log_odds.icl) @ parts
    counts = histogram(fused)
    area = sum_from(counts)
    true_area = sum_from(histogram(fused, case.truth[label]))
    dice = 2 * true_area / (area + true_area[:, :1])
    steps = torch.tensor([round(shift / BIN_WIDTH) for shift in shifts], device=dice.device)
    bins = (best_bin(counts)[:, None] + steps).clamp(0, dice.shape[1] - 1)
    return dice.gather(1, bins)


def _dice(found: Tensor, truth: Tensor) -> float:
    return dice_of_counts(int((found & truth).sum()), int(found.sum() + truth.sum()))


def _distance(a: FusionWeights, b: FusionWeights) -> float:
    shares = abs(a.icl - b.icl) + abs(a.sam - b.sam) + abs(a.confidence - b.confidence)
    temperature = 0.5 * abs(math.log(a.inverse_temperature / b.inverse_temperature))
    return shares + temperature + abs(a.threshold_shift - b.threshold_shift)
