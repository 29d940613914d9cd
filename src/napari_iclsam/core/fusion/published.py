"""Guidance from the confidence map, the published fusion, many labels -> one label map (Hu et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.images.geometry import Frame, resize
from napari_iclsam.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the in-context model, SAM and the confidence map in the fusion.

    Attributes
    ----------
    icl, sam, confidence : float
    sharpness : float
        What their sum is multiplied by: below 1 where the parts are too sure of themselves. For "auto" mode alone.
    offset : float
        What the foreground must exceed, on top of the best cut. For "auto" mode alone.
    doubt_sam : bool
        Let SAM count only as far as its mask is the in-context model's. For "auto" mode alone.
    """

    icl: float
    sam: float
    confidence: float = 0.0
    sharpness: float = 1.0
    offset: float = 0.0
    doubt_sam: bool = False


def published_weights(pairs: int) -> Weights:
    """Return gamma and 1 - gamma of K pairs: gamma = 0.5 - 0.5 exp(-0.1 K)."""
    gamma = 0.5 - 0.5 * math.exp(-0.1 * pairs)
    return Weights(icl=gamma, sam=1 - gamma)


def icl_guidance(confidence: Tensor, pairs: int, settings: Settings) -> Tensor:
    """Return alpha z of confidence maps (L, 1, H, W): z standardised over the image, alpha = alpha0 exp(-0.1 K)."""
    alpha = settings.icl_guidance * math.exp(-0.1 * pairs)
    return alpha * standardise(confidence, centre=confidence.mean(dim=(-2, -1), keepdim=True))


def sam_bias(confidence: Tensor, frame: Frame, grid: int, settings: Settings) -> Tensor:
    """Return beta s of confidence maps (L, 1, H, W) on SAM's grid, (L, grid * grid): s = (map - 0.5) / std(map)."""
    return settings.sam_guidance * frame.image_to_grid(confidence_score(confidence), grid).flatten(1)


def standardise(x: Tensor, centre: Tensor) -> Tensor:
    """Return (x - centre) / std(x), std being the sample's over the last two axes; zeros where x is flat."""
    std = x.std(dim=(-2, -1), keepdim=True)
    flat = std <= 1e-6 * x.abs().amax(dim=(-2, -1), keepdim=True).clamp_min(1e-6)
    return torch.where(flat, torch.zeros_like(x), (x - centre) / torch.where(flat, torch.ones_like(std), std))


def icl_score(probabilities: Tensor, size: tuple[int, int]) -> Tensor:
    """Return u of probabilities (L, 1, h, w): (p - 0.5) / std(p), computed at their size, resized to the image.

    A flat map keeps its sign: there is no contrast to measure it by.
    """
    u = standardise(probabilities, centre=torch.full((1, 1, 1, 1), 0.5, device=probabilities.device))
    flat = (u == 0).all(dim=(-2, -1), keepdim=True)
    return resize(torch.where(flat, torch.sign(probabilities - 0.5), u), size)


def sam_score(logits: Tensor) -> Tensor:
    """Return m / std(m) of SAM's logits (L, 1, H, W); the sign of m where m is flat (nothing to segment: -1)."""
    m = standardise(logits, centre=torch.zeros((1, 1, 1, 1), device=logits.device))
    flat = (m == 0).all(dim=(-2, -1), keepdim=True)
    return torch.where(flat, torch.sign(logits), m)


def confidence_score(confidence: Tensor) -> Tensor:
    """Return (map - 0.5) / std(map) of confidence maps (L, 1, H, W); zeros where the map is flat."""
    return standardise(confidence, centre=torch.full((1, 1, 1, 1), 0.5, device=confidence.device))


def fuse(icl: Tensor, sam: Tensor, weights: Sequence[Weights]) -> Tensor:
    """Return the fused score of each label, (L, 1, H, W), positive where it is foreground.

    Parameters
    ----------
    icl : Tensor, (L, 1, H, W)
        Of `icl_score`.
    sam : Tensor, (L, 1, H, W)
        Of `sam_score`.
    weights : sequence of Weights
        One a label. With `published_weights`, (1 - gamma) m / std(m) + gamma u of Hu et al. 2024.
    """
    table = torch.tensor([(w.icl, w.sam) for w in weights], device=icl.device)
    a, b = (column.view(-1, 1, 1, 1) for column in table.unbind(dim=1))
    return a * icl + b * sam


def label_map(scores: Tensor, ids: Sequence[int]) -> NDArray[np.int32]:
    """Return the label of the largest score (L, 1, H, W) of each pixel, 0 where none is positive, (H, W)."""
    best, index = scores[:, 0].max(dim=0)
    labels = torch.tensor(ids, dtype=torch.int32, device=scores.device)[index]
    return torch.where(best > 0, labels, torch.zeros_like(labels)).cpu().numpy()
