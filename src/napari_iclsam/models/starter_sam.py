"""starter-sam, the bundled promptable network: a small convolutional encoder and decoder.

It keeps SAM's contract (Kirillov et al., "Segment Anything", ICCV 2023): a 256 x 64 x 64 embedding
of a zero-padded square input, prompts of boxes, points and masks, logits of 256 x 256. Its decoder
is a small convolutional U-Net, not SAM's two-way transformer, because that transformer needs far
longer to learn from scratch. Prompts enter it as maps:

* a box as its coverage, the position relative to its centre in half widths, and its size;
* points as bumps of two widths, foreground apart from background;
* a mask prompt as squashed logits;
* ridge similarity: a ridge regression in closed form, fitted for each prompt on the cells inside it
  against those around it, gives each cell a value of how much its features resemble the object
  (without it the decoder learns to fill the box);
* guidance: SAM adds a bias of one value a cell to its attention logits; a convolution has none, so
  here the same bias is an input channel of the stride-8 level. The network was trained with such
  maps from linear probes.

The module knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.features import Decoded, Features, Resampling
from napari_iclsam.models.prompt_maps import (
    BOX_MAPS,
    MASK_MAPS,
    POINT_MAPS,
    PromptMaps,
    Regions,
    prompt_maps,
)
from napari_iclsam.models.prompts import Prompts
from napari_iclsam.models.ridge import fit_ridge
from napari_iclsam.models.starter_encoder import Encoder
from napari_iclsam.models.starter_layers import (
    Block,
    ChannelNorm,
    Levels,
    conv3,
    double_size,
    downs_between,
    ups_between,
    weighted_mean,
)

STRIDE = 8
"""Input pixels of a cell of the embedding."""

_RIDGE = 0.02
"""Weight of the squared norm in the ridge similarity, relative to the variance of the features."""

_DETAIL = 32
"""Channels of the detail."""

_COARSE_KEYS, _FINE_KEYS = 64, 24
"""Channels of the ridge similarity on the embedding and on the detail."""

_COARSE_MAPS = 4
"""Channels at stride 8: coarse and fine similarity, guidance and its presence."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """Ridge similarity of each cell to the object of each of N prompts.

    About 1 for cells that resemble the object, about -1 for those that resemble its surroundings.

    Attributes
    ----------
    coarse : Tensor, (N, 1, G, G)
        From the embedding.
    fine : Tensor, (N, 1, 2 G, 2 G)
        From the detail.
    """

    coarse: Tensor
    fine: Tensor


class Decoder(nn.Module):
    """Prompt maps and features to mask logits.

    A U-Net of strides 4 to 32 whose skips carry the image features.

    Parameters
    ----------
    embedding_channels, detail_channels : int
        Channels of the two kinds of features.
    widths : tuple of four int
        Channels at strides 4, 8, 16 and 32.
    """

    def __init__(self, embedding_channels: int, detail_channels: int, widths: Levels) -> None:
        super().__init__()
        fine_maps = BOX_MAPS + POINT_MAPS + MASK_MAPS + 1
        # Parameters are drawn in this order: another order would be another training.
        self.detail = nn.Conv2d(detail_channels, widths[0], 1)
        self.embedding = nn.Conv2d(embedding_channels, widths[1], 1)
        self.coarse_key = nn.Conv2d(embedding_channels, _COARSE_KEYS, 1)
        self.fine_key = nn.Conv2d(detail_channels, _FINE_KEYS, 1)
        self.fine = conv3(fine_maps, widths[0])
        self.coarse = conv3(_COARSE_MAPS, widths[1])
        self.descend = nn.ModuleList(map(Block, widths))
        self.downs = downs_between(widths)
        self.ups = ups_between(widths)
        self.ascend = nn.ModuleList(map(Block, widths[:3]))
        self.out = nn.Sequential(
            ChannelNorm(widths[0]),
            nn.ReLU(),
            conv3(widths[0], 4),
        )
        self.quality = nn.Sequential(
            nn.Linear(2 * widths[1], 64),
            nn.ReLU(),
            nn.Linear(64, 1),
        )

    def similarity(self, features: Features, maps: PromptMaps, owner: Tensor) -> Similarity:
        """Compare the cells with the object of each prompt; parameters as of `forward`."""
        assert features.detail is not None
        coarse_keys = self.coarse_key(features.embedding)
        fine_keys = self.fine_key(features.detail)
        coarse = Regions(maps.inside, maps.around)
        fine = Regions(
            double_size(maps.inside),
            double_size(maps.around),
        )
        return Similarity(
            coarse=_ridge_similarity(coarse_keys, coarse, owner),
            fine=_ridge_similarity(fine_keys, fine, owner),
        )

    def forward(
        self,
        features: Features,
        maps: PromptMaps,
        owner: Tensor,
        similarity: Similarity | None = None,
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
        similarity : Similarity, optional
            Computed if it is not given.
        """
        similar = similarity or self.similarity(features, maps, owner)
        skips = self._descend(features, maps, owner, similar)
        x = skips[3]
        for level in (2, 1):
            x = self._up(level, x, skips[level])
        top = self._up(0, x, skips[0])
        quarters = self.out(top)
        logits = F.pixel_shuffle(quarters, 2)[:, 0].float()
        # The estimate of the IoU is not a reason to change the mask.
        iou = self._estimate_iou(x.float(), logits.detach())
        return Decoded(logits=logits, iou=iou)

    def _descend(
        self, features: Features, maps: PromptMaps, owner: Tensor, similar: Similarity
    ) -> list[Tensor]:
        """Return the way down at strides 4, 8, 16 and 32; the image enters at the first two."""
        assert features.detail is not None
        fine = torch.cat([maps.fine, similar.fine], dim=1)
        # Few channels are quicker to bring into the order of memory than many.
        fine = fine.contiguous(memory_format=torch.channels_last)
        halved = F.avg_pool2d(similar.fine, 2)
        coarse = torch.cat([similar.coarse, halved, maps.coarse], dim=1)
        detail = self.detail(features.detail)[owner]
        embedding = self.embedding(features.embedding)[owner]
        x = self.descend[0](detail + self.fine(fine))
        skips = [x]
        x = self.downs[0](x) + embedding
        x = self.descend[1](x + self.coarse(coarse))
        skips.append(x)
        for level in (1, 2):
            x = self.downs[level](x)
            x = self.descend[level + 1](x)
            skips.append(x)
        return skips

    def _up(self, level: int, x: Tensor, skip: Tensor) -> Tensor:
        """Go up to a level and join its skip."""
        finer = double_size(self.ups[level](x))
        joined: Tensor = self.ascend[level](skip + finer)
        return joined

    def _estimate_iou(self, coarse: Tensor, logits: Tensor) -> Tensor:
        """Estimate the IoU from the features inside the mask and in the whole frame.

        Parameters
        ----------
        coarse : Tensor, (N, C, G, G)
        logits : Tensor, (N, 4 G, 4 G)

        Returns
        -------
        Tensor, (N,), 0 to 1
        """
        # A soft mask keeps the doubts of its edges.
        probability = torch.sigmoid(logits)[:, None]
        weight = F.avg_pool2d(probability, 4)
        inside = weighted_mean(coarse, weight)
        around = weighted_mean(coarse, 1 - weight)
        estimate: Tensor = self.quality(torch.cat([inside, around], dim=1))
        return torch.sigmoid(estimate[:, 0].float())


