"""starter-sam, the bundled promptable network: a small convolutional encoder and decoder. Knows no files.

It keeps SAM's contract (Kirillov et al., "Segment Anything", ICCV 2023): a 256 x 64 x 64 embedding
of a zero-padded square input, prompts of boxes, points and masks, logits of 256 x 256. Its decoder
is a small convolutional U-Net, not SAM's two-way transformer, because that transformer needs far
longer to learn from scratch. Prompts enter it as maps:

* a box as its coverage, the position relative to its centre in half widths, and its size;
* points as bumps of two widths, foreground apart from background;
* a mask prompt as squashed logits;
* likeness: a ridge regression in closed form, fitted for each prompt on the cells inside it against
  those around it,
  tells from the features how much every cell resembles the object (without it the decoder learns to
  fill the box);
* guidance: SAM adds a bias of one value a cell to its attention logits; a convolution has none, so
  here the same bias
  enters as an input channel of the stride-8 level. The network was trained with such maps from
  linear probes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.features import Decoded, Features, Resampling
from napari_iclsam.models.likeness import fit_rule
from napari_iclsam.models.prompt_maps import (
    BOX_MAPS,
    MASK_MAPS,
    POINT_MAPS,
    PromptMaps,
    prompt_maps,
)

STRIDE = 8
"""Input pixels a cell of the embedding."""

_RIDGE = 0.02
"""Weight of the squared norm in the likeness, relative to the mean variance of the features."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much each cell resembles the object of each of N prompts: about 1 like it, about -1 like its surroundings.

    Attributes
    ----------
    coarse : Tensor, (N, 1, G, G)
        From the embedding.
    fine : Tensor, (N, 1, 2 G, 2 G)
        From the detail.
    """

    coarse: Tensor
    fine: Tensor


class _ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel: independent of padding, batch and image size."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name in the class it extends)
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Block(nn.Module):
    """A residual pair of 3 x 3 convolutions with the normalisation in front."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _ChannelNorm(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(F.relu(self.first(F.relu(self.norm(x)))))
        return x + change


class _Down(nn.Sequential):
    """Normalise and halve the resolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            _ChannelNorm(channels_in), nn.ReLU(), nn.Conv2d(channels_in, channels_out, 3, 2, 1)
        )


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """Image to a stride-8 embedding and stride-4 detail: residual stages at strides 4 to 32 and a feature pyramid.

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
        self,
        widths: tuple[int, int, int, int],
        depths: tuple[int, int, int, int],
        embedding_channels: int,
        detail_channels: int,
    ) -> None:
        super().__init__()
        pyramid = 128
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1), _Down(24, widths[0]))
        self.downs = nn.ModuleList([_Down(widths[level], widths[level + 1]) for level in range(3)])
        self.stages = nn.ModuleList(
            [
                nn.Sequential(*[_Block(width) for _ in range(depth)])
                for width, depth in zip(widths, depths, strict=True)
            ]
        )
        self.laterals = nn.ModuleList(
            [nn.Sequential(_ChannelNorm(w), nn.Conv2d(w, pyramid, 1)) for w in widths[1:]]
        )
        self.merge = _Block(pyramid)
        self.embed = nn.Sequential(
            _ChannelNorm(pyramid),
            nn.ReLU(),
            nn.Conv2d(pyramid, embedding_channels, 3, padding=1),
            _ChannelNorm(embedding_channels),
        )
        self.detail_lateral = nn.Sequential(
            _ChannelNorm(widths[0]), nn.Conv2d(widths[0], detail_channels, 1)
        )
        self.detail_top = nn.Conv2d(pyramid, detail_channels, 1)
        self.detail_norm = _ChannelNorm(detail_channels)

    def forward(self, pixels: Tensor) -> Features:
        """Embed normalised images (B, 3, H, W)."""
        x = self.stages[0](self.stem(pixels))
        levels = [x]
        for down, stage in zip(self.downs, list(self.stages)[1:], strict=True):
            x = stage(down(x))
            levels.append(x)
        top = self.laterals[2](levels[3])
        for level in (1, 0):
            top = self.laterals[level](levels[level + 1]) + _double(top)
        top = self.merge(top)
        detail = self.detail_norm(self.detail_lateral(levels[0]) + _double(self.detail_top(top)))
        return Features(embedding=self.embed(top), detail=detail)


