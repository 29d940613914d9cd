"""The decision for each plane of a volume, once the evidence of all planes is there."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from napari_iclsam.core.volume.estimated_dice import estimate_settled_dice
from napari_iclsam.core.volume.label_context import (
    LabelContext,
    PlaneEvidence,
    ReadEvidence,
    is_blank,
)
from napari_iclsam.core.volume.overlap import dice_overlap
from napari_iclsam.core.volume.presence import PresenceEvidence, presence_score, smooth_presence
from napari_iclsam.core.volume.threshold import threshold_of_expected_dice

_NEVER = -10.0
"""Log-odds of what is out of reach."""

_ABSENT = -1 / 16
"""Largest log-odds in a plane without the object: below 0 also after rounding."""


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


@dataclass(frozen=True, slots=True, eq=False)
class JudgedPlanes:
    """Whether the object is in each plane of a volume.

    Attributes
    ----------
    evidence : mapping of int to PresenceEvidence
        By plane; of unlabelled planes within reach.
    presence : ndarray, (Z,), float64
        Log-odds that a plane holds the object.
    """

    evidence: Mapping[int, PresenceEvidence]
    presence: NDArray[np.float64]


def judge_steps(context: LabelContext, read: ReadEvidence) -> Generator[int, None, JudgedPlanes]:
    """Judge the presence of one label in all planes, once the evidence of all is there.

    Parameters
    ----------
    context : LabelContext
    read : ReadEvidence
        Of a plane at full size, from memory or disk.

    Yields
    ------
    int
        Each unlabelled plane, when it is read.
    """
    scores = np.full(context.axis.count, np.nan)
    found: dict[int, PresenceEvidence] = {}
    for plane in _unlabelled(context):
        yield plane
        if context.is_out_of_reach(plane):
            scores[plane] = _NEVER
            continue
        evidence = read(plane)
        log_odds = context.log_odds(plane, evidence)
        found[plane] = presence_evidence(context, plane, evidence, log_odds)
        if not is_blank(evidence):  # else neighbours decide
            scores[plane] = presence_score(found[plane])
    # presence is decided for all planes at once: objects begin and end, they do not flicker
    return JudgedPlanes(found, smooth_presence(scores, context.labelled, context.axis))


def settle(
    context: LabelContext, read: ReadEvidence, judged: JudgedPlanes
) -> Iterator[SettledPlane]:
    """Decide all unlabelled planes of one label.

    Parameters
    ----------
    context : LabelContext
    read : ReadEvidence
        Of a plane at full size, from memory or disk.
    judged : JudgedPlanes
        Of `judge_steps`.

    Yields
    ------
    SettledPlane
        In ascending order; labelled planes are left out.
    """
    for plane in _unlabelled(context):
        if context.is_out_of_reach(plane):
            yield absent_plane(context, plane)
            continue
        evidence = read(plane)
        log_odds = context.log_odds(plane, evidence)
        presence = float(judged.presence[plane])
        decision = _Decision(plane, evidence, judged.evidence[plane], presence)
        yield _decide(context, decision, log_odds)


def _unlabelled(context: LabelContext) -> list[int]:
    labelled = context.labelled.planes
    return [plane for plane in range(context.axis.count) if plane not in labelled]


def absent_plane(context: LabelContext, plane: int) -> SettledPlane:
    """Return the decision for a plane that is out of the object's reach: its image is not read."""
    log_odds = np.full(context.size, _NEVER, np.float32)
    return SettledPlane(plane, log_odds, float(special.expit(_NEVER)), False, 0.0, 0.0)


def answer_first(context: LabelContext, plane: int, evidence: PlaneEvidence) -> SettledPlane:
    """Decide an unlabelled plane by itself, before the evidence of its neighbours is there."""
    if context.is_out_of_reach(plane):
        return absent_plane(context, plane)
    log_odds = context.log_odds(plane, evidence)
    found = presence_evidence(context, plane, evidence, log_odds)
    presence = 0.0 if is_blank(evidence) else presence_score(found)
    return _decide(context, _Decision(plane, evidence, found, presence), log_odds)


def presence_evidence(
    context: LabelContext,
    plane: int,
    evidence: PlaneEvidence,
    log_odds: NDArray[np.float32],
) -> PresenceEvidence:
    """Measure what speaks for the object in a plane.

    Parameters
    ----------
    context : LabelContext
    plane : int
    evidence : PlaneEvidence
    log_odds : ndarray, (H, W), float32
        Of `LabelContext.log_odds`.
    """
    labelled = context.labelled
    beside = [
        known for known in (labelled.below(plane), labelled.above(plane)) if known is not None
    ]
    holding = [known in labelled.holding for known in beside]
    mask = log_odds > 0
    return PresenceEvidence(
        enclosed=labelled.encloses(plane),
        beside_empty=not all(holding),
        distance=context.distance(plane),
        overlap=dice_overlap(mask, evidence.limited_log_odds > 0),
        estimate=_log_odds_of_estimate(evidence),
        appearance=context.appearance_where_expected(plane, evidence),
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


def need_of_check(
    log_odds: NDArray[np.float32], image: NDArray[np.floating], presence: float
) -> float:
    """Return how much a plane needs to be checked, from 0 to 1.

    The larger of the doubt about presence, 1 - |2 p - 1|, and, where the object may be, of the
    disagreement between the decision and the 2-D method: one minus the Dice of their masks, times
    p.

    Parameters
    ----------
    log_odds : ndarray, (H, W)
        Of the decision.
    image : ndarray, (H, W)
        Of the 2-D method.
    presence : float
        Probability p that the plane holds the object.
    """
    doubt = 1 - abs(2 * presence - 1)
    decided = log_odds > 0
    seen = image > 0
    anything = bool(decided.any() or seen.any())
    # two empty masks agree
    disagreement = 1 - dice_overlap(decided, seen) if anything else 0.0
    return float(max(doubt, presence * disagreement))


@dataclass(frozen=True, slots=True, eq=False)
class _Decision:
    """What a plane is decided by."""

    plane: int
    evidence: PlaneEvidence
    found: PresenceEvidence
    presence: float


def _decide(
    context: LabelContext, decision: _Decision, log_odds: NDArray[np.float32]
) -> SettledPlane:
    """Find the outline in a plane, or empty it if the object is not in it."""
    presence = decision.presence
    likely = presence > context.strengths.presence
    if likely:
        # only where it is present: the threshold would find something in each plane
        log_odds = log_odds - np.float32(threshold_of_expected_dice(log_odds))
    area = int(np.count_nonzero(log_odds > 0))
    # a plane without a single pixel does not hold the object, however likely it was
    present = likely and area > 0
    probability = float(special.expit(presence))
    check = need_of_check(log_odds, decision.evidence.log_odds, probability)
    if is_blank(decision.evidence):
        # its image says nothing: the decision is the neighbours' alone
        check = 1.0
    if not present:
        log_odds = np.minimum(log_odds, np.float32(min(presence, _ABSENT)))
        area = 0
    return SettledPlane(
        decision.plane,
        log_odds.astype(np.float32),
        probability,
        present,
        check,
        estimate_settled_dice(decision.found, round(area / context.factor**2)),
    )
