"""UniverSeg, the in-context network, in an exactly equal but cheaper factorised form.

Butoi et al., "UniverSeg: Universal Medical Image Segmentation", ICCV 2023. Names of the state dict
are those of the published weights. A block with target ``u`` and support ``v_1 .. v_S`` is
published as ::

    z_i  = cross_conv(concat(u, v_i))            (no non-linearity)
    u'   = lrelu(target_conv(mean_i z_i))
    v_i' = lrelu(support_conv(z_i))

A convolution is linear, so its target half is computed once instead of S times, ``mean_i z_i``
needs the mean of the support alone, the first block's support half does not depend on the query at
all (`UniverSeg.encode_support` computes it once a task), and the last decoder block, whose support
output is not used, needs only the mean of its support.

The pairs of a support set only ever meet in sums. They pass through the network in groups small
enough for a processor's cache, channels last, and only `SupportFeatures` holds all of them at full
resolution. The module knows no files and no devices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.models.support_groups import (
    CollectedGroups,
    GroupMean,
    Groups,
    PooledSupport,
    TargetAndSupport,
    group_size,
    guide_pooled,
    halve_pair,
    join_pooled,
    joined_groups,
    over_pairs,
    pool,
    pool_upsampled,
    upsample,
)

SLOPE = 0.01
"""Negative slope of the leaky rectifiers."""


@dataclass(frozen=True, slots=True)
class SupportFeatures:
    """Output of the first block for a support set alone.

    Of B tasks, S pairs each, F features, H x W pixels.

    Attributes
    ----------
    cross_mean : Tensor, (B, F, H, W)
        Mean over the pairs of the support half of the first block's cross convolution, without
        bias.
    support : Tensor, (B, S, F, H, W)
        The first block's support convolution of that half, pair by pair, with the convolution's
        bias.
    """

    cross_mean: Tensor
    support: Tensor


@dataclass(frozen=True, slots=True)
class _FirstLevel:
    """Output of the first block with a query.

    Attributes
    ----------
    u : Tensor, (B, F, H, W)
        Target, for the skip to the last block.
    halved : TargetAndSupport
        Target and support at half the size.
    pooled : PooledSupport
        Of the support, for the skip to the last block.
    """

    u: Tensor
    halved: TargetAndSupport
    pooled: PooledSupport


class _Conv(nn.Module):
    """A convolution under the name of the published state dict (``vmapped.conv`` or ``conv``)."""

    def __init__(self, channels_in: int, channels_out: int, size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in,
            channels_out,
            size,
            padding=size // 2,
        )


class _Activated(_Conv):
    """A convolution with a group normalisation (not in the published network) and a rectifier."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(channels, channels)
        self.norm = nn.GroupNorm(groups, channels) if groups else nn.Identity()

    def activate(self, x: Tensor) -> Tensor:
        """Normalise and rectify the output of the convolution."""
        return F.leaky_relu(
            self.norm(x),
            SLOPE,
            inplace=True,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.conv(x))


