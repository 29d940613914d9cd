"""How much the parts of the evidence count: defaults, and what left-out planes tell of a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True)
class Strengths:
    """Weights of the parts of the evidence of one label.

    Attributes
    ----------
    image : float
        Factor of the log-odds of the 2-D method.
    appearance : float
        Factor of the log-likelihood ratio of grey values.
    shape : float
        Factor of the shape prior between two labelled planes.
    drift : float
        How far an edge may move sideways, per distance along the axis: the width of the shape
        prior.
    fade : float
        Log-odds that propagation loses per plane, so that an object may end.
    presence : float
        Log-odds of presence above which a plane holds the object.
    """

    image: float = 0.35
    appearance: float = 0.5
    shape: float = 0.3
    drift: float = 0.5
    fade: float = 0.1
    presence: float = -0.5


DEFAULT_STRENGTHS = Strengths()
"""Chosen on synthetic volumes and on regions of the MNI152 template (leave-one-volume-out)."""

_CANDIDATES = (
    (0.35, 0.5),
    (0.15, 0.5),
    (0.15, 0.25),
    (0.35, 0.25),
    (0.6, 0.5),
    (0.35, 0.8),
)
"""Weights of image and appearance that are tried; the first one is the default."""

_SHRINKAGE = 4.0
"""So many labelled planes that speak for the default count beside those that were left out."""

_TEMPERATURE = 0.03
"""Dice by which a candidate may be worse than the best for a share of 1 / e of its weight."""


def candidates(default: Strengths = DEFAULT_STRENGTHS) -> tuple[Strengths, ...]:
    """Return the strengths to try; the default comes first."""
    tried = []
    for image, appearance in _CANDIDATES:
        tried.append(replace(default, image=image, appearance=appearance))
    return tuple(tried)


def choose_strengths(scores: Mapping[Strengths, list[float]]) -> Strengths:
    """Average candidates by how well each predicts labelled planes that were left out.

    Gains are shrunk to the default.

    Parameters
    ----------
    scores : mapping of Strengths to list of float
        Dice of each left-out plane; the default comes first. All lists have the same length.

    Returns
    -------
    Strengths
        The default if no plane was left out.
    """
    tried = list(scores)
    count = len(scores[tried[0]])
    if not count:
        return tried[0]
    of_default = np.mean(scores[tried[0]])
    gains = np.array([np.mean(scores[one]) - of_default for one in tried])
    # few planes left out are little evidence: their gains are partly chance
    gains *= count / (count + _SHRINKAGE)
    # a mean and not the best, which few planes tell by chance alone
    shares = np.exp((gains - gains.max()) / _TEMPERATURE)
    shares /= shares.sum()
    image = float(shares @ [one.image for one in tried])
    appearance = float(shares @ [one.appearance for one in tried])
    return replace(
        tried[0],
        image=image,
        appearance=appearance,
    )
