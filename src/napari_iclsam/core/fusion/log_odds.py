"""The fusion of "auto" mode: what each part says in log-odds, weighed, and cut where the expected Dice is largest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_iclsam.core.fusion.published import Weights
from napari_iclsam.core.fusion.threshold import best_bin, cut_of, histogram
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.refinement.sam import Maps

STARTER_WEIGHTS = Weights(icl=0.5, sam=0.5, doubt_sam=True)
"""The default with starter-sam (see `starter_weights`): the best over held-out subjects of its training sets and new
synthetic tasks. Starter-sam is a weaker judge than SAM, for which the published ones were made."""

_THIN, _LATER = 1.5, 0.5
"""Mean distance to the edge, on an image of 256 x 256, below which an object is thin; the offset of the cut of what one
example shows to be thin. It comes out too wide otherwise, and nearly all of it is edge."""

_DISTRUST, _TRUST = 0.8, 0.95
"""Dice with the in-context model's mask up to which SAM's counts for nothing, and from which on it counts in full."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log-odds of the foreground by each part, for L labels.

    Attributes
    ----------
    icl, sam, confidence : Tensor, (L, ...)
        Of the in-context model, of SAM (its logits), and of the confidence map.
    trust : Tensor, (L,)
        How far SAM's mask is the in-context model's, from 0 to 1. That model shows SAM where to look; where the masks
        differ much, a weak SAM has segmented something else.
    """

    icl: Tensor
    sam: Tensor
    confidence: Tensor
    trust: Tensor

    def parts(self, label: int, *, doubt_sam: bool) -> Tensor:
        """Return what counts for one label, (3, n): the in-context model, SAM (as far as it is trusted), the map."""
        icl, sam, confidence = (part[label].flatten() for part in (self.icl, self.sam, self.confidence))
        return torch.stack([icl, torch.lerp(icl, sam, self.trust[label]) if doubt_sam else sam, confidence])


def starter_weights(masks: Sequence[NDArray[np.bool_]]) -> Weights:
    """Return the weights of a label with starter-sam before any is tried, given its masks (H, W) in the examples.

    They are `STARTER_WEIGHTS`. Thin objects are cut later if one example is all there is: nothing can be tried.
    """
    known = [mask for mask in masks if mask.any()]
    return replace(STARTER_WEIGHTS, offset=_LATER) if len(known) == 1 and is_thin(known[0]) else STARTER_WEIGHTS


def is_thin(mask: NDArray[np.bool_]) -> bool:
    """Return whether a mask (H, W) shows something thin: vessels, membranes."""
    distances: NDArray[np.float64] = ndimage.distance_transform_edt(mask)
    return float(distances[mask].mean() - 0.5) * 256 / math.sqrt(mask.size) < _THIN


def evidence_of(maps: Maps) -> Evidence:
    """Return what the maps of a query say, on the image."""
    icl = resize(maps.icl, (maps.sam.shape[-2], maps.sam.shape[-1])).logit(1e-3)
    trust = (_overlap(icl > 0, maps.sam > 0) - _DISTRUST) / (_TRUST - _DISTRUST)
    return Evidence(icl, maps.sam.clamp(-10, 10), maps.confidence.logit(1e-3), trust.clamp(0, 1))


def combine(evidence: Evidence, weights: Sequence[Weights]) -> Tensor:
    """Return the fused score of each label, of the shape of the evidence, positive where it is foreground.

    Parameters
    ----------
    evidence : Evidence
    weights : sequence of Weights
        One a label.
    """
    scores = []
    for label, own in enumerate(weights):
        odds = odds_of(evidence, label, own)
        cut = cut_of(best_bin(histogram(odds))) + own.offset
        scores.append((odds - cut[:, None]).reshape(evidence.icl.shape[1:]))
    return torch.stack(scores)


def odds_of(evidence: Evidence, label: int, weights: Weights) -> Tensor:
    """Return the fused log-odds of a label, (1, n)."""
    return coefficients([weights], evidence.icl) @ evidence.parts(label, doubt_sam=weights.doubt_sam)


def coefficients(weights: Sequence[Weights], like: Tensor) -> Tensor:
    """Return the factors of `Evidence.parts`, (R, 3)."""
    table = [[w.sharpness * part for part in (w.icl, w.sam, w.confidence)] for w in weights]
    return torch.tensor(table, dtype=like.dtype, device=like.device)


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """Return the Dice of masks (L, 1, H, W) label by label, (L,); 0 if both are empty."""
    both, either = (a & b).sum(dim=(1, 2, 3)), a.sum(dim=(1, 2, 3)) + b.sum(dim=(1, 2, 3))
    return 2 * both / either.clamp_min(1)
