"""How good a result probably is, before anyone has looked at it: which one to check first.

If the in-context model's probabilities were right, they would tell which Dice to expect of what it finds. They promise
too much, but where they promise less, less is found. By how much they are wrong about a task, its examples tell, which
have segmented each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_iclsam.core.fusion.log_odds import Evidence
from napari_iclsam.core.fusion.threshold import best_bin, expected_dice, histogram

_TOO_MUCH = 1.1
"""Log-odds by which the Dice promised is too high, in the mean over queries of the training sets. (The slope of a
logistic regression is 1.05 there, as good as 1.)"""

_UNSEEN = 2
"""So many examples that need no correction count beside those that were seen."""

_SURE = 0.98
"""No Dice counts as surer than this, nor as less sure than the rest."""


def estimate_dice(evidence: Evidence, corrections: Sequence[float]) -> list[float]:
    """Return the Dice to expect of each of L labels, given a `correction` for each.

    Parameters
    ----------
    evidence : Evidence
        (L, ...) each.
    corrections : sequence of float
    """
    log_odds = _promised(evidence) - _TOO_MUCH + torch.tensor(corrections, device=evidence.icl.device)
    return [float(dice) for dice in torch.sigmoid(log_odds)]


def correction(evidences: Sequence[Evidence], label: int, dice: Sequence[float]) -> float:
    """Return how much to add to the log-odds of the estimates of a label, given the Dice of examples that hold it."""
    off = [
        _log_odds(torch.tensor(reached)) - _promised(evidence)[label] + _TOO_MUCH
        for evidence, reached in zip(evidences, dice, strict=True)
    ]
    return float(sum(off)) / (len(off) + _UNSEEN)


def _promised(evidence: Evidence) -> Tensor:
    """Return the log-odds of the Dice that the in-context model promises, of each label, (L,)."""
    counts = histogram(evidence.icl.flatten(1))
    return _log_odds(expected_dice(counts).gather(1, best_bin(counts)[:, None])[:, 0])


def _log_odds(dice: Tensor) -> Tensor:
    return dice.clamp(1 - _SURE, _SURE).logit()
