"""Whether an object is in a plane at all: its own evidence, and that of its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    only_plane : bool
        A single plane is labelled.
    distance : float
        To the nearest labelled plane that holds it, in radii of the object.
    area : float
        Of the mask, relative to the labelled planes.
    overlap : float
        Dice of the mask and the mask of the 2-D method.
    estimate : float
        Log-odds of the estimated Dice of the 2-D method.
    relative_estimate : float
        The same, less its mean in planes beside labelled ones that hold the object.
    """

    enclosed: bool
    beside_empty: bool
    only_plane: bool
    distance: float
    area: float
    overlap: float
    estimate: float
    relative_estimate: float


_INTERCEPT = 1.29
_WEIGHTS = np.array([1.97, 1.34, -1.13, 0.38, 1.22, 0.55, 1.55])
"""Logistic regression on the development volumes, in the order of `presence_score`.

Area under the curve .976, each volume left out in turn.
"""


_FAR = 4.0
"""Radii of the object from which on a larger distance tells no more."""

_DISTANCE_OF_ONE = 0.4
"""Factor of the distance to the only labelled plane: several planes, which a person spreads over
the object, bound it; one does not."""


def presence_score(evidence: PresenceEvidence) -> float:
    """Return the log-odds that a plane, by itself, holds the object."""
    distance = min(evidence.distance, _FAR)
    if evidence.only_plane:
        distance *= _DISTANCE_OF_ONE
    features = np.array(
        [
            float(evidence.enclosed),
            float(evidence.beside_empty),
            distance,
            np.clip(np.log(evidence.area + 0.02), -4.0, 0.5),
            evidence.overlap,
            evidence.estimate,
            np.clip(evidence.relative_estimate, -4.0, 2.0),
        ]
    )
    return float(_INTERCEPT + _WEIGHTS @ features)


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
