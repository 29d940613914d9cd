"""The fusion of "auto" mode: log-odds of each part, weighted, and a threshold that maximises the expected Dice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.fusion.outputs import StageOutputs
from napari_iclsam.core.fusion.threshold import best_bin, histogram, lower_edge
from napari_iclsam.core.fusion.weights import FusionWeights
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.images.thinness import is_thin

_THIN_SHIFT = 0.5
"""Threshold shift of what one example shows to be thin: it comes out too wide otherwise, and nearly
all of it is edge."""

_DISAGREEMENT = 0.8
"""Dice of a mask with the in-context model's up to which it counts for nothing."""

_AGREEMENT = 0.95
"""Dice of a mask with the in-context model's from which on it counts in full."""

_LIMIT = 10.0
"""Logits of the mask decoder are clipped to this."""


@dataclass(frozen=True, slots=True)
class LogOdds:
    """Log-odds of the foreground by each of P parts, for L labels.

    The parts are the in-context model, then mask and confidence map of each promptable model.

    Attributes
    ----------
    parts : Tensor, (P, L, ...)
    agreement : Tensor, (P, L)
        How far the mask of a part is the in-context model's, from 0 to 1; 1 for what is no mask.
        That model prompts the others; where the masks differ much, a weak model has segmented
        something else.
    """

    parts: Tensor
    agreement: Tensor

    @property
    def icl(self) -> Tensor:
        """Log-odds of the in-context model, (L, ...)."""
        return self.parts[0]

    def of_label(self, label: int, *, gate_by_agreement: bool) -> Tensor:
        """Return what counts for one label, (P, n)."""
        parts = self.parts[:, label].flatten(1)
        if not gate_by_agreement:
            return parts
        return torch.lerp(parts[:1], parts, self.agreement[:, label, None])


def log_odds_of(outputs: StageOutputs) -> LogOdds:
    """Return the log-odds of each part, on the image."""
    icl = resize(outputs.icl, outputs.size).logit(1e-3)
    full = torch.ones(len(icl), device=icl.device)
    parts = [icl]
    agreement = [full]
    for expert in outputs.experts:
        parts += [expert.sam.clamp(-_LIMIT, _LIMIT), expert.confidence.logit(1e-3)]
        agreement += [_agreement(icl > 0, expert.sam > 0), full]
    return LogOdds(torch.stack(parts), torch.stack(agreement))


def fuse_log_odds(log_odds: LogOdds, weights: Sequence[FusionWeights]) -> Tensor:
    """Return the fused score of each label, of the shape of a part, positive where it is foreground.

    Parameters
    ----------
    log_odds : LogOdds
    weights : sequence of FusionWeights
        One a label.
    """
    scores = []
    for label, of_label in enumerate(weights):
        fused = weighted_sum(log_odds, label, of_label)
        threshold = lower_edge(best_bin(histogram(fused))) + of_label.threshold_shift
        scores.append((fused - threshold[:, None]).reshape(log_odds.icl.shape[1:]))
    return torch.stack(scores)


def weighted_sum(log_odds: LogOdds, label: int, weights: FusionWeights) -> Tensor:
    """Return the fused log-odds of a label, (1, n)."""
    parts = log_odds.of_label(label, gate_by_agreement=weights.gate_by_agreement)
    return coefficients([weights], parts) @ parts


def coefficients(weights: Sequence[FusionWeights], like: Tensor) -> Tensor:
    """Return the factors of the parts under R weights, (R, P)."""
    rows = []
    for one in weights:
        rows.append([one.inverse_temperature * part for part in one.parts])
    return torch.tensor(rows, dtype=like.dtype, device=like.device)


def shifted_for_thin(
    default: FusionWeights, masks: Sequence[NDArray[np.bool_]]
) -> FusionWeights:
    """Return default weights for a label, given its masks (H, W) in the examples.

    Of thin objects the threshold is higher if there is one example, since none can be
    cross-validated.
    """
    known = [mask for mask in masks if mask.any()]
    if len(known) == 1 and is_thin(known[0]):
        return replace(default, threshold_shift=_THIN_SHIFT)
    return default


def _agreement(a: Tensor, b: Tensor) -> Tensor:
    """Return how far masks (L, 1, H, W) agree, label by label, (L,); 0 if both are empty."""
    both = (a & b).sum(dim=(1, 2, 3))
    total = a.sum(dim=(1, 2, 3)) + b.sum(dim=(1, 2, 3))
    dice = 2 * both / total.clamp_min(1)
    return ((dice - _DISAGREEMENT) / (_AGREEMENT - _DISAGREEMENT)).clamp(0, 1)
