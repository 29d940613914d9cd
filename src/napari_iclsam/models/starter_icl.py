"""starter-icl, the bundled in-context network: UniverSeg on patches of pixels, with a likeness beside them.

Three additions make UniverSeg (`napari_iclsam.models.universeg`) cheaper, quicker to train and less
tied to place:

* patches: two by two pixels enter as channels of one cell, and leave the same way, so that images
  of 128 x 128 cost
  what 64 x 64 would;
* likeness: a small pyramid of convolutions describes every cell; a ridge regression in closed form,
  fitted to the cells
  of the support set, tells how much each cell of the query is like the target, once by its look
  alone and once by look and place (`napari_iclsam.models.likeness`). UniverSeg's pairs meet only
  where they lie above each other; this way color and texture are found anywhere;
* attention: at the two coarsest of its five levels, cells of 16 and 32 pixels, every cell of the
  query also asks all
  cells of the support set, so that what has more shape than color is found anywhere, too.

Its blocks are normalised by groups of channels. It is trained on images of several sizes and asked
at two (`TwoScales`): thin things need the fine one, large ones the coarse one, and a third, small
network weighs the answers, pixel by pixel. Knows no files and no devices.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.likeness import Rule, fit_rule
from napari_iclsam.models.universeg import SLOPE, Groups, SupportFeatures, UniverSeg

PATCH = 2
"""Pixels of a cell in each direction."""

_RIDGE = 0.01
"""Weight of the squared norm in the regression, relative to the mean variance of the
descriptors."""

_GROUPS = 4

_HEAD = 32
"""Channels of a head of the attention."""

_LIKENESSES = 2

_PLACE = 5
"""Descriptors of place, the last ones."""

_TRAITS = 3


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
            found.append(
                F.interpolate(describe(x), size=size, mode="bilinear", align_corners=False)
            )
        return torch.cat(found, dim=1)


def _level(channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        conv = nn.Conv2d(channels, channels_out, 3, padding=1)
        layers += [conv, nn.GroupNorm(_GROUPS, channels_out), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


class _Attention(nn.Module):
    """Every cell of the target asks all cells of the support, wherever they lie, and adds what they answer.

    Untrained, it adds nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // _HEAD
        self.norm, self.support_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.query, self.key, self.value, self.out = (
            nn.Linear(channels, channels) for _ in range(4)
        )
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, u: Tensor, v: Groups) -> Tensor:
        """Return u (B, F, h, w), changed, of u and of the support's groups (B, s, F, h, w)."""
        asking = self.norm(u.flatten(2).mT)
        known = self.support_norm(
            torch.cat([group.movedim(2, -1).flatten(1, 3) for group in v], dim=1)
        )
        parts = (self.query(asking), self.key(known), self.value(known))
        answer = F.scaled_dot_product_attention(
            *(x.unflatten(-1, (self.heads, _HEAD)).transpose(1, 2) for x in parts)
        )
        change: Tensor = self.out(answer.transpose(1, 2).flatten(2))
        met: Tensor = u + change.mT.unflatten(2, u.shape[-2:])
        return met


class _Core(UniverSeg):
    """UniverSeg whose target and support, at some levels, also meet by attention."""

    def __init__(self, features: Sequence[int], meeting: Collection[int]) -> None:
        cells = PATCH**2
        super().__init__(3 * cells + _LIKENESSES, features, mask_channels=cells, groups=_GROUPS)
        self.attention = nn.ModuleDict(
            {str(level): _Attention(features[level]) for level in meeting}
        )

    def meet(self, level: int, u: Tensor, v: Groups) -> Tensor:
        if str(level) not in self.attention:
            return u
        met: Tensor = self.attention[str(level)](u, v)
        return met


