"""Presence: whether a label is in an image at all, learnt from examples with and without it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_iclsam.core.fusion.held_out import HeldOut, holding
from napari_iclsam.core.fusion.log_odds import LogOdds

_TOP = 0.005
"""Share of the pixels, those with the largest log-odds, that tell of a presence."""

_FEWEST = 4
"""At least so many pixels tell, or noise would."""

_PRESENT = 2.4
_ABSENT = -0.7
"""Mean evidence in images with and without the label, of training subjects and synthetic scenes."""

_PRIOR_EXAMPLES = 2
"""So many examples of these means count beside those that were held out. Held-out examples are
segmented by fewer others than queries are, and so differ less."""

_VARIANCE = 1.5
"""Variance of the evidence among images alike; counts as two examples."""

_ENOUGH = 2
"""Examples with the label from which on presence is learnt: of one held out, none would be left."""


@dataclass(frozen=True, slots=True)
class Presence:
    """Evidence of a label in images with and without it: normal distributions of one variance.

    Attributes
    ----------
    present, absent : float
        Means.
    variance : float
    prior : float
        Log-odds of the presence before an image is seen.
    """

    present: float
    absent: float
    variance: float
    prior: float

    def log_odds(self, evidence: float) -> float:
        """Return the log-odds of the presence, given `presence_evidence`."""
        middle = (self.present + self.absent) / 2
        return (self.present - self.absent) / self.variance * (evidence - middle) + self.prior


def presence_evidence(log_odds: LogOdds, label: int) -> float:
    """Return the mean of the largest log-odds of a label.

    Of the confidence maps and the pixel classifier: the in-context model and the masks that it
    prompts mark something in nearly every image.
    """
    count = len(log_odds.parts)
    parts = list(range(2, count, 2))
    # the pixel classifier is last, if there is one
    if count % 2 == 0:
        parts.append(count - 1)
    values = log_odds.parts[parts, label].flatten(1)
    top = max(_FEWEST, round(_TOP * values.shape[1]))
    largest = values.topk(min(top, values.shape[1]), dim=1).values
    return float(largest.mean())


def fit_presence(cases: Sequence[HeldOut], label: int) -> Presence | None:
    """Learn the presence of a label from held-out examples.

    Parameters
    ----------
    cases : sequence of HeldOut
    label : int
        Index of the label in the cases.

    Returns
    -------
    Presence or None
        None unless an example without the label and two with it were held out: nothing then says
        that images without it are to be expected.
    """
    with_label = holding(cases, label)
    without = [case for case in cases if not case.truth[label].any()]
    if len(with_label) < _ENOUGH or not without:
        return None
    present = [presence_evidence(case.log_odds, label) for case in with_label]
    absent = [presence_evidence(case.log_odds, label) for case in without]
    mean_present = _shrunk_mean(present, _PRESENT)
    mean_absent = _shrunk_mean(absent, _ABSENT)
    squares = np.sum(np.square(np.array(present) - mean_present))
    squares += np.sum(np.square(np.array(absent) - mean_absent))
    # two means were estimated, and the variance known beforehand counts as two examples
    variance = float(squares + 2 * _VARIANCE) / len(cases)
    prior = math.log((len(present) + 1) / (len(absent) + 1))
    # evidence that is larger without the label than with it tells nothing
    absent_below = min(mean_absent, mean_present)
    return Presence(mean_present, absent_below, variance, prior)


def presence_log_odds(log_odds: LogOdds, presence: Sequence[Presence | None]) -> list[float]:
    """Return the log-odds that each label is in an image; infinity where nothing was learnt.

    Parameters
    ----------
    log_odds : LogOdds
        (L, ...) each.
    presence : sequence of Presence or None
        One a label.
    """
    found = []
    for label, of_label in enumerate(presence):
        if of_label is None:
            found.append(math.inf)
        else:
            found.append(of_label.log_odds(presence_evidence(log_odds, label)))
    return found


def cap_by_presence(scores: Tensor, present: Sequence[float]) -> Tensor:
    """Let no pixel be likelier to belong to a label than the label is to be present.

    Parameters
    ----------
    scores : Tensor, (L, ...)
        Of the fusion: log-odds above the threshold.
    present : sequence of float
        Of `presence_log_odds`.
    """
    limits = torch.tensor(present, dtype=scores.dtype, device=scores.device)
    return torch.minimum(scores, limits.view(-1, *[1] * (scores.ndim - 1)))


def _shrunk_mean(values: Sequence[float], prior: float) -> float:
    """Return the mean of values and of a prior that counts as some examples."""
    return (sum(values) + _PRIOR_EXAMPLES * prior) / (len(values) + _PRIOR_EXAMPLES)
