"""What is minimised when a network learns to segment."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return soft Dice loss plus binary cross-entropy of logits and truth (N, 1, H, W), each a mean over the batch."""
    probability = logits.sigmoid().flatten(1)
    truth = target.flatten(1)
    overlap = (probability * truth).sum(dim=1)
    dice = (2 * overlap + 1) / (probability.sum(dim=1) + truth.sum(dim=1) + 1)
    return (1 - dice).mean() + F.binary_cross_entropy_with_logits(logits, target)
