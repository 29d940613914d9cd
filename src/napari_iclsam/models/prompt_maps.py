"""Prompts drawn as maps, which a convolutional decoder reads beside the features. Knows no network and no files.

Boxes, points and mask prompts are drawn at stride 4 of the square input, guidance at stride 8.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BOX_MAPS, POINT_MAPS, MASK_MAPS = 6, 4, 5
"""Channels of each kind of prompt."""


@dataclass(frozen=True, slots=True)
class PromptMaps:
    """N prompts of one kind or several as maps; absent kinds are zeros, which their presence channel tells from zero.

    Attributes
    ----------
    fine : Tensor, (N, BOX_MAPS + POINT_MAPS + MASK_MAPS, 2 G, 2 G)
        Boxes, points and mask prompts at stride 4.
    coarse : Tensor, (N, 2, G, G)
        Guidance (squashed bias) and its presence, at stride 8.
    inside, around : Tensor, (N, 1, G, G)
        Weights, at least 0, of the cells that stand for the object and for its surroundings in the
        likeness.
    """

    fine: Tensor
    coarse: Tensor
    inside: Tensor
    around: Tensor


def prompt_maps(
    grid: int,
    boxes: Tensor | None,
    points: Tensor | None,
    point_labels: Tensor | None,
    masks: Tensor | None,
    bias: Tensor | None,
    like: Tensor,
) -> PromptMaps:
    """Draw N prompts as maps.

    Parameters are those of `StarterSam.decode`; ``grid`` is G, and the maps take type and device of
    ``like``.
    """
    count = next((len(prompt) for prompt in (boxes, points, masks) if prompt is not None), None)
    if count is None:
        raise ValueError("expected at least one prompt (boxes, points or masks), got none")
    if (points is None) != (point_labels is None):
        raise ValueError("expected points together with point_labels, got only one of them")
    side = 2 * grid
    fine = like.new_zeros((count, BOX_MAPS + POINT_MAPS + MASK_MAPS, side, side))
    inside = like.new_zeros((count, 1, grid, grid))
    around = torch.ones_like(inside)
    if points is not None and point_labels is not None:
        fine[:, BOX_MAPS : BOX_MAPS + POINT_MAPS] = point_maps(points.to(like), point_labels, side)
        inside = F.avg_pool2d(fine[:, BOX_MAPS : BOX_MAPS + 1], 2)
    if boxes is not None:
        fine[:, :BOX_MAPS] = box_maps(boxes.to(like), side)
        near = F.avg_pool2d(fine[:, :BOX_MAPS], 2)
        inside = near[:, :1] * torch.exp(-near[:, 3:4]) + inside
        around = (1 - near[:, :1]) * (near[:, 3:4] < 4).to(like.dtype)
    if masks is not None:
        fine[:, BOX_MAPS + POINT_MAPS :] = mask_maps(masks.to(like), side)
        within = F.interpolate(torch.sigmoid(masks.to(like)), (grid, grid), mode="area")
        inside = within if boxes is None else within * (inside > 0) + 0.05 * inside
        around = torch.maximum(around, 1 - within) if boxes is not None else 1 - within
    coarse = like.new_zeros((count, 2, grid, grid))
    if bias is not None:
        coarse = bias_maps(bias.to(like).reshape(-1, grid * grid).expand(count, -1), grid)
    return PromptMaps(fine=fine, coarse=coarse, inside=inside, around=around)


def box_maps(boxes: Tensor, side: int) -> Tensor:
    """Coverage, horizontal and vertical position in half widths, elliptic radius, size and presence of N boxes.

    Parameters
    ----------
    boxes : Tensor, (N, 4)
        x0, y0, x1, y1 in input pixels.
    side : int
        Side of the maps, each of whose pixels spans 4 x 4 input pixels.

    Returns
    -------
    Tensor, (N, 6, side, side)
    """
    centre = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) + 0.5) * 4
    low, high = boxes[:, :2, None], boxes[:, 2:, None]
    half = ((high - low) / 2).clamp(min=1.0)
    along = ((centre - (low + high) / 2) / half).clamp(-2, 2)  # (N, 2, side)
    cover = (torch.minimum(centre + 2, high) - torch.maximum(centre - 2, low)).clamp(0, 4) / 4
    u, v = along[:, 0, None, :].expand(-1, side, -1), along[:, 1, :, None].expand(-1, -1, side)
    inside = cover[:, 0, None, :] * cover[:, 1, :, None]
    size = (torch.log2(half.prod(dim=1)) / 8 - 1)[:, :, None].expand(-1, side, side)
    return torch.stack(
        [inside, u, v, (u * u + v * v).clamp(max=4.5), size, torch.ones_like(inside)], dim=1
    )


def point_maps(points: Tensor, labels: Tensor, side: int) -> Tensor:
    """Narrow and wide bumps at the foreground points, then at the background points: (N, 4, side, side)."""
    centre = (torch.arange(side, device=points.device, dtype=points.dtype) + 0.5) * 4
    dx = centre[None, None, None, :] - points[:, :, 0, None, None]
    dy = centre[None, None, :, None] - points[:, :, 1, None, None]
    squared = dx * dx + dy * dy  # (N, P, side, side)
    maps = []
    for wanted in (1, 0):
        chosen = (labels == wanted).to(points.dtype)[:, :, None, None]
        maps += [
            (torch.exp(-squared / (2 * width**2)) * chosen).amax(dim=1) for width in (6.0, 32.0)
        ]
    return torch.stack(maps, dim=1)


def mask_maps(masks: Tensor, side: int) -> Tensor:
    """Squashed logits of mask prompts, the four pixels of each cell as channels, and presence: (N, 5, side, side)."""
    masks = F.interpolate(masks, (2 * side, 2 * side), mode="bilinear", align_corners=False)
    squashed = F.pixel_unshuffle(torch.tanh(masks / 4), 2)
    return torch.cat([squashed, torch.ones_like(squashed[:, :1])], dim=1)


def bias_maps(bias: Tensor, grid: int) -> Tensor:
    """Squashed guidance, the equivalent of SAM's attention bias, and its presence: (N, 2, grid, grid)."""
    squashed = torch.tanh(bias.reshape(-1, 1, grid, grid) / 4)
    return torch.cat([squashed, torch.ones_like(squashed)], dim=1)
