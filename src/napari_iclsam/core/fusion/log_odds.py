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

STARTER_WEIGHTS = FusionWeights(icl=0.5, sam=0.5, gate_by_agreement=True)
"""The default with starter-sam (see `starter_weights`): the best over held-out subjects of its
training sets and new synthetic tasks. Starter-sam is a weaker model than SAM, for which the
published ones were made."""

_THIN_SHIFT = 0.5
"""Threshold shift of what one example shows to be thin: it comes out too wide otherwise, and nearly
all of it is edge."""

_DISAGREEMENT = 0.8
"""Dice of both models' masks up to which SAM's counts for nothing."""

_AGREEMENT = 0.95
"""Dice of both models' masks from which on SAM's counts in full."""


@dataclass(frozen=True, slots=True)
class LogOdds:
    """Log-odds of the foreground by each part, for L labels.

    Attributes
    ----------
    icl, sam, confidence : Tensor, (L, ...)
        Of the in-context model, of SAM (its logits), and of the confidence map.
    agreement : Tensor, (L,)
        How far SAM's mask is the in-context model's, from 0 to 1. That model prompts SAM; where the
        masks differ much, a weak SAM has segmented something else.
    """

    icl: Tensor
    sam: Tensor
    confidence: Tensor
    agreement: Tensor

    def parts(self, label: int, *, gate_by_agreement: bool) -> Tensor:
        """Return what counts for one label, (3, n): the in-context model, SAM, the confidence map."""
        icl = self.icl[label].flatten()
        sam = self.sam[label].flatten()
        if gate_by_agreement:
            sam = torch.lerp(icl, sam, self.agreement[label])
        return torch.stack([icl, sam, self.confidence[label].flatten()])


def starter_weights(masks: Sequence[NDArray[np.bool_]]) -> FusionWeights:
    """Return the default weights of a label with starter-sam, given its masks (H, W) in the examples.

    They are `STARTER_WEIGHTS`. Of thin objects the threshold is higher if there is one example,
    since none can be cross-validated.
    """
    known = [mask for mask in masks if mask.any()]
    if len(known) == 1 and is_thin(known[0]):
        return replace(STARTER_WEIGHTS, threshold_shift=_THIN_SHIFT)
    return STARTER_WEIGHTS


def log_odds_of(outputs: StageOutputs) -> LogOdds:
    """Return the log-odds of each part, on the image."""
    icl = resize(outputs.icl, outputs.size).logit(1e-3)
    overlap = _overlap(icl > 0, outputs.sam > 0)
    agreement = (overlap - _DISAGREEMENT) / (_AGREEMENT - _DISAGREEMENT)
    return LogOdds(
        icl=icl,
        sam=outputs.sam.clamp(-10, 10),
        confidence=outputs.confidence.logit(1e-3),
        agreement=agreement.clamp(0, 1),
    )


def fuse_log_odds(log_odds: LogOdds, weights: Sequence[FusionWeights]) -> Tensor:
    """Return the fused score of each label, of the shape of the log-odds, positive where it is foreground.

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
    parts = log_odds.parts(label, gate_by_agreement=weights.gate_by_agreement)
    return coefficients([weights], log_odds.icl) @ parts


def coefficients(weights: Sequence[FusionWeights], like: Tensor) -> Tensor:
    """Return the factors of `LogOdds.parts` under R weights, (R, 3)."""
    rows = []
    for one in weights:
        factor = one.inverse_temperature
        rows.append([factor * one.icl, factor * one.sam, factor * one.confidence])
    return torch.tensor(rows, dtype=like.dtype, device=like.device)


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """Return the Dice of masks (L, 1, H, W) label by label, (L,); 0 if both are empty: then nothing agrees."""
    both = (a & b).sum(dim=(1, 2, 3))
    total = a.sum(dim=(1, 2, 3)) + b.sum(dim=(1, 2, 3))
    return 2 * both / total.clamp_min(1)
