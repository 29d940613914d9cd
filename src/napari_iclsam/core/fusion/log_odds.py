"""The fusion of "auto" mode: weighted log-odds, and a threshold of the highest expected Dice."""

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
from napari_iclsam.core.images.thinness import only_one_and_thin

_THIN_SHIFT = 0.5
"""Threshold shift of what one example shows to be thin: it comes out too wide otherwise, and nearly
all of it is edge."""

_THIN_PIXELS = 0.4
"""Weight of the pixel classifier for what one example shows to be thin. On 14 tasks of training
images and synthetic scenes it gains .03 Dice; 0.35 and 0.5 are as good."""

_ICL_AGREEMENT = (0.8, 0.95)
"""Dice with the in-context model's mask up to which a mask disagrees, and from which it agrees."""

_MAP_AGREEMENT = (0.6, 0.85)
"""The same for the confidence map, whose cells are coarser."""

_LIMIT = 10.0
"""Logits of the mask decoder are clipped to this."""


@dataclass(frozen=True, slots=True)
class LogOdds:
    """Log-odds of the foreground by each of P parts, for L labels.

    The parts are the in-context model, then mask and confidence map of each promptable model, then
    the pixel classifier, if there is one.

    Attributes
    ----------
    parts : Tensor, (P, L, ...)
    agreement : Tensor, (P, L)
        How far the mask of a part is the in-context model's, or that of its own confidence map,
        from 0 to 1; 1 for what is no mask. The in-context model prompts the others; where a mask is
        confirmed by nothing, a weak model has segmented something else.
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
        # what does not agree is replaced by the in-context model's, not dropped: the sum keeps
        # its scale
        return torch.lerp(
            parts[:1],
            parts,
            self.agreement[:, label, None],
        )


def foreground_log_odds(
    masks: Sequence[NDArray[np.bool_]], known: Sequence[NDArray[np.bool_]] | None = None
) -> list[float]:
    """Return the log-odds of each label's mean share of the images.

    The probe is fitted with balanced classes: this is what its log-odds lack.

    Parameters
    ----------
    masks : sequence of ndarray, (L, H, W), bool
    known : sequence of ndarray, (H, W), bool, optional
        The pixels that count; by default all.
    """
    of_each = []
    for pair, of_pair in enumerate(masks):
        areas = of_pair.sum(axis=(1, 2))
        total = of_pair[0].size if known is None else known[pair].sum()
        of_each.append(areas / max(1, total))
    shares = np.mean(of_each, axis=0)
    # a label that fills all or nothing of the examples would make them infinite
    clipped = np.clip(shares, 1e-4, 1 - 1e-4)
    log_odds: list[float] = np.log(clipped / (1 - clipped)).tolist()
    return log_odds


def log_odds_of(outputs: StageOutputs, foreground: Sequence[float]) -> LogOdds:
    """Return the log-odds of each part, on the image.

    Parameters
    ----------
    outputs : StageOutputs
    foreground : sequence of float
        Of `foreground_log_odds`, label by label.
    """
    # clipped to +-6.9: a network that is wholly sure would outvote all other parts
    icl = resize(outputs.icl, outputs.size).logit(1e-3)
    prior = torch.tensor(
        foreground,
        dtype=icl.dtype,
        device=icl.device,
    )
    prior = prior[:, None, None, None]
    full = torch.ones(len(icl), device=icl.device)
    parts = [icl]
    agreement = [full]
    for expert in outputs.experts:
        # the probe learnt from balanced classes and so overrates what is rare
        confidence = expert.confidence.logit(1e-3) + prior
        mask = expert.sam > 0
        dice_with_icl = _overlap(mask, icl > 0)
        dice_with_map = _overlap(mask, _best_mask(confidence))
        with_icl = _ramp(dice_with_icl, _ICL_AGREEMENT)
        with_map = _ramp(dice_with_map, _MAP_AGREEMENT)
        parts += [expert.sam.clamp(-_LIMIT, _LIMIT), confidence]
        # one confirmation suffices: each alone has failures that the other does not share
        agreement += [torch.maximum(with_icl, with_map), full]
    if outputs.pixels is not None:
        parts.append(outputs.pixels)
        agreement.append(full)
    return LogOdds(
        torch.stack(parts),
        torch.stack(agreement),
    )


def fuse_log_odds(log_odds: LogOdds, weights: Sequence[FusionWeights]) -> Tensor:
    """Return the fused score of each label, in the shape of a part: positive is foreground.

    Parameters
    ----------
    log_odds : LogOdds
    weights : sequence of FusionWeights
        One a label.
    """
    scores = []
    for label, of_label in enumerate(weights):
        fused = weighted_sum(log_odds, label, of_label)
        # a threshold for each image, since its own probabilities tell what is to be expected in
        # it
        best = lower_edge(best_bin(histogram(fused)))
        threshold = best + of_label.threshold_shift
        # subtracted, so that labels compete by how far they lie above their thresholds
        score = fused - threshold[:, None]
        scores.append(score.reshape(log_odds.icl.shape[1:]))
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
    return torch.tensor(
        rows,
        dtype=like.dtype,
        device=like.device,
    )


def shifted_for_thin(default: FusionWeights, masks: Sequence[NDArray[np.bool_]]) -> FusionWeights:
    """Return default weights for a label, given its masks (H, W) in the examples.

    Of thin objects the threshold is higher if there is one example, since none can be
    cross-validated. A pixel classifier makes that needless; see `with_pixels_for_thin`.
    """
    if only_one_and_thin(masks):
        return replace(default, threshold_shift=_THIN_SHIFT)
    return default


def with_pixels_for_thin(
    default: FusionWeights, masks: Sequence[NDArray[np.bool_]]
) -> FusionWeights:
    """Return default weights for a label and a pixel classifier, given its masks (H, W).

    What the classifier says of other images is known once it was tried on one. Until then it counts
    for thin objects alone.
    """
    share = _THIN_PIXELS if only_one_and_thin(masks) else 0.0
    others = tuple((1 - share) * part for part in default.parts)
    return replace(default, parts=others).with_pixels(share)


def _best_mask(log_odds: Tensor) -> Tensor:
    """Return the masks (L, 1, H, W) with the largest expected Dice."""
    thresholds = lower_edge(best_bin(histogram(log_odds.flatten(1))))
    return log_odds >= thresholds[:, None, None, None]


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """Return the Dice of masks (L, 1, H, W) label by label, (L,).

    It is 0 if both are empty: then nothing agrees.
    """
    pixels = (1, 2, 3)
    both = (a & b).sum(dim=pixels)
    total = a.sum(dim=pixels) + b.sum(dim=pixels)
    # at least one, so that two empty masks give 0 instead of NaN
    return 2 * both / total.clamp_min(1)


def _ramp(dice: Tensor, limits: tuple[float, float]) -> Tensor:
    low, high = limits
    return ((dice - low) / (high - low)).clamp(0, 1)
