"""Weights of the fusion."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """Weights of the in-context model, SAM and the confidence map of one label.

    Attributes
    ----------
    icl, sam, confidence : float
    inverse_temperature : float
        Factor of their sum: below 1 where the models are overconfident. For log-odds alone.
    threshold_shift : float
        Added to the threshold that maximises the expected Dice. For log-odds alone.
    gate_by_agreement : bool
        Let SAM count only as far as its mask agrees with the in-context model's. For log-odds alone.
    """

    icl: float
    sam: float
    confidence: float = 0.0
    inverse_temperature: float = 1.0
    threshold_shift: float = 0.0
    gate_by_agreement: bool = False


def published_weights(pairs: int) -> FusionWeights:
    """Return gamma and 1 - gamma for K pairs: gamma = 0.5 - 0.5 exp(-0.1 K) (Hu et al. 2024)."""
    gamma = 0.5 - 0.5 * math.exp(-0.1 * pairs)
    return FusionWeights(icl=gamma, sam=1 - gamma)
