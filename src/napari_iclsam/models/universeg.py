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

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.01
"""Negative slope of the leaky rectifiers."""


Groups = Sequence[Tensor]
"""A support tensor (B, S, C, H, W) as groups of pairs, (B, s, C, H, W) each."""

_GROUP = 4
"""Pairs of a group on a processor; a graphics card takes all at once."""

_ALL = 1 << 16
"""More pairs than any support set has."""


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
class _Pooled:
    """A support tensor of which only the mean and the energy are still needed.

    Attributes
    ----------
    mean : Tensor, (B, C, H, W)
        Over the pairs.
    energy : Tensor, (B, 1, H, W), optional
        Sum of squares over pairs and channels; None without guidance.
    """

    mean: Tensor
    energy: Tensor | None


@dataclass(frozen=True, slots=True)
class _Pair:
    """Target (B, F, H, W) and groups of the support at one level."""

    u: Tensor
    v: Groups


@dataclass(frozen=True, slots=True)
class _FirstLevel:
    """Output of the first block with a query.

    Attributes
    ----------
    u : Tensor, (B, F, H, W)
        Target, for the skip to the last block.
    halved : _Pair
        Target and support at half the size.
    pooled : _Pooled
        Of the support, for the skip to the last block.
    """

    u: Tensor
    halved: _Pair
    pooled: _Pooled


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

    def forward(self, u: Tensor, v: Iterable[Tensor]) -> _Pair:
        """Return u' (B, F, H, W) and groups of v' with F channels.

        Parameters
        ----------
        u : Tensor, (B, Cu, H, W)
        v : iterable of Tensor, (B, s, Cv, H, W)
            Groups, each taken once.
        """
        half_u = self.cross_target(u)
        mean = _Mean()
        outputs = []
        for group in v:
            half_v = _over_pairs(self.cross_support, group)
            mean.add(half_v)
            z = half_v + half_u[:, None]
            outputs.append(_over_pairs(self.support.vmapped, z))
        return _Pair(self.target_output(half_u + mean.value()), outputs)


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
            Support images of B tasks, in [0, 1]; H and W divisible by 2 ** (levels - 1).
        masks : Tensor, (B, S, M, H, W)
            Their masks, in [0, 1]; M is ``mask_channels``.
        """
        block = cast(CrossBlock, self.enc_blocks[0])
        pairs = torch.cat([images, masks], dim=2)
        mean = _Mean()
        outputs = []
        for group in pairs.split(_group_size(images), dim=1):
            half_v = _over_pairs(block.cross_support, group)
            mean.add(half_v)
            output = _over_pairs(block.support.vmapped.conv, half_v)
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
            Query images in [0, 1], those of one task next to each other.
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
        u = torch.cat([_up(deepest.u), first.u], dim=1)
        pooled = _pool_upsampled(deepest.v, guided=guided)
        v = _join(pooled, first.pooled)
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
        half_u = block.cross_target(query).contiguous(memory_format=torch.channels_last)
        tasks = len(support.support)
        queries = len(query) // tasks
        cross_mean = support.cross_mean.repeat_interleave(queries, dim=0)
        u = block.target_output(half_u + cross_mean)
        # The support convolution is linear, too: that of the target's half is shared by all pairs.
        shared = F.conv2d(
            half_u,
            vmapped.conv.weight,
            None,
            padding=1,
        )
        shared = shared.unflatten(0, (tasks, -1))
        collected = _Collected(guided=guided)
        halved = []
        for part in support.support.split(_group_size(query), dim=1):
            convolved = part[:, None] + shared[:, :, None]
            v = _over_pairs(vmapped.activate, convolved.flatten(0, 1))
            halved.append(_over_pairs(_pool, v))
            collected.add(v)
        pair = _Pair(_pool(u), halved)
        return _FirstLevel(u, pair, collected.value())

    def _descend(self, pair: _Pair) -> list[_Pair]:
        """Run the encoder blocks after the first: the output of each, before it is halved."""
        levels: list[_Pair] = []
        for level, block in enumerate(self.enc_blocks[1:], start=1):
            if levels:
                pair = _halve(pair)
            pair = block(pair.u, pair.v)
            u = self.meet(level, pair.u, pair.v)
            pair = _Pair(u, pair.v)
            levels.append(pair)
        return levels

    def _ascend(self, levels: list[_Pair], guidance: Tensor | None) -> _Pair:
        """Run the decoder blocks before the last."""
        *skips, pair = levels
        for block in self.dec_blocks[:-1]:
            skip = skips.pop()
            v = _joined(pair.v, skip.v, guidance)
            u = torch.cat([_up(pair.u), skip.u], dim=1)
            pair = block(u, v)
        return pair

    def _last_block(self, u: Tensor, v: _Pooled, guidance: Tensor | None) -> Tensor:
        """Run the last decoder block, whose support output is not needed."""
        block = cast(CrossBlock, self.dec_blocks[-1])
        mean = v.mean if guidance is None else _guide_pooled(v, guidance)
        z_mean = block.cross_target(u) + block.cross_support(mean)
        logits: Tensor = self.out_conv.conv(block.target_output(z_mean))
        return logits


def _decoder_blocks(features: Sequence[int], groups: int) -> Iterator[CrossBlock]:
    """Make the decoder blocks, coarsest first, each of a level and the next finer skip."""
    for deep, skip in pairwise(list(features)[::-1]):
        yield CrossBlock(deep + skip, deep + skip, skip, groups)


class _Mean:
    """The mean over pairs of groups that come one after the other."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._pairs = 0

    def add(self, group: Tensor) -> None:
        """Add a group (B, s, C, H, W)."""
        channels, *size = group.shape[2:]
        # In the order of memory, channels last, the sum is ten times as fast.
        flat = group.movedim(2, -1).flatten(2)
        total = flat.sum(dim=1).view(-1, *size, channels)
        total = total.movedim(-1, 1)
        self._sum = total if self._sum is None else self._sum + total
        self._pairs += group.shape[1]

    def value(self) -> Tensor:
        """Return the mean, (B, C, H, W)."""
        assert self._sum is not None
        return self._sum / self._pairs


