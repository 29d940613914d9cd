"""The input size at which the in-context model is shown images: as small as their masks allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from napari_iclsam.core.encoder.examples import Masks
from napari_iclsam.core.images.geometry import resize, resize_mask


@dataclass(frozen=True, slots=True)
class DetailLoss:
    """Share of its area that a mask may lose by halving: below the images' size, and above."""

    below_own: float
    from_own: float


OUTLINE = DetailLoss(0.03, 0.2)
"""Where the model outlines objects."""

FIND = DetailLoss(0.8, 0.8)
"""Where the model only has to find objects, since crops outline them."""


def nearest_size(sizes: Sequence[int], shapes: Sequence[tuple[int, int]]) -> int:
    """Return the in-context model's input size nearest to the largest of a task's images (H, W).

    By ratio; the size of an image of H x W is sqrt(H W), as it will be resized to a square.
    """
    pixels = max(height * width for height, width in shapes)
    # by ratio: half the size is as far away as twice the size
    return min(sizes, key=lambda side: abs(math.log(side * side / pixels)))


def shapes_of(masks: Sequence[Masks]) -> list[tuple[int, int]]:
    """Return height and width of all masks of all labels."""
    shapes = []
    for of_label in masks:
        shapes += [(mask.shape[0], mask.shape[1]) for mask in of_label]
    return shapes


def smallest_sufficient_size(
    sizes: Sequence[int], masks: Sequence[Masks], allowed_losses: Sequence[DetailLoss]
) -> int:
    """Return the smallest input size of a model that is enough for masks.

    It is at most one step below the masks' own size, the nearest that the model has, and at most
    twice that. The largest that the model has is for thin objects alone, and no image's own size.

    Parameters
    ----------
    sizes : sequence of int
        Input sizes of the model.
    masks : sequence of Masks
        Label by label; of images, or of crops of them.
    allowed_losses : sequence of DetailLoss
        Of each label.
    """
    sizes = sorted(sizes)
    # the largest is slow and for thin objects alone
    own = nearest_size(sizes[:-1] or sizes, shapes_of(masks))
    first = max(0, sizes.index(own) - 1)
    candidates = [size for size in sizes[first:] if size <= 2 * own]
    for size in candidates:
        if _suffices(size, own, masks, allowed_losses):
            return size
    return candidates[-1]


def _suffices(
    size: int, own: int, masks: Sequence[Masks], allowed_losses: Sequence[DetailLoss]
) -> bool:
    for of_label, allowed in zip(masks, allowed_losses, strict=True):
        limit = allowed.from_own if size >= own else allowed.below_own
        if detail_lost_by_halving(of_label, size) > limit:
            return False
    return True


def detail_lost_by_halving(masks: Masks, size: int) -> float:
    """Return the share of the masks' area that changes if they are halved and enlarged again."""
    # empty masks have no detail to lose
    shown = [resize_mask(mask, (size, size)) for mask in masks if mask.any()]
    if not shown:
        return 0.0
    original = torch.cat(shown)
    enlarged = resize(F.avg_pool2d(original, 2), (size, size))
    changed = (enlarged - original).abs().sum()
    return float(changed / original.sum().clamp_min(1))
