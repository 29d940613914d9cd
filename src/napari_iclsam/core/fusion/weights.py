"""Weights of the fusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_iclsam.weights.catalogue import FusionDefault


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """Weights of the parts of one label; see ``napari_iclsam.core.fusion.log_odds.LogOdds``.

    Attributes
    ----------
    parts : tuple of float
        Of the in-context model, then mask and confidence map of each promptable model.
    inverse_temperature : float
        Factor of their sum: below 1 where the models are overconfident. For log-odds alone.
    threshold_shift : float
        Added to the threshold that maximises the expected Dice. For log-odds alone.
    gate_by_agreement : bool
        Let a mask count only as far as it agrees with the in-context model's. For log-odds alone.
    """

    parts: tuple[float, ...]
    inverse_temperature: float = 1.0
    threshold_shift: float = 0.0
    gate_by_agreement: bool = False

    @property
    def experts(self) -> int:
        """Number of promptable models."""
        return (len(self.parts) - 1) // 2

    def of_expert(self, expert: int) -> tuple[float, float]:
        """Return the weights of mask and confidence map of a promptable model."""
        first = 1 + 2 * expert
        return self.parts[first], self.parts[first + 1]

    def only(self, experts: Sequence[int]) -> FusionWeights:
        """Return the weights without those of the other promptable models."""
        kept = [self.parts[0]]
        for expert in experts:
            kept += self.of_expert(expert)
        return FusionWeights(
            tuple(kept), self.inverse_temperature, self.threshold_shift, self.gate_by_agreement
        )


STARTER_WEIGHTS = FusionWeights((0.5, 0.5, 0.0), gate_by_agreement=True)
"""The default with starter-sam alone: the best over held-out subjects of its training sets and new
synthetic tasks. It is a weaker model than SAM, for which the published weights were made."""


def default_weights(kinds: Sequence[FusionDefault], pairs: int) -> FusionWeights:
    """Return the weights that hold before any are cross-validated.

    Parameters
    ----------
    kinds : sequence of {"published", "starter"}
        Of each promptable model.
    pairs : int
        K.
    """
    if len(kinds) > 1:
        return FusionWeights((0.5, *(0.5 / len(kinds), 0.0) * len(kinds)), gate_by_agreement=True)
    return STARTER_WEIGHTS if kinds[0] == "starter" else published_weights(pairs)


def published_weights(pairs: int) -> FusionWeights:
    """Return gamma and 1 - gamma for K pairs and one promptable model, without confidence map.

    gamma = 0.5 - 0.5 exp(-0.1 K) (Hu et al. 2024).
    """
    gamma = 0.5 - 0.5 * math.exp(-0.1 * pairs)
    return FusionWeights((gamma, 1 - gamma, 0.0))