class Decoder(nn.Module):
    """Prompt maps and features to mask logits: a U-Net of strides 4 to 32 whose skips carry the image features.

    Parameters
    ----------
    embedding_channels, detail_channels : int
        Channels of the two kinds of features.
    widths : tuple of four int
        Channels at strides 4, 8, 16 and 32.
    """

    def __init__(
        self, embedding_channels: int, detail_channels: int, widths: tuple[int, int, int, int]
    ) -> None:
        super().__init__()
        self.detail = nn.Conv2d(detail_channels, widths[0], 1)
        self.embedding = nn.Conv2d(embedding_channels, widths[1], 1)
        self.coarse_key = nn.Conv2d(embedding_channels, 64, 1)
        self.fine_key = nn.Conv2d(detail_channels, 24, 1)
        self.fine = nn.Conv2d(BOX_MAPS + POINT_MAPS + MASK_MAPS + 1, widths[0], 3, padding=1)
        self.coarse = nn.Conv2d(4, widths[1], 3, padding=1)
        self.descend = nn.ModuleList([_Block(width) for width in widths])
        self.downs = nn.ModuleList([_Down(widths[level], widths[level + 1]) for level in range(3)])
        self.ups = nn.ModuleList(
            [nn.Conv2d(widths[level + 1], widths[level], 1) for level in range(3)]
        )
        self.ascend = nn.ModuleList([_Block(width) for width in widths[:3]])
        self.out = nn.Sequential(
            _ChannelNorm(widths[0]), nn.ReLU(), nn.Conv2d(widths[0], 4, 3, padding=1)
        )
        self.quality = nn.Sequential(nn.Linear(2 * widths[1], 64), nn.ReLU(), nn.Linear(64, 1))

    def likeness(self, features: Features, maps: PromptMaps, owner: Tensor) -> Likeness:
        """Compare the cells with the object of each prompt; parameters as of `forward`."""
        assert features.detail is not None
        return Likeness(
            coarse=_regress(self.coarse_key(features.embedding), maps.inside, maps.around, owner),
            fine=_regress(
                self.fine_key(features.detail), _double(maps.inside), _double(maps.around), owner
            ),
        )

    def forward(
        self, features: Features, maps: PromptMaps, owner: Tensor, likeness: Likeness | None = None
    ) -> Decoded:
        """Decode N prompts.

        Parameters
        ----------
        features : Features
            Of B images.
        maps : PromptMaps
            Of N prompts.
        owner : Tensor, (N,), int64
            The image that each prompt belongs to.
        likeness : Likeness, optional
            If it is at hand already.
        """
        assert features.detail is not None
        like = likeness or self.likeness(features, maps, owner)
        fine = torch.cat([maps.fine, like.fine], dim=1)
        coarse = torch.cat([like.coarse, F.avg_pool2d(like.fine, 2), maps.coarse], dim=1)
        x = self.descend[0](self.detail(features.detail)[owner] + self.fine(fine))
        skips = [x]
        x = self.downs[0](x) + self.embedding(features.embedding)[owner]
        x = self.descend[1](x + self.coarse(coarse))
        skips.append(x)
        for level in (1, 2):
            x = self.descend[level + 1](self.downs[level](x))
            skips.append(x)
        for level in (2, 1):
            x = self.ascend[level](skips[level] + _double(self.ups[level](x)))
        deep = x
        x = self.ascend[0](skips[0] + _double(self.ups[0](x)))
        logits = F.pixel_shuffle(self.out(x), 2)[:, 0].float()
        return Decoded(logits=logits, iou=self._quality_of(deep.float(), logits.detach()))

    def _quality_of(self, coarse: Tensor, logits: Tensor) -> Tensor:
        """Estimate the IoU from the features inside the mask and over the whole frame."""
        weight = F.avg_pool2d(torch.sigmoid(logits)[:, None], 4)
        inside = (coarse * weight).sum((2, 3)) / (weight.sum((2, 3)) + 1e-3)
        around = (coarse * (1 - weight)).sum((2, 3)) / ((1 - weight).sum((2, 3)) + 1e-3)
        estimate: Tensor = self.quality(torch.cat([inside, around], dim=1))
        return torch.sigmoid(estimate[:, 0].float())