class StarterIcl(nn.Module):
    """The in-context network at one scale; what its methods take and give is what `UniverSeg`'s do.

    Parameters
    ----------
    features : sequence of int
        Of each level, finest first: cells of 2, 4, 8, ... pixels.
    meeting : collection of int
        Levels at which target and support also meet by attention.
    """

    def __init__(
        self, features: Sequence[int] = (64, 64, 96, 128, 128), meeting: Collection[int] = (3, 4)
    ) -> None:
        super().__init__()
        self.stem = _Pyramid(3 * PATCH**2, (24, 48, 64), 16)
        self.core = _Core(features, meeting)

    def encode_support(self, images: Tensor, masks: Tensor) -> StarterContext:
        """Compute what does not depend on the query; H and W divisible by 32. See `UniverSeg.encode_support`."""
        pairs = images.shape[:2]
        described = self._describe(images.flatten(0, 1)).unflatten(0, pairs)
        share = F.avg_pool2d(masks.flatten(0, 1).float(), PATCH).unflatten(0, pairs)
        flat = described.movedim(2, -1).flatten(1, 3)
        used = (flat.shape[2] - _PLACE, flat.shape[2])
        rule = fit_rule(flat, share.flatten(1), 1 - share.flatten(1), _RIDGE, used)
        cells = torch.cat([_cells(images), _likeness(rule, described).to(images.dtype)], dim=2)
        return StarterContext(rule, self.core.encode_support(cells, _cells(masks)))

    def forward(
        self,
        query: Tensor,
        support: StarterContext,
        guidance: Tensor | None = None,
        *,
        likeness: Tensor | None = None,
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
        """Return of each cell what the stem says, its mean color, and its place: (N, D, h, w), float32."""
        learnt = self.stem(_cells(images)).float()
        n, _, h, w = learnt.shape
        y, x = torch.meshgrid(
            *(torch.linspace(-1, 1, s, device=images.device) for s in (h, w)), indexing="ij"
        )
        place = torch.stack([x, y, x * x, y * y, x * y]).expand(n, -1, -1, -1)
        return torch.cat([learnt, F.avg_pool2d(images.float(), PATCH), place], dim=1)


@dataclass(frozen=True, slots=True)
class TwoScalesContext:
    """What `TwoScales.encode_support` computes of the support sets of T tasks alone.

    Attributes
    ----------
    fine, coarse : StarterContext
        At full and at half size.
    traits : Tensor, (T, 3), float32
        How much of the masks and of the images half the size loses, relative to them; the square
        root of the masks' share of the image.
    """

    fine: StarterContext
    coarse: StarterContext
    traits: Tensor


class Merge(nn.Module):
    """Weighs, pixel by pixel, the answer at full size against that at half the size; untrained, it is their mean."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        channels = 3 + _LIKENESSES + _TRAITS
        self.look = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, width, 3, padding=2, dilation=2),
            nn.LeakyReLU(SLOPE),
        )
        self.decide = nn.Conv2d(width, 2, 1)
        nn.init.zeros_(self.decide.weight)
        nn.init.zeros_(self.decide.bias)  # type: ignore[arg-type]

    def forward(
        self, fine: Tensor, coarse: Tensor, likeness: Tensor, image: Tensor, traits: Tensor
    ) -> Tensor:
        """Merge logits.

        Parameters
        ----------
        fine, coarse : Tensor, (B, 1, H, W)
            Logits; the coarse ones resized to the size of the fine ones.
        likeness : Tensor, (B, 2, H / 2, W / 2)
            At full size.
        image : Tensor, (B, 3, H, W)
        traits : Tensor, (B, 3)
            Of `TwoScalesContext`.
        """
        size = fine.shape[-2:]
        logits = torch.cat([fine, coarse], dim=1)
        seen = [
            torch.tanh(logits / 4),
            _resized(likeness, size),
            _lost(image).mean(dim=1, keepdim=True) * 8,
            traits[..., None, None].expand(-1, -1, *size),
        ]
        gate, change = self.decide(
            self.look(torch.cat([x.to(fine.dtype) for x in seen], dim=1))
        ).split(1, dim=1)
        merged: Tensor = torch.lerp(coarse, fine, torch.sigmoid(gate).to(fine.dtype)) + change
        return merged


class TwoScales(nn.Module):
    """The in-context network behind ``starter``: asked at full and at half size; a small network merges the answers.

    What its methods take and give is what `UniverSeg`'s do; height and width are divisible by 64.

    Parameters
    ----------
    network : StarterIcl, optional
        By default one of random weights.
    """

    image_sizes = (128, 256, 384, 512)
    """Sides of square images to choose from for a task; the network takes others, too."""

    image_channels = 3

    def __init__(self, network: StarterIcl | None = None) -> None:
        super().__init__()
        self.network = network or StarterIcl()
        self.merge = Merge()

    def encode_support(self, images: Tensor, masks: Tensor) -> TwoScalesContext:
        """Compute what does not depend on the query, at both scales. See `UniverSeg.encode_support`."""
        halved = (_halved(x.flatten(0, 1)).unflatten(0, x.shape[:2]) for x in (images, masks))
        return TwoScalesContext(
            self.network.encode_support(images, masks),
            self.network.encode_support(*halved),
            _traits(images, masks),
        )

    def forward(
        self, query: Tensor, support: TwoScalesContext, guidance: Tensor | None = None
    ) -> Tensor:
        """Segment Q queries with each of T support sets. See `UniverSeg.forward`."""
        traits = support.traits.repeat_interleave(len(query) // len(support.traits), dim=0)
        merged: Tensor = self.merge(*self.answers(query, support, guidance), query, traits)
        return merged

    def answers(
        self, query: Tensor, support: TwoScalesContext, guidance: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits at full and at half size, and the likeness at full size; parameters as of `forward`."""
        coarse = _resized(self.network(_halved(query), support.coarse, guidance), query.shape[-2:])
        likeness = self.network.likeness(query, support.fine)
        return self.network(query, support.fine, guidance, likeness=likeness), coarse, likeness


def _traits(images: Tensor, masks: Tensor) -> Tensor:
    """Return what `TwoScalesContext.traits` says, of images (T, S, 3, H, W) and masks (T, S, 1, H, W)."""
    images, masks = images.float(), masks.float()
    over = (1, 2, 3, 4)
    thin = _lost(masks.flatten(0, 1)).unflatten(0, masks.shape[:2]).sum(over) / masks.sum(
        over
    ).clamp_min(1)
    spread = images.std(dim=(-2, -1)).mean(dim=(1, 2)).clamp_min(1e-3)
    sharp = _lost(images.flatten(0, 1)).unflatten(0, images.shape[:2]).mean(over) / spread
    return torch.stack([thin, 4 * sharp, masks.mean(over).sqrt()], dim=1)


def _lost(x: Tensor) -> Tensor:
    """Return the absolute difference that halving the size and doubling it again makes, (N, C, H, W)."""
    return (x - _resized(_halved(x), x.shape[-2:])).abs()


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


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
