"""UniverSeg, the in-context network, in an exactly equal but cheaper factorised form. Knows no files and no devices.

Butoi et al., "UniverSeg: Universal Medical Image Segmentation", ICCV 2023. Names of the state dict
are those of the published weights. A block with target ``u`` and support ``v_1 .. v_S`` is
published as ::

    z_i  = cross_conv(concat(u, v_i))            (no non-linearity)
    u'   = lrelu(target_conv(mean_i z_i))
    v_i' = lrelu(support_conv(z_i))

A convolution is linear, so its target half is computed once instead of S times, ``mean_i z_i``
needs the mean of the support alone, the first block's support half does not depend on the query at
all (`UniverSeg.encode_support` computes it once a task), and the last decoder block, whose support
output nobody reads, needs only the mean of its support.

The pairs of a support set only ever meet in sums. They pass through the network in groups small
enough for a processor's cache, channels last, and nothing of all of them at full resolution is laid
out but `SupportFeatures`.
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


@dataclass(frozen=True, slots=True)
class SupportFeatures:
    """What the first block computes of a support set alone: of B tasks, S pairs each, F features, H x W pixels.

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
    """A support tensor of which only the mean over pairs and the energy a pixel are still needed."""

    mean: Tensor  # (B, C, H, W)
    energy: (
        Tensor | None
    )  # (B, 1, H, W): sum over pairs and channels of squares; None without guidance


