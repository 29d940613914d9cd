"""starter-icl, the bundled in-context network: UniverSeg on patches of pixels, with a likeness beside them.

Two additions make UniverSeg (`napari_iclsam.models.universeg`) cheaper to run and quicker to train:

* patches: two by two pixels enter as channels of one cell, and leave the same way, so that images of 128 x 128 cost
  what 64 x 64 would;
* likeness: a small pyramid of convolutions describes every cell; a ridge regression in closed form, fitted to the cells
  of the support set, tells how much each cell of the query is like the target, once by its look alone and once by look
  and place (`napari_iclsam.models.likeness`). UniverSeg's pairs meet only where they lie above each other; this way
  colour and texture are found anywhere.

Its blocks are normalised by groups of channels. It is trained on images of several sizes and asked at two
(`TwoScales`): thin things need the fine one, large ones the coarse one. Knows no files and no devices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.likeness import Rule, fit_rule
from napari_iclsam.models.universeg import SLOPE, SupportFeatures, UniverSeg

PATCH = 2
"""Pixels of a cell in each direction."""

_RIDGE = 0.01
"""Weight of the squared norm in the regression, relative to the mean variance of the descriptors."""

_GROUPS = 4
_LIKENESSES = 2

_PLACE = 5
"""Descriptors of place, the last ones."""


@dataclass(frozen=True, slots=True)
class StarterContext:
    """What `StarterIcl.encode_support` computes of a support set alone.

    Attributes
    ----------
    rule : Rule
        What tells the target's cells from the others: by their look alone, and by look and place.
    features : SupportFeatures
    """

    rule: Rule
    features: SupportFeatures


class _Pyramid(nn.Module):
    """Descriptors of each cell from three scales: cells, cells of twice and of four times the size."""

    def __init__(self, channels: int, widths: tuple[int, int, int], descriptors: int) -> None:
        super().__init__()
        inputs = (channels, *widths[:-1])
        self.levels = nn.ModuleList(_level(i, o) for i, o in zip(inputs, widths, strict=True))
        self.describe = nn.ModuleList(nn.Conv2d(width, descriptors, 1) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        size = x.shape[-2:]
        found: list[Tensor] = []
        for level, describe in zip(self.levels, self.describe, strict=True):
            x = level(F.avg_pool2d(x, 2) if found else x)
            found.append(F.interpolate(describe(x), size=size, mode="bilinear", align_corners=False))
        return torch.cat(found, dim=1)


def _level(channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        conv = nn.Conv2d(channels, channels_out, 3, padding=1)
        layers += [conv, nn.GroupNorm(_GROUPS, channels_out), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


class StarterIcl(nn.Module):
    """The in-context network at one scale; what its methods take and give is what `UniverSeg`'s do."""

    def __init__(self) -> None:
        super().__init__()
        cells = PATCH**2
        self.stem = _Pyramid(3 * cells, (24, 48, 64), 16)
        self.core = UniverSeg(3 * cells + _LIKENESSES, mask_channels=cells, groups=_GROUPS)

    def encode_support(self, images: Tensor, masks: Tensor) -> StarterContext:
        """Compute what does not depend on the query; H and W divisible by 16. See `UniverSeg.encode_support`."""
        pairs = images.shape[:2]
        described = self._describe(images.flatten(0, 1)).unflatten(0, pairs)
        share = F.avg_pool2d(masks.flatten(0, 1).float(), PATCH).unflatten(0, pairs)
        flat = described.movedim(2, -1).flatten(1, 3)
        used = (flat.shape[2] - _PLACE, flat.shape[2])
        rule = fit_rule(flat, share.flatten(1), 1 - share.flatten(1), _RIDGE, used)
        cells = torch.cat([_cells(images), _likeness(rule, described).to(images.dtype)], dim=2)
        return StarterContext(rule, self.core.encode_support(cells, _cells(masks)))

    def forward(
        self, query: Tensor, support: StarterContext, guidance: Tensor | None = None, *, likeness: Tensor | None = None
    ) -> Tensor:
        """Segment Q queries with each of T support sets. See `UniverSeg.forward`; a likeness at hand may be given."""
        if likeness is None:
            likeness = self.likeness(query, support)
        cells = torch.cat([_cells(query), likeness.to(query.dtype)], dim=1)
        logits: Tensor = self.core(cells, support.features, guidance)
        return F.pixel_shuffle(logits, PATCH)

    def likeness(self, query: Tensor, support: StarterContext) -> Tensor:
        """Return how much each cell looks like the target, by look and by look and place: (T * Q, 2, H / 2, W / 2)."""
        described = self._describe(query).unflatten(0, (len(support.rule.mean), -1))
        return _likeness(support.rule, described).flatten(0, 1)

    def _describe(self, images: Tensor) -> Tensor:
        """Return of each cell what the stem says, its mean colour, and its place: (N, D, h, w), float32."""
        learnt = self.stem(_cells(images)).float()
        n, _, h, w = learnt.shape
        y, x = torch.meshgrid(*(torch.linspace(-1, 1, s, device=images.device) for s in (h, w)), indexing="ij")
        place = torch.stack([x, y, x * x, y * y, x * y]).expand(n, -1, -1, -1)
        return torch.cat([learnt, F.avg_pool2d(images.float(), PATCH), place], dim=1)


class TwoScales(nn.Module):
    """The in-context network behind ``starter``: asked at full and at half size, the mean of the logits is the answer.

    What its methods take and give is what `UniverSeg`'s do; height and width are divisible by 32.

    Parameters
    ----------
    network : StarterIcl
    """

    image_size = 256
    """Side of the square images that the bundled weights were trained on; the network takes others, too."""

    image_channels = 3

    def __init__(self, network: StarterIcl) -> None:
        super().__init__()
        self.network = network

    def encode_support(self, images: Tensor, masks: Tensor) -> tuple[StarterContext, StarterContext]:
        """Compute what does not depend on the query, at both scales. See `UniverSeg.encode_support`."""
        halved = (_halved(x.flatten(0, 1)).unflatten(0, x.shape[:2]) for x in (images, masks))
        return self.network.encode_support(images, masks), self.network.encode_support(*halved)

    def forward(
        self, query: Tensor, support: tuple[StarterContext, StarterContext], guidance: Tensor | None = None
    ) -> Tensor:
        """Segment Q queries with each of T support sets. See `UniverSeg.forward`."""
        fine, coarse = support
        logits = self.network(_halved(query), coarse, guidance)
        large = F.interpolate(logits, query.shape[-2:], mode="bilinear", align_corners=False)
        mean: Tensor = (self.network(query, fine, guidance) + large) / 2
        return mean


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def _cells(x: Tensor) -> Tensor:
    """Turn patches of pixels into channels: (..., C, H, W) -> (..., 4 C, H / 2, W / 2)."""
    return F.pixel_unshuffle(x, PATCH)


def _likeness(rule: Rule, described: Tensor) -> Tensor:
    """Evaluate a rule: (B, N, D, h, w) -> (B, N, 2, h, w), within [-3, 3]."""
    size = described.shape
    values = rule.apply(described.movedim(2, -1).flatten(1, 3)).clamp(-3, 3)
    maps: Tensor = values.unflatten(1, (size[1], *size[3:])).movedim(-1, 2)
    return maps
