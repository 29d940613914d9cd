"""Quality estimation: how good a result probably is, before anyone has looked at it.

If the in-context model's probabilities were right, the expected Dice of what it finds would follow
from them. They are overconfident, but where they are lower the Dice is lower. The bias of a task is
learnt from its held-out examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_iclsam.core.fusion.cross_validation import fused_dice
from napari_iclsam.core.fusion.held_out import HeldOut, segmented_by_others
from napari_iclsam.core.fusion.log_odds import LogOdds
from napari_iclsam.core.fusion.threshold import best_bin, expected_dice, histogram
from napari_iclsam.core.fusion.weights import FusionWeights

OVERCONFIDENCE = 1.1
"""Log-odds by which the expected Dice is too high, in the mean over queries of the training sets.
(The slope of a logistic regression is 1.05 there, as good as 1.)"""

OVERCONFIDENCE_OF_MEAN = 0.5
"""The same of the mean of the in-context model and the similarity by features, which is less sure.
See benchmarks/RESULTS.md."""

_PRIOR_EXAMPLES = 2
"""So many examples without bias count beside those that were held out."""

_CERTAIN = 0.98
"""The Dice is taken to be at most this, and at least the rest to one."""


def estimate_dice(
    log_odds: LogOdds, corrections: Sequence[float], overconfidence: float = OVERCONFIDENCE
) -> list[float]:
    """Estimate the Dice of each of L labels, given a `bias_correction` for each.

    Parameters
    ----------
    log_odds : LogOdds
        (L, ...) each.
    corrections : sequence of float
    overconfidence : float
        `OVERCONFIDENCE` or `OVERCONFIDENCE_OF_MEAN`.
    """
    correction = torch.tensor(corrections, device=log_odds.icl.device)
    estimates = torch.sigmoid(_expected(log_odds) - overconfidence + correction)
    return [float(estimate) for estimate in estimates]


def bias_correction(
    cases: Sequence[HeldOut],
    label: int,
    weights: FusionWeights,
    overconfidence: float,
) -> float:
    """Return the bias correction of a label's log-odds, from the held-out examples that hold it."""
    known = segmented_by_others(cases, label)
    dice = [fused_dice(case, label, weights) for case in known]
    return correction_of(
        [case.log_odds for case in known],
        label,
        dice,
        overconfidence,
    )


def correction_of(
    log_odds: Sequence[LogOdds],
    label: int,
    dice: Sequence[float],
    overconfidence: float = OVERCONFIDENCE,
) -> float:
    """Return the bias correction of a label's log-odds, given the Dice that examples reached."""
    errors = []
    for of_example, reached in zip(log_odds, dice, strict=True):
        expected = _expected(of_example)[label]
        errors.append(_to_log_odds(torch.tensor(reached)) - expected + overconfidence)
    # shrunk towards zero: one held-out example is no proof of a bias
    return float(sum(errors)) / (len(errors) + _PRIOR_EXAMPLES)


def _expected(log_odds: LogOdds) -> Tensor:
    """Return the log-odds of each label's Dice, (L,), by the in-context model's probabilities."""
    # of the in-context model alone: its order of images is right, see benchmarks/RESULTS.md
    counts = histogram(log_odds.icl.flatten(1))
    best = best_bin(counts)[:, None]
    return _to_log_odds(expected_dice(counts).gather(1, best)[:, 0])


def _to_log_odds(dice: Tensor) -> Tensor:
    # a single example of Dice 0 or 1 would otherwise make the mean infinite
    return dice.clamp(1 - _CERTAIN, _CERTAIN).logit()
