"""The decision for each plane of a volume, once the evidence of all planes is there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from napari_iclsam.core.volume.estimated_dice import estimate_settled_dice
from napari_iclsam.core.volume.label_context import (
    Combined,
    LabelContext,
    PlaneEvidence,
    is_blank,
)
from napari_iclsam.core.volume.overlap import dice_overlap
from napari_iclsam.core.volume.presence import PresenceEvidence, presence_score, smooth_presence
from napari_iclsam.core.volume.specks import ABSENT, without_specks
from napari_iclsam.core.volume.threshold import threshold_of_expected_dice

ReadLogOdds = Callable[[int], NDArray[np.float32]]
"""Returns the log-odds (H, W) that `form_opinion` found in a plane, from memory or disk."""

_NEVER = -10.0
"""Log-odds of what is out of reach."""


@dataclass(frozen=True, slots=True, eq=False)
class SettledPlane:
    """The decision for one label in one plane.

    Attributes
    ----------
    plane : int
    log_odds : ndarray, (H, W), float32
        Full size; the object is where they are positive. All are negative where the object is
        judged absent.
    presence : float
        Probability that the plane holds the object.
    present : bool
    need_of_check : float
        From 0 (sure) to 1; see `need_of_check`.
    estimated_dice : float
        Of the mask; 0 where the object is judged absent. See `estimate_settled_dice`.
    """

    plane: int
    log_odds: NDArray[np.float32]
    presence: float
    present: bool
    need_of_check: float
    estimated_dice: float

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the object is, (H, W)."""
        return np.asarray(self.log_odds > 0)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one plane tells of one label, before its neighbours are known.

    Attributes
    ----------
    score : float
        Log-odds that the plane holds the object; NaN if its image is blank.
    estimated_dice : float
        Of the outline; 0 if there is none.
    disagreement : float
        One minus the Dice of the outline and the mask of the 2-D method; 0 if both are empty, 1 if
        the image is blank and tells nothing.
    """

    score: float
    estimated_dice: float
    disagreement: float


def form_opinion(
    context: LabelContext, plane: int, evidence: PlaneEvidence
) -> tuple[Opinion, NDArray[np.float32]]:
    """Return what a plane tells by itself, and log-odds (H, W) of the outline if it is present.

    Parameters
    ----------
    context : LabelContext
    plane : int
        Unlabelled and within reach.
    evidence : PlaneEvidence
    """
    combined = context.combine(plane, evidence)
    found = presence_evidence(context, plane, evidence, combined)
    threshold = threshold_of_expected_dice(combined.log_odds)
    log_odds = combined.log_odds - np.float32(threshold)
    outline = log_odds > 0
    area = round(np.count_nonzero(outline) / context.factor**2)
    estimate = estimate_settled_dice(found, area, combined.agreement)
    if is_blank(evidence):
        return Opinion(math.nan, estimate, 1.0), log_odds
    score = presence_score(found)
    differing = disagreement(outline, evidence.limited_log_odds > 0)
    return Opinion(score, estimate, differing), log_odds


def answer_first(
    context: LabelContext, plane: int, opinion: Opinion, log_odds: NDArray[np.float32]
) -> SettledPlane:
    """Decide a plane by itself, before the evidence of its neighbours is there."""
    presence = 0.0 if math.isnan(opinion.score) else opinion.score
    return _decide(context, plane, opinion, log_odds, presence)


def settle(
    context: LabelContext, opinions: Mapping[int, Opinion], planes: Sequence[int], read: ReadLogOdds
) -> Iterator[SettledPlane]:
    """Decide planes of one label together, once there is an opinion of each within reach.

    Parameters
    ----------
    context : LabelContext
    opinions : mapping of int to Opinion
        By plane. Others are out of reach, or were not asked for and tell nothing.
    planes : sequence of int
        Those to decide, unlabelled. Without an opinion, they are out of reach.
    read : ReadLogOdds

    Yields
    ------
    SettledPlane
        In the order of ``planes``.
    """
    scores = np.full(context.axis.count, np.nan)
    for plane in range(context.axis.count):
        if plane in opinions:
            scores[plane] = opinions[plane].score
        elif context.is_out_of_reach(plane):
            scores[plane] = _NEVER
    # presence is decided for all planes at once: objects begin and end, they do not flicker
    presence = smooth_presence(scores, context.labelled, context.axis)
    for plane in planes:
        if plane in opinions:
            yield _decide(context, plane, opinions[plane], read(plane), float(presence[plane]))
        else:
            yield absent_plane(context, plane)


def absent_plane(context: LabelContext, plane: int) -> SettledPlane:
    """Return the decision for a plane that is out of the object's reach: its image is not read."""
    log_odds = np.full(context.size, _NEVER, np.float32)
    return SettledPlane(plane, log_odds, float(special.expit(_NEVER)), False, 0.0, 0.0)


