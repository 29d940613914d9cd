"""Cross-validation of the fusion weights: each example is segmented by means of others.

Which of the in-context model and SAM is better depends on the data (Hu et al. 2024, sec. 4), and
the support set can tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from napari_iclsam.core.fusion.held_out import HeldOut, holding, segmented_by_others
from napari_iclsam.core.fusion.log_odds import coefficients
from napari_iclsam.core.fusion.threshold import BIN_WIDTH, best_bin, bins_of, count_bins, sum_from
from napari_iclsam.core.fusion.weights import FusionWeights, Kept
from napari_iclsam.core.metrics import StageScores, dice_of_counts

_PENALTY = 0.01
"""Dice that weights far from the default must gain for each unit of distance."""

_TEMPERATURE = 0.01
"""Dice by which weights may be worse than the best for 1 / e of its part in the mean."""

_QUARTERS = 4
"""Weights are searched in steps of one quarter of their sum."""

_INVERSE_TEMPERATURES = (0.5, 1.0, 2.0)
_THRESHOLD_SHIFTS = (0.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5)

_ENOUGH_FOR_SHIFTS = 4
"""Examples of a label from which on threshold shifts are searched."""


@dataclass(frozen=True, slots=True)
class KeepRule:
    """When a part of the fusion is kept: each costs time in every query.

    Attributes
    ----------
    gain : float
        Dice that it must gain for some label.
    examples : int
        Of each label, from which on a part may be dropped; 0 to go by those labels that can tell.
    """

    gain: float
    examples: int


CAREFUL = KeepRule(gain=0.002, examples=4)
"""Drops what is noise. On the training sets this costs .002 in the mean."""

SPARING = KeepRule(gain=0.05, examples=0)
"""Keeps what clearly helps: where labelled planes tell most, the rest hardly changes the result."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """Candidate weights of a label, the default first, and how well they segment n examples.

    Attributes
    ----------
    mixtures : tuple of FusionWeights
        R of them.
    shifts : tuple of float
        S threshold shifts, each tried with each mixture.
    dice : Tensor, (n, R, S)
    """

    mixtures: tuple[FusionWeights, ...]
    shifts: tuple[float, ...]
    dice: Tensor

    def without(self, parts: Sequence[int]) -> _Scored:
        """Return the candidates that give no weight to some parts, and the default as it is."""
        rows = [0]
        for row, mixture in enumerate(self.mixtures):
            if row and not any(mixture.parts[part] for part in parts):
                rows.append(row)
        return _Scored(
            tuple(self.mixtures[row] for row in rows),
            self.shifts,
            self.dice[:, rows],
        )


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
    return _choose(_score(known, label, default))


def helpful_parts(
    cases: Sequence[HeldOut], defaults: Sequence[FusionWeights], rule: KeepRule = CAREFUL
) -> Kept:
    """Return the parts without which some label would be segmented worse.

    Parameters
    ----------
    cases : sequence of HeldOut
    defaults : sequence of FusionWeights
        One a label.
    rule : KeepRule

    Returns
    -------
    Kept
        At least one promptable model. Where few examples tell, all of them; and the pixel
        classifier, if the defaults or the few could believe it.
    """
    first = defaults[0]
    kept = Kept(tuple(range(first.experts)), pixels=first.has_pixels)
    known = [holding(cases, label) for label in range(len(defaults))]
    if max(len(of_label) for of_label in known) < 2:
        # then the defaults hold
        return replace(kept, pixels=any(default.of_pixels for default in defaults))
    # a label of few examples cannot tell, and must not lose a part on account of others
    if min(len(of_label) for of_label in known) < rule.examples:
        return kept
    scored = {}
    for label, default in enumerate(defaults):
        if len(known[label]) > 1:
            scored[label] = _score(known[label], label, default)
    # one after the other: two models that say the same may each be spared, but not both
    for fewer in (replace(kept, pixels=False), *map(kept.without_expert, kept.experts)):
        others = kept.common(fewer)
        if others != kept and others.experts and _loss(scored, known, kept, others) < rule.gain:
            kept = others
    return kept


def _loss(
    scored: Mapping[int, _Scored], known: Sequence[Sequence[HeldOut]], kept: Kept, others: Kept
) -> float:
    """Return the largest loss of Dice of any label by ``others`` instead of ``kept``."""
    losses = []
    for label, of_label in scored.items():
        with_all = _chosen_dice(of_label, known[label], label, kept)
        losses.append(with_all - _chosen_dice(of_label, known[label], label, others))
    return max(losses)


def _chosen_dice(scored: _Scored, known: Sequence[HeldOut], label: int, kept: Kept) -> float:
    """Return the mean Dice of a label under the weights that are chosen for some of the parts."""
    count = len(scored.mixtures[0].parts)
    dropped = sorted(set(range(count)) - set(kept.of(count)))
    weights = _choose(scored.without(dropped)).only(kept)
    return float(np.mean([fused_dice(case.only(kept), label, weights) for case in known]))


def _score(known: Sequence[HeldOut], label: int, default: FusionWeights) -> _Scored:
    """Score the default and a grid of other weights on examples that hold a label."""
    mixtures = _mixtures(default)
    # the first shift is none: few examples would choose one by chance
    shifts = _THRESHOLD_SHIFTS if len(known) >= _ENOUGH_FOR_SHIFTS else _THRESHOLD_SHIFTS[:1]
    tables = [_dice_table(case, label, mixtures, shifts) for case in known]
    return _Scored(tuple(mixtures), shifts, torch.stack(tables))


def _choose(scored: _Scored) -> FusionWeights:
    """Return the mean of candidates, weighted by a softmax of their worth."""
    candidates = [
        replace(mixture, threshold_shift=shift)
        for mixture in scored.mixtures
        for shift in scored.shifts
    ]
    worth = _worth(scored.dice.flatten(1), candidates)
    # in float64: hundreds of small shares are summed
    shares = torch.softmax(worth.double() / _TEMPERATURE, dim=0)
    return _weighted_mean(candidates, shares)


def cross_validated_scores(
    cases: Sequence[HeldOut], label: int, weights: FusionWeights
) -> StageScores | None:
    """Return the mean Dice of each stage over the examples that hold a label; None of a single."""
    known = segmented_by_others(cases, label)
    if not known:
        return None
    icl = [_dice(case.full_image[label], case.truth[label]) for case in known]
    sam = []
    for case in known:
        mask = case.log_odds.parts[1, label] > 0
        sam.append(_dice(mask, case.truth[label]))
    fused = [fused_dice(case, label, weights) for case in known]
    return StageScores(
        icl=float(np.mean(icl)),
        sam=float(np.mean(sam)),
        fused=float(np.mean(fused)),
        examples=len(known),
    )


def fused_dice(case: HeldOut, label: int, weights: FusionWeights) -> float:
    """Return the Dice of the fused result of an example that holds a label."""
    return _dice_table(case, label, [weights], (weights.threshold_shift,)).item()


def _mixtures(default: FusionWeights) -> list[FusionWeights]:
    """Return the default and a grid of other weights."""
    mixtures = [default]
    for quarters in _compositions(_QUARTERS, len(default.parts)):
        parts = tuple(quarter / _QUARTERS for quarter in quarters)
        # the factor matters, because the threshold depends on probabilities and not on ranks
        # alone
        for factor in _INVERSE_TEMPERATURES:
            for gated in (False, True):
                mixtures.append(FusionWeights(parts, factor, 0.0, gated))
    return mixtures


def _compositions(total: int, count: int) -> list[tuple[int, ...]]:
    """Return all tuples of ``count`` integers, none negative, whose sum is ``total``."""
    if count == 1:
        return [(total,)]
    found = []
    for first in range(total + 1):
        found += [(first, *rest) for rest in _compositions(total - first, count - 1)]
    return found


def _worth(dice: Tensor, candidates: Sequence[FusionWeights]) -> Tensor:
    """Return the worth of candidates from their Dice in n examples, (n, C), the default first.

    It is the mean gain over the default, less its standard error (what one example gains and
    another loses is chance), less a small penalty for the distance from the default.
    """
    gains = dice - dice[:, :1]
    standard_error = gains.std(dim=0) / math.sqrt(len(gains))
    distances = torch.tensor([_distance(candidate, candidates[0]) for candidate in candidates])
    # among equals the default wins: it stands for more images than this set has
    return gains.mean(dim=0) - standard_error - _PENALTY * distances


def _weighted_mean(candidates: Sequence[FusionWeights], shares: Tensor) -> FusionWeights:
    """Return the mean of weights, each with its share (C,), float64.

    Of those with and without the gate, the kind with the larger sum of shares counts. The inverse
    temperatures are multiplied in.
    """
    # a gate is on or off and has no mean
    gated = torch.tensor([one.gate_by_agreement for one in candidates])
    use_gate = bool(shares[gated].sum() > 0.5)
    shares = torch.where(gated == use_gate, shares, 0.0)
    shares = shares / shares.sum()
    factors = torch.tensor([one.inverse_temperature for one in candidates], dtype=torch.float64)
    parts = torch.tensor([one.parts for one in candidates], dtype=torch.float64)
    shifts = torch.tensor([one.threshold_shift for one in candidates], dtype=torch.float64)
    # only the product of weight and factor enters the fusion, so the mean is taken of it
    mean_parts = shares @ (parts * factors[:, None])
    return FusionWeights(
        parts=tuple(mean_parts.tolist()),
        threshold_shift=float(shares @ shifts),
        gate_by_agreement=use_gate,
    )


def _dice_table(
    case: HeldOut, label: int, mixtures: Sequence[FusionWeights], shifts: Sequence[float]
) -> Tensor:
    """Return the Dice of one label under R mixtures and S threshold shifts, (R, S).

    Each threshold shift takes the place of that of the mixture.
    """
    gated = torch.tensor([mixture.gate_by_agreement for mixture in mixtures])
    factors = coefficients(mixtures, case.log_odds.parts)
    fused = factors @ case.log_odds.of_label(label, gate_by_agreement=False)
    if gated.any():
        fused[gated] = factors[gated] @ case.log_odds.of_label(label, gate_by_agreement=True)
    # one histogram yields the Dice at every threshold, instead of one pass over the pixels for
    # each
    index = bins_of(fused)
    counts = count_bins(index)
    area = sum_from(counts)
    true_area = sum_from(count_bins(index[:, case.truth[label]]))
    dice = 2 * true_area / (area + true_area[:, :1])
    steps = torch.tensor([round(shift / BIN_WIDTH) for shift in shifts], device=dice.device)
    # clamped: a shift from a bin at the border would leave the table
    shifted = best_bin(counts)[:, None] + steps
    bins = shifted.clamp(0, dice.shape[1] - 1)
    return dice.gather(1, bins)


def _dice(found: Tensor, truth: Tensor) -> float:
    both = int((found & truth).sum())
    total = int(found.sum() + truth.sum())
    return dice_of_counts(both, total)


def _distance(a: FusionWeights, b: FusionWeights) -> float:
    parts = sum(abs(one - other) for one, other in zip(a.parts, b.parts, strict=True))
    # by ratio: half as sure is as far away as twice as sure
    temperature = 0.5 * abs(math.log(a.inverse_temperature / b.inverse_temperature))
    gate = 0.5 * (a.gate_by_agreement != b.gate_by_agreement)
    return parts + temperature + gate + abs(a.threshold_shift - b.threshold_shift)
