"""The published fusion, and label maps from the scores of many labels (Hu et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_iclsam.core.fusion.weights import FusionWeights
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.refinement.guidance import standardise


def icl_score(probabilities: Tensor, size: tuple[int, int]) -> Tensor:
    """Return u = (p - 0.5) / std(p) of probabilities (L, 1, h, w), then resized to the image.

    A flat map keeps its sign: there is no contrast to measure it by.
    """
    half = torch.full((1, 1, 1, 1), 0.5, device=probabilities.device)
    # standardised before it is resized, as the published code does: resizing changes the
    # deviation
    score = _with_sign_where_flat(standardise(probabilities, half), probabilities - 0.5)
    return resize(score, size)


def sam_score(logits: Tensor) -> Tensor:
    """Return m / std(m) of SAM's logits m (L, 1, H, W).

    Where m is flat, its sign is returned (-1 if there is nothing to segment).
    """
    zero = torch.zeros((1, 1, 1, 1), device=logits.device)
    return _with_sign_where_flat(standardise(logits, zero), logits)


def _with_sign_where_flat(score: Tensor, values: Tensor) -> Tensor:
    flat = (score == 0).all(dim=(-2, -1), keepdim=True)
    return torch.where(
        flat,
        torch.sign(values),
        score,
    )


def fuse(icl: Tensor, sam: Tensor, weights: Sequence[FusionWeights]) -> Tensor:
    """Return the fused score of each label, (L, 1, H, W), positive where it is foreground.

    With `published_weights`, that is (1 - gamma) m / std(m) + gamma u of Hu et al. 2024.

    Parameters
    ----------
    icl : Tensor, (L, 1, H, W)
        Of `icl_score`.
    sam : Tensor, (L, 1, H, W)
        Of `sam_score`.
    weights : sequence of FusionWeights
        One a label.
    """
    of_icl = [of_label.parts[0] for of_label in weights]
    of_sam = [of_label.parts[1] for of_label in weights]
    icl_weights = torch.tensor(of_icl, device=icl.device).view(-1, 1, 1, 1)
    sam_weights = torch.tensor(of_sam, device=icl.device).view(-1, 1, 1, 1)
    return icl_weights * icl + sam_weights * sam