def presence_evidence(
    context: LabelContext, plane: int, evidence: PlaneEvidence, combined: Combined
) -> PresenceEvidence:
    """Measure what speaks for the object in a plane."""
    labelled = context.labelled
    beside = [
        known for known in (labelled.below(plane), labelled.above(plane)) if known is not None
    ]
    holding = [known in labelled.holding for known in beside]
    return PresenceEvidence(
        enclosed=labelled.encloses(plane),
        beside_empty=not all(holding),
        distance=context.distance(plane),
        overlap=dice_overlap(combined.log_odds > 0, evidence.limited_log_odds > 0),
        estimate=_log_odds_of_estimate(evidence),
        appearance=combined.appearance,
    )


def _log_odds_of_estimate(evidence: PlaneEvidence) -> float:
    """Return the log-odds of the estimated Dice, within those of .02 and .98."""
    # clipped, since nothing found has an estimate of 0 and infinite log-odds
    return float(special.logit(np.clip(evidence.estimated_dice, 0.02, 0.98)))


def join_labels(log_odds: Mapping[int, NDArray[np.float32]]) -> NDArray[np.int32]:
    """Return the label with the largest positive log-odds of each pixel, 0 where none is positive.

    Parameters
    ----------
    log_odds : mapping of int to ndarray, (H, W)
        Of each label, settled; one label at least.

    Returns
    -------
    ndarray, (H, W), int32
    """
    ids = np.array(list(log_odds), dtype=np.int32)
    stacked = np.stack(list(log_odds.values()))
    labels = ids[stacked.argmax(axis=0)]
    anything = stacked.max(axis=0) > 0
    return np.where(anything, labels, 0).astype(np.int32)


def disagreement(outline: NDArray[np.bool_], seen: NDArray[np.bool_]) -> float:
    """Return one minus the Dice of two masks (H, W); two empty masks agree."""
    if not (outline.any() or seen.any()):
        return 0.0
    return 1 - dice_overlap(outline, seen)


def need_of_check(opinion: Opinion, presence: float) -> float:
    """Return how much a plane needs to be checked, from 0 to 1.

    The larger of the doubt about presence, 1 - |2 p - 1|, and, where the object may be, of the
    disagreement of outline and 2-D method times p.

    Parameters
    ----------
    opinion : Opinion
    presence : float
        Probability p that the plane holds the object.
    """
    doubt = 1 - abs(2 * presence - 1)
    return float(max(doubt, presence * opinion.disagreement))


def _decide(
    context: LabelContext,
    plane: int,
    opinion: Opinion,
    log_odds: NDArray[np.float32],
    presence: float,
) -> SettledPlane:
    """Keep the outline of a plane, or empty it if the object is not in it."""
    log_odds = without_specks(log_odds, context.smallest)
    # a plane without a single pixel does not hold the object, however likely it was
    present = presence > context.strengths.presence and bool((log_odds > 0).any())
    if not present:
        log_odds = np.minimum(log_odds, np.float32(min(presence, float(ABSENT))))
    probability = float(special.expit(presence))
    return SettledPlane(
        plane,
        log_odds,
        probability,
        present,
        need_of_check(opinion, probability),
        opinion.estimated_dice if present else 0.0,
    )