class _Conv(nn.Module):
    """A convolution under the name that the published state dict gives it (``vmapped.conv`` or ``conv``)."""

    def __init__(self, channels_in: int, channels_out: int, size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, size, padding=size // 2)


class _Activated(_Conv):
    """The same, followed by a group normalisation (not in the published network) and a leaky rectifier."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(channels, channels)
        self.norm = nn.GroupNorm(groups, channels) if groups else nn.Identity()

    def activate(self, x: Tensor) -> Tensor:
        """Finish what the convolution has computed."""
        return F.leaky_relu(self.norm(x), SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.conv(x))


class _Vmapped(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.vmapped = _Activated(channels, groups)


class _CrossConv(nn.Module):
    def __init__(self, target: int, support: int, channels_out: int) -> None:
        super().__init__()
        self.cross_conv = nn.Conv2d(target + support, channels_out, 3, padding=1)


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
        return F.conv2d(u, conv.weight[:, : self._split], conv.bias, padding=1)

    def cross_support(self, v: Tensor) -> Tensor:
        """Return the support half of z, without the bias: (N, Cv, H, W) -> (N, F, H, W)."""
        return F.conv2d(v, self.cross.cross_conv.weight[:, self._split :], None, padding=1)

    def target_output(self, z_mean: Tensor) -> Tensor:
        """Return u' of mean_i z_i."""
        result: Tensor = self.target.vmapped(z_mean)
        return result

    def forward(self, u: Tensor, v: Iterable[Tensor]) -> tuple[Tensor, Groups]:
        """Return u' (B, F, H, W) and the groups of v' with F channels, of u (B, Cu, H, W) and groups with Cv."""
        half_u = self.cross_target(u)
        means, outputs = _Mean(), []
        for group in v:
            half_v = _over_pairs(self.cross_support, group)
            means.add(half_v)
            outputs.append(_over_pairs(self.support.vmapped, half_v + half_u[:, None]))
        return self.target_output(half_u + means.value()), outputs


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
    image_channels: int = 1
    """Side of the square images that the published weights were trained on; the network takes
    others, too."""

    def __init__(
        self,
        image_channels: int = 1,
        features: Sequence[int] = (64, 64, 64, 64),
        mask_channels: int = 1,
        groups: int = 0,
    ) -> None:
        super().__init__()
        self.image_channels = image_channels
        sizes = list(features)
        inputs = [(image_channels, image_channels + mask_channels), *((f, f) for f in sizes[:-1])]
        encoder = (CrossBlock(*cu_cv, f, groups) for cu_cv, f in zip(inputs, sizes, strict=True))
        decoder = (
            CrossBlock(deep + skip, deep + skip, skip, groups)
            for deep, skip in pairwise(sizes[::-1])
        )
        self.enc_blocks = nn.ModuleList(encoder)
        self.dec_blocks = nn.ModuleList(decoder)
        self.out_conv = _Conv(sizes[0], mask_channels, size=1)

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
        means, outputs = _Mean(), []
        for group in torch.cat([images, masks], dim=2).split(_group(images), dim=1):
            half_v = _over_pairs(block.cross_support, group)
            means.add(half_v)
            outputs.append(_over_pairs(block.support.vmapped.conv, half_v).movedim(2, -1))
        return SupportFeatures(means.value(), torch.cat(outputs, dim=1).movedim(-1, 2))

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
            in-context model). Resized bilinearly to each block; the target and the encoder are
            untouched.

        Returns
        -------
        Tensor, (T * Q, M, H, W)
            Logits; M is ``mask_channels``.
        """
        guided = guidance is not None
        u, v, top = self._first_block(query, support, guided=guided)
        top_u, u = u, _pool(u)
        skips: list[tuple[Tensor, Groups]] = []
        for level, block in enumerate(self.enc_blocks[1:], start=1):
            u, v = block(u, v)
            u = self.meet(level, u, v)
            if level < len(self.enc_blocks) - 1:
                skips.append((u, v))
                u, v = _pool(u), [_over_pairs(_pool, group) for group in v]
        for block in self.dec_blocks[:-1]:
            skip_u, skip_v = skips.pop()
            joined = (
                _upsampled_beside(v, skip_v) if guidance is None else _guide(v, skip_v, guidance)
            )
            u, v = block(torch.cat([_up(u), skip_u], dim=1), joined)
        u = torch.cat([_up(u), top_u], dim=1)
        return self._last_block(u, _join(_pool_upsampled(v, guided=guided), top), guidance)

    def meet(self, level: int, u: Tensor, v: Groups) -> Tensor:
        """Change the target (B, F, h, w) after an encoder block, knowing the support; as published, nothing."""
        return u

    def _first_block(
        self, query: Tensor, support: SupportFeatures, *, guided: bool
    ) -> tuple[Tensor, Groups, _Pooled]:
        """Return u', v' halved in size, and of v' at full size what the last block needs."""
        block = cast(CrossBlock, self.enc_blocks[0])
        half_u = block.cross_target(query).contiguous(memory_format=torch.channels_last)
        tasks = len(support.support)
        u = block.target_output(
            half_u + support.cross_mean.repeat_interleave(len(query) // tasks, dim=0)
        )
        shared = F.conv2d(half_u, block.support.vmapped.conv.weight, None, padding=1).unflatten(
            0, (tasks, -1)
        )
        halved, means, energies = [], _Mean(), []
        for part in support.support.split(_group(query), dim=1):
            v = _over_pairs(
                block.support.vmapped.activate, (part[:, None] + shared[:, :, None]).flatten(0, 1)
            )
            halved.append(_over_pairs(_pool, v))
            means.add(v)
            if guided:
                energies.append(_energy(v))
        return (
            u,
            halved,
            _Pooled(means.value(), torch.stack(energies).sum(dim=0) if guided else None),
        )

    def _last_block(self, u: Tensor, v: _Pooled, guidance: Tensor | None) -> Tensor:
        block = cast(CrossBlock, self.dec_blocks[-1])
        mean = v.mean if guidance is None else _guide_pooled(v, guidance)
        logits: Tensor = self.out_conv.conv(
            block.target_output(block.cross_target(u) + block.cross_support(mean))
        )
        return logits


class _Mean:
    """The mean over pairs of groups that come one after the other."""

    def __init__(self) -> None:
        self._sums: list[Tensor] = []
        self._pairs = 0

    def add(self, group: Tensor) -> None:
        self._pairs += group.shape[1]
        size, last = (
            group.shape[2:],
            group.movedim(2, -1),
        )  # as it lies in memory: ten times as fast to sum
        total = last.flatten(2).sum(dim=1).view(-1, *size[1:], size[0]).movedim(-1, 1)
        self._sums = [self._sums[0] + total] if self._sums else [total]

    def value(self) -> Tensor:
        """Return it, (B, C, H, W)."""
        return self._sums[0] / self._pairs


def _group(x: Tensor) -> int:
    return _GROUP if x.device.type == "cpu" else 1 << 16


def _over_pairs(function: Callable[[Tensor], Tensor], v: Tensor) -> Tensor:
    """Apply a function of (N, C, H, W), channels last, to (B, S, C, H, W)."""
    flat = v.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    result: Tensor = function(flat).unflatten(0, v.shape[:2])
    return result


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _weights(guidance: Tensor, size: torch.Size) -> Tensor:
    """Return the factor of each pixel, (B, 1, h, w)."""
    return F.interpolate(guidance, size=size, mode="bilinear", align_corners=False).exp()


def _upsampled_beside(v: Groups, skip: Groups) -> Iterator[Tensor]:
    """Upsample each group and concatenate it with its skip."""
    for deep, fine in zip(v, skip, strict=True):
        joined = torch.cat([_up(deep.flatten(0, 1)), fine.flatten(0, 1)], dim=1)
        yield joined.unflatten(0, fine.shape[:2])


def _guide(v: Groups, skip: Groups, guidance: Tensor) -> Iterator[Tensor]:
    """Do the same, weight the whole tensor and give it back its L2 norm."""
    weights = _weights(guidance, skip[0].shape[-2:])
    energies = [
        _energy(_over_pairs(_up, deep)) + _energy(fine) for deep, fine in zip(v, skip, strict=True)
    ]
    energy = torch.stack(energies).sum(dim=0)
    factor = (weights * _norm_kept(energy, weights)).to(skip[0].dtype)
    return (group * factor[:, None] for group in _upsampled_beside(v, skip))


def _energy(v: Tensor) -> Tensor:
    """Sum the squares of (B, S, C, H, W) over pairs and channels, (B, 1, H, W)."""
    norms: Tensor = torch.linalg.vector_norm(v, dim=2)
    return norms.square().sum(dim=1, keepdim=True)


def _guide_pooled(v: _Pooled, guidance: Tensor) -> Tensor:
    """Return the mean over pairs that `_guide` of the whole tensor would have."""
    assert v.energy is not None
    weights = _weights(guidance, v.mean.shape[-2:])
    return v.mean * (weights * _norm_kept(v.energy, weights)).to(v.mean.dtype)


def _norm_kept(energy: Tensor, weights: Tensor) -> Tensor:
    """Return the factor (B, 1, 1, 1) by which a weighted tensor has its former L2 norm; 1 for an empty one."""
    before, after = energy.sum(dim=(1, 2, 3)), (energy * weights.square()).sum(dim=(1, 2, 3))
    ratio = torch.where(after > 0, before / after.clamp_min(torch.finfo(after.dtype).tiny), 1.0)
    return ratio.sqrt()[:, None, None, None]


def _pool_upsampled(v: Groups, *, guided: bool) -> _Pooled:
    """Pool over pairs as if all had been upsampled: upsampling is linear, squaring is not."""
    means = _Mean()
    for group in v:
        means.add(group)
    energy = (
        torch.stack([_energy(_over_pairs(_up, group)) for group in v]).sum(dim=0)
        if guided
        else None
    )
    return _Pooled(_up(means.value()), energy)


def _join(deep: _Pooled, skip: _Pooled) -> _Pooled:
    """Concatenate two pooled tensors along their channels."""
    energy = None if deep.energy is None or skip.energy is None else deep.energy + skip.energy
    return _Pooled(torch.cat([deep.mean, skip.mean], dim=1), energy)