class _Collected:
    """Mean and, with guidance, energy over pairs of groups that come one after the other."""

    def __init__(self, *, guided: bool) -> None:
        self._guided = guided
        self._mean = _Mean()
        self._energies: list[Tensor] = []

    def add(self, group: Tensor) -> None:
        """Add a group (B, s, C, H, W)."""
        self._mean.add(group)
        if self._guided:
            self._energies.append(_energy(group))

    def value(self) -> _Pooled:
        """Return both."""
        # Energies are wanted by guidance alone.
        energy = torch.stack(self._energies).sum(dim=0) if self._guided else None
        return _Pooled(self._mean.value(), energy)


def _group_size(x: Tensor) -> int:
    return _GROUP if x.device.type == "cpu" else _ALL


def _over_pairs(function: Callable[[Tensor], Tensor], v: Tensor) -> Tensor:
    """Apply a function of (N, C, H, W), channels last, to (B, S, C, H, W)."""
    flat = v.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    result = function(flat)
    pairs: Tensor = result.unflatten(0, v.shape[:2])
    return pairs


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


def _halve(pair: _Pair) -> _Pair:
    """Halve the size of target and support."""
    v = [_over_pairs(_pool, group) for group in pair.v]
    return _Pair(_pool(pair.u), v)


def _up(x: Tensor) -> Tensor:
    return F.interpolate(
        x,
        scale_factor=2,
        mode="bilinear",
        align_corners=True,
    )


def _factor(guidance: Tensor, size: torch.Size) -> Tensor:
    """Return the factor of each pixel, (B, 1, h, w)."""
    resized = F.interpolate(
        guidance,
        size=size,
        mode="bilinear",
        align_corners=False,
    )
    return resized.exp()


def _joined(v: Groups, skip: Groups, guidance: Tensor | None) -> Iterator[Tensor]:
    """Join each group with its skip, guided or not."""
    if guidance is None:
        return _upsampled_beside(v, skip)
    return _guide(v, skip, guidance)


def _upsampled_beside(v: Groups, skip: Groups) -> Iterator[Tensor]:
    """Upsample each group and concatenate it with its skip."""
    for deep, fine in zip(v, skip, strict=True):
        upsampled = _up(deep.flatten(0, 1))
        skipped = fine.flatten(0, 1)
        joined = torch.cat([upsampled, skipped], dim=1)
        yield joined.unflatten(0, fine.shape[:2])


def _guide(v: Groups, skip: Groups, guidance: Tensor) -> Iterator[Tensor]:
    """Upsample and concatenate as `_upsampled_beside`, weight, and restore the L2 norm."""
    weights = _factor(guidance, skip[0].shape[-2:])
    energies = []
    for deep, fine in zip(v, skip, strict=True):
        upsampled = _over_pairs(_up, deep)
        energies.append(_energy(upsampled) + _energy(fine))
    energy = torch.stack(energies).sum(dim=0)
    # The norm is that of all pairs, so one factor holds for all groups.
    factor = weights * _restore_norm(energy, weights)
    factor = factor.to(skip[0].dtype)
    for group in _upsampled_beside(v, skip):
        yield group * factor[:, None]


def _energy(v: Tensor) -> Tensor:
    """Sum the squares of (B, S, C, H, W) over pairs and channels, (B, 1, H, W)."""
    norms: Tensor = torch.linalg.vector_norm(v, dim=2)
    return norms.square().sum(dim=1, keepdim=True)


def _guide_pooled(v: _Pooled, guidance: Tensor) -> Tensor:
    """Return the mean over pairs that the output of `_guide` for the whole tensor would have."""
    assert v.energy is not None
    weights = _factor(guidance, v.mean.shape[-2:])
    factor = weights * _restore_norm(v.energy, weights)
    return v.mean * factor.to(v.mean.dtype)


def _restore_norm(energy: Tensor, weights: Tensor) -> Tensor:
    """Return the factor (B, 1, 1, 1) that gives a weighted tensor its former L2 norm.

    It is 1 for a tensor of zeros.
    """
    pixels = (1, 2, 3)
    weighted = energy * weights.square()
    before = energy.sum(dim=pixels)
    after = weighted.sum(dim=pixels)
    # Without a division by zero, even in the branch that is not taken: its gradient would be NaN.
    tiny = torch.finfo(after.dtype).tiny
    quotient = before / after.clamp_min(tiny)
    ratio = torch.where(after > 0, quotient, 1.0)
    return ratio.sqrt()[:, None, None, None]


def _pool_upsampled(v: Groups, *, guided: bool) -> _Pooled:
    """Pool over pairs as if all had been upsampled: upsampling is linear, squaring is not."""
    mean = _Mean()
    energies = []
    for group in v:
        mean.add(group)
        if guided:
            upsampled = _over_pairs(_up, group)
            energies.append(_energy(upsampled))
    energy = torch.stack(energies).sum(dim=0) if guided else None
    return _Pooled(_up(mean.value()), energy)


def _join(deep: _Pooled, skip: _Pooled) -> _Pooled:
    """Concatenate two pooled tensors along their channels."""
    energy = None
    if deep.energy is not None and skip.energy is not None:
        energy = deep.energy + skip.energy
    mean = torch.cat([deep.mean, skip.mean], dim=1)
    return _Pooled(mean, energy)
