"""Guidance of both models by the semantic confidence map (Hu et al. 2024)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from napari_iclsam.core.images.geometry import Frame


def in_context_guidance(confidence: Tensor, pairs: int, alpha0: float) -> Tensor:
    """Return the guidance of the in-context model, alpha z.

    z is the map standardised over the image, alpha = alpha0 exp(-0.1 K) for K pairs (Hu et al.
    2024).

    Parameters
    ----------
    confidence : Tensor, (L, 1, H, W)
    pairs : int
        K.
    alpha0 : float
    """
    alpha = alpha0 * math.exp(-0.1 * pairs)
    mean = confidence.mean(dim=(-2, -1), keepdim=True)
    return alpha * standardise(confidence, center=mean)


def attention_bias(confidence: Tensor, frame: Frame, grid: int, beta: float) -> Tensor:
    """Return the guidance of the mask decoder, beta s, on its grid.

    s = (map - 0.5) / std(map) (Hu et al. 2024).

    Parameters
    ----------
    confidence : Tensor, (L, 1, H, W)
    frame : Frame
    grid : int
        Cells of the decoder in each direction.
    beta : float

    Returns
    -------
    Tensor, (L, grid * grid)
    """
    return beta * frame.image_to_grid(confidence_score(confidence), grid).flatten(1)


def confidence_score(confidence: Tensor) -> Tensor:
    """Return (map - 0.5) / std(map) of confidence maps (L, 1, H, W); 0 where the map is flat."""
    center = torch.full((1, 1, 1, 1), 0.5, device=confidence.device)
    return standardise(confidence, center)


def standardise(values: Tensor, center: Tensor) -> Tensor:
    """Return (values - center) / std(values), with the sample's std over the last two axes.

    Flat values become zeros.
    """
    std = values.std(dim=(-2, -1), keepdim=True)
    largest = values.abs().amax(dim=(-2, -1), keepdim=True)
    # relative to the values, since rounding alone gives a constant map a tiny deviation
    flat = std <= 1e-6 * largest.clamp_min(1e-6)
    divisor = torch.where(
        flat,
        torch.ones_like(std),
        std,
    )
    return torch.where(
        flat,
        torch.zeros_like(values),
        (values - center) / divisor,
    )
