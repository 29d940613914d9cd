"""Prompts drawn as maps, which a convolutional decoder reads beside the features.

Boxes, points and mask prompts are drawn at stride 4 of the square input, guidance at stride 8. The
module knows no network and no files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.models.prompts import Prompts

BOX_MAPS = 6
"""Channels of a box: coverage, two positions, radius, size, presence."""

POINT_MAPS = 4
"""Channels of points: narrow and wide bumps, of the foreground and of the background."""

MASK_MAPS = 5
"""Channels of a mask prompt: the four pixels of a cell, presence."""

_STRIDE = 4
"""Input pixels of a cell of the fine maps."""

_BUMP_WIDTHS = (6.0, 32.0)
"""Standard deviations of the bumps at points, in input pixels."""

_SQUASH = 4
"""Logits are divided by this before the hyperbolic tangent."""


@dataclass(frozen=True, slots=True)
class PromptMaps:
    """N prompts of one kind or several as maps.

    The maps of an absent kind are zeros; its presence channel tells them from values of zero.

    Attributes
    ----------
    fine : Tensor, (N, BOX_MAPS + POINT_MAPS + MASK_MAPS, 2 G, 2 G)
        Boxes, points and mask prompts at stride 4.
    coarse : Tensor, (N, 2, G, G)
        Guidance (squashed bias) and its presence, at stride 8.
    inside, around : Tensor, (N, 1, G, G)
        Weights, at least 0, of the cells of the object and of its surroundings in the ridge
        similarity.
    """

    fine: Tensor
    coarse: Tensor
    inside: Tensor
    around: Tensor


def prompt_maps(grid: int, prompts: Prompts, like: Tensor) -> PromptMaps:
    """Draw N prompts as maps.

    Parameters
    ----------
    grid : int
        Cells of the embedding along each side, G.
    prompts : Prompts
    like : Tensor
        The maps have its type and its device.
    """
    count = len(prompts)
    side = 2 * grid
    kinds = [BOX_MAPS, POINT_MAPS, MASK_MAPS]
    fine = like.new_zeros((count, sum(kinds), side, side))
    # Views: the maps of an absent kind stay zeros.
    boxes, points, masks = fine.split(kinds, dim=1)
    if prompts.boxes is not None:
        boxes.copy_(box_maps(prompts.boxes.to(like), side))
    if prompts.points is not None and prompts.point_labels is not None:
        drawn = point_maps(
            prompts.points.to(like),
            prompts.point_labels,
            side,
        )
        points.copy_(drawn)
    if prompts.masks is not None:
        masks.copy_(mask_maps(prompts.masks.to(like), side))
    coarse = like.new_zeros((count, 2, grid, grid))
    if prompts.bias is not None:
        bias = prompts.bias.to(like)
        bias = bias.reshape(-1, grid * grid).expand(count, -1)
        coarse = bias_maps(bias, grid)
    regions = _regions(boxes, points, prompts)
    return PromptMaps(fine, coarse, regions.inside, regions.around)


@dataclass(frozen=True, slots=True)
class Regions:
    """Weights of the cells of N objects and of their surroundings.

    Attributes
    ----------
    inside, around : Tensor, (N, 1, h, w)
        At least 0.
    """

    inside: Tensor
    around: Tensor


def _regions(boxes: Tensor, points: Tensor, prompts: Prompts) -> Regions:
    """Weigh the cells: points first, then boxes, then masks, each of which narrows the object down.

    Parameters
    ----------
    boxes : Tensor, (N, BOX_MAPS, 2 G, 2 G)
    points : Tensor, (N, POINT_MAPS, 2 G, 2 G)
    prompts : Prompts
    """
    inside = F.avg_pool2d(points[:, :1], 2)
    around = torch.ones_like(inside)
    if prompts.boxes is not None:
        cells = F.avg_pool2d(boxes, 2)
        coverage = cells[:, :1]
        radius = cells[:, 3:4]
        # The middle of a box most likely belongs to the object.
        inside = coverage * torch.exp(-radius) + inside
        # Only the neighborhood is compared: far cells may show further objects.
        nearby = (radius < 4).to(boxes.dtype)
        around = (1 - coverage) * nearby
    if prompts.masks is not None:
        size = (inside.shape[-2], inside.shape[-1])
        probability = torch.sigmoid(prompts.masks.to(boxes))
        covered = F.interpolate(probability, size, mode="area")
        if prompts.boxes is None:
            return Regions(covered, 1 - covered)
        # A twentieth of the box is kept, in case the mask misses the object.
        inside = covered * (inside > 0) + 0.05 * inside
        around = torch.maximum(around, 1 - covered)
    return Regions(inside, around)


def _cell_centers(side: int, like: Tensor) -> Tensor:
    """Return the centres of the cells along one side, in input pixels, (side,)."""
    index = torch.arange(
        side,
        device=like.device,
        dtype=like.dtype,
    )
    return _STRIDE * (index + 0.5)


def box_maps(boxes: Tensor, side: int) -> Tensor:
    """Draw N boxes.

    Parameters
    ----------
    boxes : Tensor, (N, 4)
        x0, y0, x1, y1 in input pixels.
    side : int
        Side of the maps, each of whose pixels spans 4 x 4 input pixels.

    Returns
    -------
    Tensor, (N, 6, side, side)
        Coverage, horizontal and vertical position in half widths, squared elliptic radius, size and
        presence.
    """
    low = boxes[:, :2, None]
    high = boxes[:, 2:, None]
    # A box of one pixel has a half width to divide by as well.
    half = ((high - low) / 2).clamp(min=1.0)
    centers = _cell_centers(side, boxes)
    middle = (low + high) / 2
    position = (centers - middle) / half  # (N, 2, side)
    # Far from the box its direction matters, not the distance.
    position = position.clamp(-2, 2)
    u = position[:, 0, None, :]
    u = u.expand(-1, side, -1)
    v = position[:, 1, :, None]
    v = v.expand(-1, -1, side)
    radius = (u * u + v * v).clamp(max=4.5)
    coverage = _coverage(low, high, centers)
    # From about -1 to 1, as the other maps.
    size = torch.log2(half.prod(dim=1)) / 8 - 1
    size = size[:, :, None].expand(-1, side, side)
    presence = torch.ones_like(coverage)
    return torch.stack([coverage, u, v, radius, size, presence], dim=1)


def _coverage(low: Tensor, high: Tensor, centers: Tensor) -> Tensor:
    """Return the share of each cell that lies in a box, (N, side, side).

    Parameters
    ----------
    low, high : Tensor, (N, 2, 1)
        Corners of the boxes, x before y.
    centers : Tensor, (side,)
    """
    last = torch.minimum(centers + _STRIDE / 2, high)
    first = torch.maximum(centers - _STRIDE / 2, low)
    covered = (last - first).clamp(0, _STRIDE) / _STRIDE
    columns = covered[:, 0, None, :]
    rows = covered[:, 1, :, None]
    return columns * rows


def point_maps(points: Tensor, labels: Tensor, side: int) -> Tensor:
    """Draw bumps at points.

    Parameters
    ----------
    points : Tensor, (N, P, 2)
        x, y in input pixels.
    labels : Tensor, (N, P)
        1 foreground, 0 background, -1 no point.
    side : int

    Returns
    -------
    Tensor, (N, 4, side, side)
        A narrow and a wide bump at the foreground points, then at the background points.
    """
    centers = _cell_centers(side, points)
    x = points[:, :, 0, None, None]
    y = points[:, :, 1, None, None]
    dx = centers - x  # (N, P, 1, side)
    dy = centers[:, None] - y  # (N, P, side, 1)
    squared = dx * dx + dy * dy  # (N, P, side, side)
    maps = []
    for label in (1, 0):
        chosen = (labels == label).to(points.dtype)
        chosen = chosen[:, :, None, None]
        for width in _BUMP_WIDTHS:
            bumps = torch.exp(-squared / (2 * width**2))
            # The maximum and not the sum, so that points close together count as one.
            maps.append((bumps * chosen).amax(dim=1))
    return torch.stack(maps, dim=1)


def mask_maps(masks: Tensor, side: int) -> Tensor:
    """Draw mask prompts.

    Parameters
    ----------
    masks : Tensor, (N, 1, h, w)
        Logits.
    side : int

    Returns
    -------
    Tensor, (N, 5, side, side)
        Squashed logits, the four pixels of each cell as channels, and presence.
    """
    size = (2 * side, 2 * side)
    masks = F.interpolate(
        masks,
        size,
        mode="bilinear",
        align_corners=False,
    )
    # Squashed, since the logits of other networks have other ranges.
    squashed = F.pixel_unshuffle(torch.tanh(masks / _SQUASH), 2)
    presence = torch.ones_like(squashed[:, :1])
    return torch.cat([squashed, presence], dim=1)


def bias_maps(bias: Tensor, grid: int) -> Tensor:
    """Draw guidance, the equivalent of SAM's attention bias.

    Parameters
    ----------
    bias : Tensor, (N, grid * grid)
    grid : int

    Returns
    -------
    Tensor, (N, 2, grid, grid)
        Squashed guidance and its presence.
    """
    cells = bias.reshape(-1, 1, grid, grid)
    squashed = torch.tanh(cells / _SQUASH)
    presence = torch.ones_like(squashed)
    return torch.cat([squashed, presence], dim=1)