class _Vmapped(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.vmapped = _Activated(channels, groups)


class _CrossConv(nn.Module):
    def __init__(self, target: int, support: int, channels_out: int) -> None:
        super().__init__()
        self.cross_conv = nn.Conv2d(
            target + support,
            channels_out,
            3,
            padding=1,
        )


class CrossBlock(nn.Module):
    """One CrossBlock (UniverSeg, sec. 3), computed half by half.

    Parameters
    ----------
    target, support : int
        Channels of the target and of a support pair. The first ``target`` input channels of the
        cross convolution belong to the target.
    features : int
        Channels of both outputs.
    groups : int
        Of the normalisation of both outputs; 0 for none.
    """

    def __init__(self, target: int, support: int, features: int, groups: int = 0) -> None:
        super().__init__()
        self._split = target
        self.cross = _CrossConv(target, support, features)
        self.target = _Vmapped(features, groups)
        self.support = _Vmapped(features, groups)

    def cross_target(self, u: Tensor) -> Tensor:
        """Return the target half of z, with the bias: (B, Cu, H, W) -> (B, F, H, W)."""
        conv = self.cross.cross_conv
        weight = conv.weight[:, : self._split]
        return F.conv2d(u, weight, conv.bias, padding=1)

    def cross_support(self, v: Tensor) -> Tensor:
        """Return the support half of z, without the bias: (N, Cv, H, W) -> (N, F, H, W)."""
        weight = self.cross.cross_conv.weight[:, self._split :]
        return F.conv2d(v, weight, None, padding=1)

    def target_output(self, z_mean: Tensor) -> Tensor:
        """Return u' of mean_i z_i."""
        result: Tensor = self.target.vmapped(z_mean)
        return result

    def forward(self, u: Tensor, v: Iterable[Tensor]) -> TargetAndSupport:
        """Return u' (B, F, H, W) and groups of v' with F channels.

        Parameters
        ----------
        u : Tensor, (B, Cu, H, W)
        v : iterable of Tensor, (B, s, Cv, H, W)
            Groups, each taken once.
        """
        half_u = self.cross_target(u)
        mean = GroupMean()
        outputs = []
        for group in v:
            half_v = over_pairs(self.cross_support, group)
            mean.add(half_v)
            # In place, since no gradient needs what a sum was given.
            z = half_v.add_(half_u[:, None])
            outputs.append(over_pairs(self.support.vmapped, z))
        return TargetAndSupport(self.target_output(mean.value().add_(half_u)), outputs)


class UniverSeg(nn.Module):
    """The UniverSeg network.

    Parameters
    ----------
    image_channels : int
        Channels of an image: 1 in the published weights, 3 for color.
    features : Sequence[int]
        Features of each level, finest first. Published: four levels of 64.
    mask_channels : int
        Channels of a mask, and of the logits. Published: 1.
    groups : int
        Groups of the normalisation in each block. Published: 0, no normalisation.
    """

    image_sizes: tuple[int, ...] = (128,)
    """Sides of the square images of the published training; the network also takes others."""

    image_channels: int = 1

    def __init__(
        self,
        image_channels: int = 1,
        features: Sequence[int] = (64, 64, 64, 64),
        mask_channels: int = 1,
        groups: int = 0,
    ) -> None:
        super().__init__()
        self.image_channels = image_channels
        blocks = []
        target = image_channels
        support = image_channels + mask_channels
        for width in features:
            blocks.append(CrossBlock(target, support, width, groups))
            target = width
            support = width
        self.enc_blocks = nn.ModuleList(blocks)
        self.dec_blocks = nn.ModuleList(_decoder_blocks(features, groups))
        self.out_conv = _Conv(features[0], mask_channels, size=1)

    def encode_support(self, images: Tensor, masks: Tensor) -> SupportFeatures:
        """Compute what does not depend on the query.

        Parameters
        ----------
        images : Tensor, (B, S, C, H, W)
            Support images of B tasks, in [0, 1]; H and W divisible by 2 ** (levels - 1). Or
            (1, S, C, H, W), images of all tasks.
        masks : Tensor, (B, S, M, H, W)
            Their masks, in [0, 1]; M is ``mask_channels``.
        """
        block = cast(CrossBlock, self.enc_blocks[0])
        pairs = torch.cat([images.expand(len(masks), -1, -1, -1, -1), masks], dim=2)
        mean = GroupMean()
        outputs = []
        for group in pairs.split(group_size(images), dim=1):
            half_v = over_pairs(block.cross_support, group)
            mean.add(half_v)
            output = over_pairs(block.support.vmapped.conv, half_v)
            outputs.append(output.movedim(2, -1))

        convolved = torch.cat(outputs, dim=1)
        return SupportFeatures(
            mean.value(),
            convolved.movedim(-1, 2),
        )

    def forward(
        self, query: Tensor, support: SupportFeatures, guidance: Tensor | None = None
    ) -> Tensor:
        """Segment Q queries with each of T support sets.

        Parameters
        ----------
        query : Tensor, (T * Q, C, H, W)
            Query images in [0, 1], those of one task next to each other; or (1, C, H, W), one query
            for all support sets.
        support : SupportFeatures
            Of `encode_support`, T tasks.
        guidance : Tensor, (T * Q, 1, h, w), optional
            alpha * z: the logarithm of the factor by which each decoder block's support is weighted
            before it is rescaled to its former L2 norm (Hu et al. 2024, semantic guidance of the
            in-context model). Resized bilinearly to each block; the target and the encoder do not
            use it.

        Returns
        -------
        Tensor, (T * Q, M, H, W)
            Logits; M is ``mask_channels``.
        """
        guided = guidance is not None
        first = self._first_block(query, support, guided=guided)
        levels = self._descend(first.halved)
        deepest = self._ascend(levels, guidance)
        u = torch.cat([upsample(deepest.u), first.u], dim=1)
        pooled = pool_upsampled(deepest.v, guided=guided)
        v = join_pooled(pooled, first.pooled)
        return self._last_block(u, v, guidance)

    def meet(self, level: int, u: Tensor, v: Groups) -> Tensor:
        """Change the target (B, F, h, w) after an encoder block, given the support.

        The published network changes nothing; a subclass may.
        """
        return u

    def _first_block(self, query: Tensor, support: SupportFeatures, *, guided: bool) -> _FirstLevel:
        """Run the first block, whose support half is known."""
        block = cast(CrossBlock, self.enc_blocks[0])
        vmapped = block.support.vmapped
        tasks = len(support.support)
        queries = max(len(query) // tasks, 1)
        # Few channels are quicker to bring into the order of memory than many.
        query = query.contiguous(memory_format=torch.channels_last)
        half_u = block.cross_target(query)
        # The support convolution is linear, too: that of the target's half is shared by all pairs.
        shared = F.conv2d(
            half_u,
            vmapped.conv.weight,
            None,
            padding=1,
        )
        # One query for all support sets is no longer the same for each from here on.
        half_u = half_u.expand(tasks * queries, -1, -1, -1)
        shared = shared.expand(tasks * queries, -1, -1, -1)
        shared = shared.unflatten(0, (tasks, -1))
        cross_mean = support.cross_mean
        if queries > 1:
            cross_mean = cross_mean.repeat_interleave(queries, dim=0)
        u = block.target_output(half_u + cross_mean)
        collected = CollectedGroups(guided=guided)
        halved = []
        for part in support.support.split(group_size(query), dim=1):
            convolved = part[:, None] + shared[:, :, None]
            v = over_pairs(vmapped.activate, convolved.flatten(0, 1))
            halved.append(over_pairs(pool, v))
            collected.add(v)
        pair = TargetAndSupport(pool(u), halved)
        return _FirstLevel(u, pair, collected.value())

    def _descend(self, pair: TargetAndSupport) -> list[TargetAndSupport]:
        """Run the encoder blocks after the first: the output of each, before it is halved."""
        levels: list[TargetAndSupport] = []
        for level, block in enumerate(self.enc_blocks[1:], start=1):
            if levels:
                pair = halve_pair(pair)
            pair = block(pair.u, pair.v)
            u = self.meet(level, pair.u, pair.v)
            pair = TargetAndSupport(u, pair.v)
            levels.append(pair)
        return levels

    def _ascend(self, levels: list[TargetAndSupport], guidance: Tensor | None) -> TargetAndSupport:
        """Run the decoder blocks before the last."""
        *skips, pair = levels
        for block in self.dec_blocks[:-1]:
            skip = skips.pop()
            v = joined_groups(pair.v, skip.v, guidance)
            u = torch.cat([upsample(pair.u), skip.u], dim=1)
            pair = block(u, v)
        return pair

    def _last_block(self, u: Tensor, v: PooledSupport, guidance: Tensor | None) -> Tensor:
        """Run the last decoder block, whose support output is not needed."""
        block = cast(CrossBlock, self.dec_blocks[-1])
        mean = v.mean if guidance is None else guide_pooled(v, guidance)
        z_mean = block.cross_target(u).add_(block.cross_support(mean))
        logits: Tensor = self.out_conv.conv(block.target_output(z_mean))
        return logits


def _decoder_blocks(features: Sequence[int], groups: int) -> Iterator[CrossBlock]:
    """Make the decoder blocks, coarsest first, each of a level and the next finer skip."""
    for deep, skip in pairwise(list(features)[::-1]):
        yield CrossBlock(deep + skip, deep + skip, skip, groups)
