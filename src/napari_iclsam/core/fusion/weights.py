"""Weights of the fusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from napari_iclsam.weights.entry import FusionDefault


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """Weights of the parts of one label; see ``napari_iclsam.core.fusion.log_odds.LogOdds``.

    Attributes
    ----------
    parts : tuple of float
        Of the in-context model, then mask and confidence map of each promptable model, then the
        pixel classifier, if there is one.
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

    @property
    def has_pixels(self) -> bool:
        """Whether the last part is that of a pixel classifier."""
        # all other parts but the first come in twos
        return len(self.parts) % 2 == 0

    def of_expert(self, expert: int) -> tuple[float, float]:
        """Return the weights of mask and confidence map of a promptable model."""
        first = 1 + 2 * expert
        return self.parts[first], self.parts[first + 1]

    @property
    def of_pixels(self) -> float:
        """The weight of the pixel classifier; 0 without one."""
        return self.parts[-1] if self.has_pixels else 0.0

    def with_pixels(self, weight: float) -> FusionWeights:
        """Return the weights with that of the pixel classifier at the end."""
        return replace(self, parts=(*self.parts, weight))

    def only(self, kept: Kept) -> FusionWeights:
        """Return the weights of the parts that are kept."""
        parts = kept.of(len(self.parts))
        return replace(self, parts=tuple(self.parts[part] for part in parts))


@dataclass(frozen=True, slots=True)
class Kept:
    """Which parts are fused beside that of the in-context model.

    Attributes
    ----------
    experts : tuple of int
        Promptable models.
    pixels : bool
        Whether the pixel classifier is, if there is one.
    """

    experts: tuple[int, ...]
    pixels: bool = True

    def of(self, count: int) -> tuple[int, ...]:
        """Return the indices of what is kept of ``count`` parts."""
        parts = [0]
        for expert in self.experts:
            parts += [1 + 2 * expert, 2 + 2 * expert]
        if self.pixels and count % 2 == 0:
            parts.append(count - 1)
        return tuple(parts)

    def without_expert(self, dropped: int) -> Kept:
        """Return the same without one promptable model."""
        experts = tuple(expert for expert in self.experts if expert != dropped)
        return replace(self, experts=experts)

    def common(self, other: Kept) -> Kept:
        """Return what both keep."""
        experts = tuple(expert for expert in self.experts if expert in other.experts)
        return Kept(experts, pixels=self.pixels and other.pixels)


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
    if pairs == 1 and len(set(kinds)) > 1:
        return _of_one_example(kinds)
    if len(kinds) > 1:
        return FusionWeights((0.5, *(0.5 / len(kinds), 0.0) * len(kinds)), gate_by_agreement=True)
    return STARTER_WEIGHTS if kinds[0] == "starter" else published_weights(pairs)


def _of_one_example(kinds: Sequence[FusionDefault]) -> FusionWeights:
    """Return the weights of promptable models of both kinds with one example.

    Nothing then tells which to believe. Of published models, the map knows as much as the mask,
    which fails more often than that of the starter model.
    """
    parts = [0.5]
    for kind in kinds:
        alike = kinds.count(kind)
        of_kind = (0.3, 0.0) if kind == "starter" else (0.1, 0.1)
        parts += [weight / alike for weight in of_kind]
    return FusionWeights(tuple(parts), gate_by_agreement=True)


def published_weights(pairs: int) -> FusionWeights:
    """Return gamma and 1 - gamma for K pairs and one promptable model, without confidence map.

    gamma = 0.5 - 0.5 exp(-0.1 K) (Hu et al. 2024).
    """
    gamma = 0.5 - 0.5 * math.exp(-0.1 * pairs)
    return FusionWeights((gamma, 1 - gamma, 0.0))
