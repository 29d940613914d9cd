"""How much the parts of the evidence of a volume count."""

from __future__ import annotations

from dataclasses import dataclass


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
        Factor of the shape prior.
    drift : float
        How far an edge may move sideways, per distance along the axis: the width of the shape
        prior.
    shrinkage : float
        How far an edge moves inwards, per distance along the axis, beyond the outermost labelled
        plane that holds the object.
    presence : float
        Log-odds of presence above which a plane holds the object.
    """

    image: float = 0.15
    appearance: float = 0.8
    shape: float = 2.0
    drift: float = 0.3
    shrinkage: float = 0.2
    presence: float = -0.5


DEFAULT_STRENGTHS = Strengths()
"""Chosen on synthetic volumes and on regions of the MNI152 template (leave-one-volume-out)."""