class StarterSam(nn.Module):
    """The promptable network behind ``starter``: `encode` an image once, `decode` as many prompts as wanted.

    Parameters
    ----------
    image_size : int
        Side of the square input in pixels, a multiple of 32. The longest side of an image is
        resized to it, the rest is padded with zeros at the bottom and right after `normalise`. The
        network is fully convolutional, so that the same weights run at any such size.
    """

    resampling: Resampling = "bilinear"
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, image_size: int = 512) -> None:
        super().__init__()
        if image_size % 32:
            raise ValueError(f"expected an image size that is a multiple of 32, got {image_size}")
        self.image_size = image_size
        self.grid = image_size // STRIDE
        self.embedding_channels = 256
        self.register_buffer("pixel_mean", torch.full((3, 1, 1), 127.5), persistent=False)
        self.register_buffer("pixel_std", torch.full((3, 1, 1), 64.0), persistent=False)
        self.encoder = Encoder((48, 96, 160, 256), (1, 2, 2, 1), self.embedding_channels, 32)
        self.decoder = Decoder(self.embedding_channels, 32, (32, 64, 96, 128))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Scale grey values.

        Parameters
        ----------
        pixels : Tensor, (..., 3, H, W), float, 0 to 255
            RGB; a grey image three times.

        Returns
        -------
        Tensor, (..., 3, H, W), float
            Of about zero mean and unit variance: what `encode` takes once it is padded.
        """
        return (pixels - self.pixel_mean) / self.pixel_std

    def encode(self, pixels: Tensor) -> Features:
        """Embed B images.

        Parameters
        ----------
        pixels : Tensor, (B, 3, image_size, image_size), float
            Normalised and padded.
        """
        features: Features = self.encoder(pixels.contiguous(memory_format=torch.channels_last))
        return features

    def decode(
        self,
        features: Features,
        boxes: Tensor | None = None,
        points: Tensor | None = None,
        point_labels: Tensor | None = None,
        masks: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Decoded:
        """Draw the masks of N prompts of one image; each is drawn as if it were alone.

        Parameters
        ----------
        features : Features
            Of one image (B = 1).
        boxes : Tensor, (N, 4), float, optional
            x0, y0, x1, y1 in pixels of the square input.
        points : Tensor, (N, P, 2), float, optional
            x, y in pixels of the square input.
        point_labels : Tensor, (N, P), optional
            1 foreground, 0 background, -1 no point.
        masks : Tensor, (N, 1, 4 G, 4 G), float, optional
            Mask prompts as logits.
        bias : Tensor, (G * G,) or (N, G * G), float, optional
            Guidance: what SAM would add to its attention logits (see the module's first lines).

        Returns
        -------
        Decoded
            logits (N, 4 G, 4 G) and the estimated IoU (N,).
        """
        grid = features.embedding.shape[-1]
        maps = prompt_maps(grid, boxes, points, point_labels, masks, bias, like=features.embedding)
        owner = torch.zeros(len(maps.fine), dtype=torch.int64, device=maps.fine.device)
        decoded: Decoded = self.decoder(features, maps, owner)
        return decoded


def _regress(keys: Tensor, inside: Tensor, around: Tensor, owner: Tensor) -> Tensor:
    """Fit the cells inside each prompt against those around it, and evaluate the rule everywhere.

    Parameters
    ----------
    keys : Tensor, (B, C, h, w)
        Features of B images.
    inside, around : Tensor, (N, 1, h, w)
        Weights of the cells.
    owner : Tensor, (N,), int64

    Returns
    -------
    Tensor, (N, 1, h, w), float32
        Clipped to -2 .. 2.
    """
    cells = keys.flatten(2).mT[owner]
    value = fit_rule(cells, inside.flatten(1), around.flatten(1), _RIDGE).apply(cells)
    return value.clamp(-2, 2).reshape(len(owner), 1, *keys.shape[2:])
