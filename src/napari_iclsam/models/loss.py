"""The loss of segmentation networks."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return soft Dice loss plus binary cross-entropy, each a mean over the batch.

    Parameters
    ----------
    logits : Tensor, (N, 1, H, W)
    target : Tensor, (N, 1, H, W), float
        The truth, 0 to 1.

    Returns
    -------
    Tensor, ()
    """
    probability = logits.sigmoid().flatten(1)
    truth = target.flatten(1)
    overlap = (probability * truth).sum(dim=1)
    total = probability.sum(dim=1) + truth.sum(dim=1)
    # One pixel is added to both, so that an empty mask of an empty target has a Dice of 1.
    dice = (2 * overlap + 1) / (total + 1)
    entropy = F.binary_cross_entropy_with_logits(logits, target)
    return (1 - dice).mean() + entropy