class StarterSam(nn.Module):
    """The promptable network behind ``starter``: `encode` an image once, `decode` many prompts.

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
        mean = torch.full((3, 1, 1), 127.5)
        deviation = torch.full((3, 1, 1), 64.0)
        self.register_buffer("pixel_mean", mean, persistent=False)
        self.register_buffer("pixel_std", deviation, persistent=False)
        self.encoder = Encoder(
            widths=(48, 96, 160, 256),
            depths=(1, 2, 2, 1),
            embedding_channels=self.embedding_channels,
            detail_channels=_DETAIL,
        )
        self.decoder = Decoder(
            self.embedding_channels,
            _DETAIL,
            (32, 64, 96, 128),
        )

    def normalise(self, pixels: Tensor) -> Tensor:
        """Scale grey values.

        Parameters
        ----------
        pixels : Tensor, (..., 3, H, W), float, 0 to 255
            RGB; a grey image three times.

        Returns
        -------
        Tensor, (..., 3, H, W), float
            Of about zero mean and unit variance: the input of `encode` once it is padded.
        """
        return (pixels - self.pixel_mean) / self.pixel_std

    def encode(self, pixels: Tensor) -> Features:
        """Embed B images.

        Parameters
        ----------
        pixels : Tensor, (B, 3, image_size, image_size), float
            Normalised and padded.
        """
        channels_last = pixels.contiguous(memory_format=torch.channels_last)
        features: Features = self.encoder(channels_last)
        return features

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Decode N prompts of one image, each as if it were alone.

        Parameters
        ----------
        features : Features
            Of one image (B = 1).
        prompts : Prompts
            Their bias is a channel here, where SAM adds it to attention logits: see the docstring
            of the module.

        Returns
        -------
        Decoded
            Logits (N, 4 G, 4 G) and the estimated IoU (N,).
        """
        grid = features.embedding.shape[-1]
        maps = prompt_maps(grid, prompts, like=features.embedding)
        # All prompts belong to the one image.
        owner = torch.zeros(len(prompts), dtype=torch.int64, device=maps.fine.device)
        decoded: Decoded = self.decoder(features, maps, owner)
        return decoded


def _ridge_similarity(keys: Tensor, regions: Regions, owner: Tensor) -> Tensor:
    """Fit the cells inside each prompt against those around it, and evaluate all cells.

    Parameters
    ----------
    keys : Tensor, (B, C, h, w)
        Features of B images.
    regions : Regions
        Of N prompts, at the size of the keys.
    owner : Tensor, (N,), int64
        The image that each prompt belongs to.

    Returns
    -------
    Tensor, (N, 1, h, w), float32
        Clipped to -2 .. 2.
    """
    cells = keys.flatten(2).mT[owner]
    inside = regions.inside.flatten(1)
    around = regions.around.flatten(1)
    value = fit_ridge(cells, inside, around, _RIDGE).similarity(cells)
    clipped = value.clamp(-2, 2)
    return clipped.reshape(len(owner), 1, *keys.shape[2:])
