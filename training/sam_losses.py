"""What starter-sam is trained to do.

Draw masks, judge them, and keep labels linearly separable in its embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class MaskLoss:
    """Mean loss of the masks, loss of the estimated IoU, and hard Dice for the log."""

    mask: Tensor
    iou: Tensor
    dice: Tensor


@dataclass(frozen=True, slots=True)
class ProbeLoss:
    """Balanced cross-entropy of probes on their queries, and maps (P, G, G) of logits."""

    loss: Tensor
    maps: Tensor
    auc: Tensor


def mask_loss(logits: Tensor, iou: Tensor, target: Tensor, near: Tensor) -> MaskLoss:
    """Compare N masks with their targets.

    Parameters
    ----------
    logits, target : Tensor, (N, H, W)
        Logits and soft targets 0 to 1.
    iou : Tensor, (N,)
        Estimated intersection over union.
    near : Tensor, (N, H, W)
        Weights of the pixels in the cross-entropy: those around the object count in full.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    entropy = (entropy * near).sum((1, 2)) / near.sum((1, 2))
    p = torch.sigmoid(logits)
    soft = 1 - (2 * (p * target).sum((1, 2)) + 1) / (p.sum((1, 2)) + target.sum((1, 2)) + 1)
    hard, truth = logits.detach() > 0, target > 0.5
    both, sizes = (hard & truth).sum((1, 2)), hard.sum((1, 2)) + truth.sum((1, 2))
    actual = both / (sizes - both).clamp(min=1)
    return MaskLoss(
        (entropy + soft).mean(), (iou - actual).abs().mean(), 2 * both / sizes.clamp(min=1)
    )


def similarity_loss(fine: Tensor, coarse: Tensor, target: Tensor, near: Tensor) -> Tensor:
    """Cross-entropy of the ridge similarity near the object, at both resolutions.

    Similarities of -1 to 1 are multiplied by 3 to be logits.

    Parameters
    ----------
    fine : Tensor, (N, H / 2, W / 2);  coarse : Tensor, (N, H / 4, W / 4)
    target, near : Tensor, (N, H, W)
        As in `mask_loss`.
    """
    total = fine.new_zeros(())
    for value in (fine, coarse):
        factor = target.shape[-1] // value.shape[-1]
        truth, weight = (F.avg_pool2d(x[:, None], factor)[:, 0] for x in (target, near))
        entropy = F.binary_cross_entropy_with_logits(3 * value, truth, reduction="none")
        total = total + ((entropy * weight).sum((1, 2)) / weight.sum((1, 2))).mean()
    return total / 2


def probe_loss(
    embedding: Tensor, labels: Tensor, support: Tensor, query: Tensor, scale: Tensor, ridge: float
) -> ProbeLoss:
    """Fit a balanced ridge regression on the cells of one image, classify those of another.

    The closed form (Bertinetto et al., "Meta-learning with differentiable closed-form solvers",
    ICLR 2019) stands in for the logistic regression of ICL-SAM, so that the embedding learns to
    serve it.

    Parameters
    ----------
    embedding : Tensor, (B, C, G, G)
    labels : Tensor, (P, 2, G, G) float 0 or 1
        Of the support and of the query of each probe.
    support, query : Tensor, (P,) int64
        Indices into ``embedding``.
    scale : Tensor, ()
        Turns regression values (-1 to 1) into logits.
    ridge : float
        Weight of the squared norm beside the mean squared error.
    """
    cells = embedding.float().flatten(2).transpose(1, 2)  # (B, n, C)
    x, q = cells[support], cells[query]
    y, truth = labels[:, 0].flatten(1), labels[:, 1].flatten(1)
    weight = _balanced(y)[:, :, None]
    sign = (2 * y - 1)[:, :, None]
    mean = (weight * x).sum(1, keepdim=True)
    centred = x - mean
    weighted = centred * weight
    gram = weighted.transpose(1, 2) @ centred + ridge * torch.eye(x.shape[-1], device=x.device)
    # `torch.linalg.solve` fails for batches of such matrices with several threads (PyTorch issue
    # 142815). These are positive definite.
    factor = torch.linalg.cholesky(gram)
    solution = torch.cholesky_solve(weighted.transpose(1, 2) @ sign, factor)
    value = ((q - mean) @ solution)[:, :, 0]
    logits = value * scale
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    loss = (entropy * _balanced(truth)).sum(1).mean()
    return ProbeLoss(
        loss, logits.detach().reshape(labels[:, 1].shape), area_under_curve(logits.detach(), truth)
    )


def area_under_curve(score: Tensor, truth: Tensor) -> Tensor:
    """Chance that a foreground cell scores above a background cell: (P, n), (P, n) -> (P,)."""
    rank = score.argsort(dim=1).argsort(dim=1).float() + 1
    positive = truth.sum(1)
    negative = truth.shape[1] - positive
    return ((rank * truth).sum(1) - positive * (positive + 1) / 2) / (positive * negative)


def guidance(maps: Tensor, beta: Tensor) -> Tensor:
    """Bias of a mask decoder from maps of foreground logits.

    It is beta (p - 0.5) / std(p) for each cell, (P, G, G).
    """
    p = torch.sigmoid(maps)
    deviation = p.flatten(1).std(dim=1).clamp(min=1e-4)
    return beta[:, None, None] * (p - 0.5) / deviation[:, None, None]


def _balanced(truth: Tensor) -> Tensor:
    """Weights that give each class half of the total of 1."""
    share = truth.mean(1, keepdim=True)
    return (truth / (2 * share) + (1 - truth) / (2 * (1 - share))) / truth.shape[1]
