"""A first answer for a plane as soon as it is computed, before the volume is settled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from napari_iclsam.core.volume.label_context import LabelContext, PlaneEvidence, total_log_odds
from napari_iclsam.core.volume.propagation import propagate


@dataclass(frozen=True, slots=True, eq=False)
class PlaneState:
    """What the next plane outwards needs to know of a plane, on the working grid.

    Attributes
    ----------
    probability : ndarray, (h, w), float32
        Of the label.
    grey : ndarray, (h, w), uint8
    """

    probability: NDArray[np.float32]
    grey: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class FirstAnswer:
    """A first answer for one label in one plane.

    Attributes
    ----------
    log_odds : ndarray, (H, W), float32
        The object is where they are positive.
    state : PlaneState
    """

    log_odds: NDArray[np.float32]
    state: PlaneState


def state_of_labelled(context: LabelContext, plane: int, evidence: PlaneEvidence) -> PlaneState:
    """Return the state of a labelled plane, from which propagation starts."""
    mask = context.labelled.mask(plane)
    # what a person has labelled is certain: neither image nor neighbours weigh in
    return PlaneState(
        mask.astype(np.float32),
        context.grey(evidence),
    )


def answer_first(
    context: LabelContext, plane: int, evidence: PlaneEvidence, inward: PlaneState | None
) -> FirstAnswer:
    """Segment a plane by its own evidence and that of the plane beside it, inwards.

    Parameters
    ----------
    context : LabelContext
    plane : int
        Not labelled.
    evidence : PlaneEvidence
    inward : PlaneState, optional
        Of the plane that `inward_neighbour` names; None if that plane was not computed.
    """
    grey = context.grey(evidence)
    own = context.own_log_odds(plane, evidence)
    # zero log-odds tell nothing: without a neighbour the plane's own evidence decides
    message = np.zeros_like(own)
    if inward is not None:
        message = propagate(
            inward.probability,
            inward.grey,
            grey,
            context.matching,
        )
        # without fading, an object would never end
        message = message - np.float32(context.strengths.fade)
    probability = special.expit(message + own)
    log_odds = total_log_odds(context, plane, evidence, message)
    return FirstAnswer(log_odds, PlaneState(probability, grey))
