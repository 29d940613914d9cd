"""Whether an object is in a plane at all: its own evidence, and that of its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.volume.appearance import APPEARANCE_LIMIT
from napari_iclsam.core.volume.labelled_planes import Axis, LabelledPlanes

_STAY = {"space": 2.0, "time": 1.0}
"""Log-odds that the next plane is like this one, with or without the object, by kind of axis."""

_SURE = 30.0
"""Log-odds of what a person has labelled."""

_TRUST = 0.6
"""Factor of the score of a plane beside its neighbours': planes side by side err together."""


@dataclass(frozen=True, slots=True)
class PresenceEvidence:
    """What speaks for an object in one plane.

    Attributes
    ----------
    enclosed : bool
        The nearest labelled planes on both sides hold it.
    beside_empty : bool
        A nearest labelled plane, on one side at least, does not hold it.
    distance : float
        To the nearest labelled plane that holds it, relative to `LabelledPlanes.reach`.
    overlap : float
        Dice of the mask and the mask of the 2-D method.
    estimate : float
        Log-odds of the estimated Dice of the 2-D method.
    appearance : float
        Mean log-odds by grey values where the object is expected by its shape.
    """

    enclosed: bool
    beside_empty: bool
    distance: float
    overlap: float
    estimate: float
    appearance: float


_INTERCEPT = 1.74
_WEIGHTS = np.array([3.93, 0.92, -4.91, 4.31, 0.55, 0.32])
"""Logistic regression on the development volumes, in the order of `presence_features`.

Area under the curve .99, each volume left out in turn.
"""

BEST_ESTIMATE = 3.9
"""Log-odds of an estimated Dice of .98, the largest that counts."""

_FAR = 4.0
"""Distance from which on a larger one tells no more."""


def presence_features(evidence: PresenceEvidence) -> NDArray[np.float64]:
    """Return what the regression is fitted to, limited against outliers."""
    return np.array(
        [
            float(evidence.enclosed),
            float(evidence.beside_empty),
            min(evidence.distance, _FAR),
            evidence.overlap,
            evidence.estimate,
            evidence.appearance,
        ]
    )


def presence_score(evidence: PresenceEvidence) -> float:
    """Return the log-odds that a plane, by itself, holds the object."""
    return float(_INTERCEPT + _WEIGHTS @ presence_features(evidence))


def is_out_of_reach(distance: float, axis: Axis, threshold: float) -> bool:
    """Return whether a plane is without the object, whatever its image shows.

    Only for planes that are not enclosed by two that hold it.

    Parameters
    ----------
    distance : float
        As in `PresenceEvidence`.
    axis : Axis
    threshold : float
        Log-odds of presence above which a plane holds the object.
    """
    # along a time axis an object may return
    if axis.kind == "time":
        return False
    best = PresenceEvidence(
        enclosed=False,
        beside_empty=True,
        distance=distance,
        overlap=1.0,
        estimate=BEST_ESTIMATE,
        appearance=APPEARANCE_LIMIT,
    )
    # the plane on the way to the object may speak for it, those farther out cannot
    return _TRUST * presence_score(best) + _STAY[axis.kind] <= threshold


def smooth_presence(
    scores: NDArray[np.float64], labelled: LabelledPlanes, axis: Axis
) -> NDArray[np.float64]:
    """Return log-odds (Z,) of presence, given scores (Z,) of planes, by a hidden Markov model.

    Two states, absent and present, tend to stay; labelled planes are known. It is the forward-
    backward algorithm (Rabiner 1989) with messages in log-odds. In planes without a score (NaN),
    neighbours decide.
    """
    # zero log-odds where a plane has no score
    own = np.nan_to_num(_TRUST * scores)
    for plane in labelled.planes:
        # large but finite, since differences of infinities are not numbers
        own[plane] = _SURE if plane in labelled.holding else -_SURE
    stay = _STAY[axis.kind]
    forward = _messages(own, stay)
    backward = _messages(own[::-1], stay)[::-1]
    return np.asarray(own + forward + backward)


def _messages(own: NDArray[np.float64], stay: float) -> NDArray[np.float64]:
    """Return what each plane learns from those before it, in log-odds."""
    messages = np.zeros(len(own))
    for plane in range(1, len(own)):
        before = own[plane - 1] + messages[plane - 1]
        # in logarithms: products of many probabilities would vanish
        messages[plane] = np.logaddexp(before + stay, 0) - np.logaddexp(before, stay)
    return messages
