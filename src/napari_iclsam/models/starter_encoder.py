"""The encoder of starter-sam: residual stages and a feature pyramid."""

from __future__ import annotations

from torch import Tensor, nn

from napari_iclsam.models.features import Features
from napari_iclsam.models.starter_layers import (
    Block,
    ChannelNorm,
    Down,
    Lateral,
    Levels,
    blocks_of,
    conv3,
    double_size,
    downs_between,
)

_STEM = 24
"""Channels at stride 2."""

_PYRAMID = 128
"""Channels of the feature pyramid."""


class Encoder(nn.Module):
    """Image to a stride-8 embedding and stride-4 detail.

    Residual stages at strides 4 to 32 and a feature pyramid.

    Parameters
    ----------
    widths : tuple of four int
        Channels at strides 4, 8, 16 and 32.
    depths : tuple of four int
        Residual blocks at these strides.
    embedding_channels, detail_channels : int
        Channels of the two outputs.
    """

    def __init__(
        self, widths: Levels, depths: Levels, embedding_channels: int, detail_channels: int
    ) -> None:
        super().__init__()
        # Parameters are drawn in this order: another order would be another training.
        halve = nn.Conv2d(3, _STEM, 3, 2, 1)
        self.stem = nn.Sequential(halve, Down(_STEM, widths[0]))
        self.downs = downs_between(widths)
        self.stages = nn.ModuleList(map(blocks_of, widths, depths))
        self.laterals = nn.ModuleList()
        for width in widths[1:]:
            self.laterals.append(Lateral(width, _PYRAMID))
        self.merge = Block(_PYRAMID)
        self.embed = nn.Sequential(
            ChannelNorm(_PYRAMID),
            nn.ReLU(),
            conv3(_PYRAMID, embedding_channels),
            ChannelNorm(embedding_channels),
        )
        self.detail_lateral = Lateral(widths[0], detail_channels)
        self.detail_top = nn.Conv2d(_PYRAMID, detail_channels, 1)
        self.detail_norm = ChannelNorm(detail_channels)

    def forward(self, pixels: Tensor) -> Features:
        """Embed normalised images (B, 3, H, W)."""
        levels = self._levels(pixels)
        top = self.laterals[2](levels[3])
        for level in (1, 0):
            lateral = self.laterals[level](levels[level + 1])
            top = lateral + double_size(top)
        top = self.merge(top)
        coarse = double_size(self.detail_top(top))
        detail = self.detail_norm(self.detail_lateral(levels[0]) + coarse)
        return Features(embedding=self.embed(top), detail=detail)

    def _levels(self, pixels: Tensor) -> list[Tensor]:
        """Return the features at strides 4, 8, 16 and 32."""
        x = self.stages[0](self.stem(pixels))
        levels = [x]
        for down, stage in zip(self.downs, self.stages[1:], strict=True):
            x = stage(down(x))
            levels.append(x)
        return levels
