"""Layers of starter-sam: blocks of convolutions, steps between levels."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Levels = tuple[int, int, int, int]
"""A number for each of the strides 4, 8, 16 and 32."""


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel.

    It does not depend on padding, batch or size of the image.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name in the class it extends)
        """Normalise (B, C, H, W) over the channels."""
        channels_last = input.permute(0, 2, 3, 1)
        # Autocast would take it to float32 and back; a processor's kernel computes in it anyway.
        on_processor = torch.autocast("cpu", enabled=False)
        with on_processor if input.device.type == "cpu" else nullcontext():
            normalised = super().forward(channels_last)
        return normalised.permute(0, 3, 1, 2)


class Block(nn.Module):
    """A residual pair of 3 x 3 convolutions with the normalisation in front."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.first = conv3(channels, channels)
        self.second = conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions compute of (B, C, H, W)."""
        # In place, since no gradient needs what a rectifier or a sum was given.
        hidden = self.first(F.relu(self.norm(x), inplace=True))
        change: Tensor = self.second(F.relu(hidden, inplace=True))
        return change.add_(x)


class Down(nn.Sequential):
    """Normalise and halve the resolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        halve = nn.Conv2d(channels_in, channels_out, 3, 2, 1)
        super().__init__(
            ChannelNorm(channels_in),
            nn.ReLU(),
            halve,
        )


class Lateral(nn.Sequential):
    """Normalise a level and bring it to the channels of the pyramid."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        norm = ChannelNorm(channels_in)
        super().__init__(norm, nn.Conv2d(channels_in, channels_out, 1))


def conv3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Make a 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def blocks_of(width: int, depth: int) -> nn.Sequential:
    """Stack residual blocks."""
    blocks = [Block(width) for _ in range(depth)]
    return nn.Sequential(*blocks)


def downs_between(widths: Levels) -> nn.ModuleList:
    """Make the steps between neighboring levels."""
    downs = nn.ModuleList()
    for finer, coarser in pairwise(widths):
        downs.append(Down(finer, coarser))
    return downs


def double_size(x: Tensor) -> Tensor:
    """Resize (B, C, H, W) bilinearly to twice its size."""
    return F.interpolate(
        x,
        scale_factor=2.0,
        mode="bilinear",
        align_corners=False,
    )


def ups_between(widths: Levels) -> nn.ModuleList:
    """Make the steps from each level to the finer one."""
    ups = nn.ModuleList()
    for finer, coarser in pairwise(widths):
        ups.append(nn.Conv2d(coarser, finer, 1))
    return ups


def weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """Average x (N, C, G, G) with weights (N, 1, G, G): (N, C)."""
    # An empty mask has no weights at all.
    total = weight.sum((2, 3)) + 1e-3
    return (x * weight).sum((2, 3)) / total
