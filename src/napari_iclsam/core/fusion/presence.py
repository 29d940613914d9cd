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

_LEVEL = 0.2
"""Where, from the score of the background to that of the label, its presence is even."""

_SCORE = 1.2
_AREA = 0.4
"""Log-odds of the presence for each unit of the score, and for each logarithm of the area, relative
to the examples'. Rounded from a logistic regression on images of the training sets and synthetic
scenes: 1.3 and 0.5, with an intercept of 0.2."""

_AREAS = (-4.0, 1.5)
"""Limits of that logarithm: no area at all, or all of the image, is no proof."""

_LEAST_DICE = 0.05
"""The Dice that is expected is taken to be at least this."""

_ENOUGH = 2
"""Examples with the label from which on presence is learnt: of one held out, none would be left."""


@dataclass(frozen=True, slots=True)
class Presence:
    """What examples tell of images with and without a label.

    Attributes
    ----------
    level : float
        Score at which the presence is even.
    area : float
        Mean share of the image that the label takes in examples that hold it.
    prior : float
        Log-odds of the presence before an image is seen.
    """

    level: float
    area: float
    prior: float

    def log_odds(self, evidence: ImageEvidence) -> float:
        """Return the log-odds of the presence, given what an image shows."""
        ratio = max(evidence.area, 1e-6) / self.area
        larger = float(np.clip(math.log(ratio), *_AREAS))
        return _SCORE * (evidence.score - self.level) + _AREA * larger + self.prior


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """What an image shows of a label.

    Attributes
    ----------
    score : float
        Mean of the largest log-odds.
    area : float
        Share of the image that the in-context model marks.
    """

    score: float
    area: float


def image_evidence(log_odds: LogOdds, label: int) -> ImageEvidence:
    """Return what an image shows of a label.

    The score is of the confidence maps and the pixel classifier: the in-context model and the
    masks that it prompts mark something in nearly every image, but smaller parts where nothing is.
    """
    marked = log_odds.icl[label] > 0
    return ImageEvidence(_score(_maps(log_odds, label)), float(marked.float().mean()))


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
    # of an example that the label fills there is no background
    beside = [case for case in cases if not case.truth[label].all()]
    if len(with_label) < _ENOUGH or not without or len(beside) == len(without):
        return None
    present = _mean([image_evidence(case.log_odds, label).score for case in with_label])
    absent = _mean([image_evidence(case.log_odds, label).score for case in without])
    # larger scores without the label tell nothing; a single example may be an exception
    if absent >= present and len(without) >= _ENOUGH:
        return None
    background = _mean([_score_beside(case, label) for case in beside])
    area = _mean([float(case.truth[label].float().mean()) for case in with_label])
    prior = math.log((len(with_label) + 1) / (len(without) + 1))
    return Presence(background + _LEVEL * (present - background), area, prior)


def presence_log_odds(
    log_odds: LogOdds, presence: Sequence[Presence | None], estimates: Sequence[float]
) -> list[float]:
    """Return how far each label's presence is likely enough to mark it, in log-odds.

    A mask gains the Dice that is expected of it if the label is there; no mask gains 1 if it is
    not. So it is marked if the odds of its presence exceed 1 / Dice.

    Parameters
    ----------
    log_odds : LogOdds
        (L, ...) each.
    presence : sequence of Presence or None
        One a label.
    estimates : sequence of float
        Expected Dice of each label.

    Returns
    -------
    list of float
        Positive where the label is marked; infinity where nothing was learnt.
    """
    found = []
    for label, of_label in enumerate(presence):
        if of_label is None:
            found.append(math.inf)
        else:
            gain = math.log(max(estimates[label], _LEAST_DICE))
            found.append(of_label.log_odds(image_evidence(log_odds, label)) + gain)
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


def _maps(log_odds: LogOdds, label: int) -> Tensor:
    """Return the log-odds (M, n) of the confidence maps and the pixel classifier."""
    count = len(log_odds.parts)
    parts = list(range(2, count, 2))
    # the pixel classifier is last, if there is one
    if count % 2 == 0:
        parts.append(count - 1)
    return log_odds.parts[parts, label].flatten(1)


def _score(maps: Tensor) -> float:
    """Return the mean of the largest log-odds of maps (M, n)."""
    top = max(_FEWEST, round(_TOP * maps.shape[1]))
    largest = maps.topk(min(top, maps.shape[1]), dim=1).values
    return float(largest.mean())


def _score_beside(case: HeldOut, label: int) -> float:
    """Return the score of the pixels of an example that are not the label."""
    return _score(_maps(case.log_odds, label)[:, ~case.truth[label]])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
