"""Features of UniverSeg's support pairs, some pairs at a time: pool, upsample, guide, average."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Groups = Sequence[Tensor]
"""A support tensor (B, S, C, H, W) as groups of pairs, (B, s, C, H, W) each."""


_GROUP = 4
"""Pairs of a group on a processor; a graphics card takes all at once."""


_ALL = 1 << 16
"""More pairs than any support set has."""


@dataclass(frozen=True, slots=True)
class PooledSupport:
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
class TargetAndSupport:
    """Target (B, F, H, W) and groups of the support at one level."""

    u: Tensor
    v: Groups


class GroupMean:
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


class CollectedGroups:
    """Mean and, with guidance, energy over pairs of groups that come one after the other."""

    def __init__(self, *, guided: bool) -> None:
        self._guided = guided
        self._mean = GroupMean()
        self._energies: list[Tensor] = []

    def add(self, group: Tensor) -> None:
        """Add a group (B, s, C, H, W)."""
        self._mean.add(group)
        if self._guided:
            self._energies.append(_energy(group))

    def value(self) -> PooledSupport:
        """Return both."""
        # Energies are wanted by guidance alone.
        energy = torch.stack(self._energies).sum(dim=0) if self._guided else None
        return PooledSupport(self._mean.value(), energy)


def group_size(x: Tensor) -> int:
    """Return how many pairs are taken at once on the device of a tensor."""
    return _GROUP if x.device.type == "cpu" else _ALL


def over_pairs(function: Callable[[Tensor], Tensor], v: Tensor) -> Tensor:
    """Apply a function of (N, C, H, W), channels last, to (B, S, C, H, W)."""
    flat = v.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    result = function(flat)
    pairs: Tensor = result.unflatten(0, v.shape[:2])
    return pairs


def pool(x: Tensor) -> Tensor:
    """Halve (B, C, H, W) by the maximum of 2 x 2 pixels."""
    return F.max_pool2d(x, 2)


def halve_pair(pair: TargetAndSupport) -> TargetAndSupport:
    """Halve the size of target and support."""
    v = [over_pairs(pool, group) for group in pair.v]
    return TargetAndSupport(pool(pair.u), v)


def upsample(x: Tensor) -> Tensor:
    """Resize (B, C, H, W) bilinearly to twice its size."""
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


def joined_groups(v: Groups, skip: Groups, guidance: Tensor | None) -> Iterator[Tensor]:
    """Join each group with its skip, guided or not."""
    if guidance is None:
        return _upsampled_beside(v, skip)
    return _guide(v, skip, guidance)


def _upsampled_beside(v: Groups, skip: Groups) -> Iterator[Tensor]:
    """Upsample each group and concatenate it with its skip."""
    for deep, fine in zip(v, skip, strict=True):
        upsampled = upsample(deep.flatten(0, 1))
        skipped = fine.flatten(0, 1)
        joined = torch.cat([upsampled, skipped], dim=1)
        yield joined.unflatten(0, fine.shape[:2])


def _guide(v: Groups, skip: Groups, guidance: Tensor) -> Iterator[Tensor]:
    """Upsample and concatenate as `_upsampled_beside`, weight, and restore the L2 norm."""
    weights = _factor(guidance, skip[0].shape[-2:])
    energies = []
    for deep, fine in zip(v, skip, strict=True):
        upsampled = over_pairs(upsample, deep)
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


def guide_pooled(v: PooledSupport, guidance: Tensor) -> Tensor:
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


def pool_upsampled(v: Groups, *, guided: bool) -> PooledSupport:
    """Pool over pairs as if all had been upsampled: upsampling is linear, squaring is not."""
    mean = GroupMean()
    energies = []
    for group in v:
        mean.add(group)
        if guided:
            upsampled = over_pairs(upsample, group)
            energies.append(_energy(upsampled))
    energy = torch.stack(energies).sum(dim=0) if guided else None
    return PooledSupport(upsample(mean.value()), energy)


def join_pooled(deep: PooledSupport, skip: PooledSupport) -> PooledSupport:
    """Concatenate two pooled tensors along their channels."""
    energy = None
    if deep.energy is not None and skip.energy is not None:
        energy = deep.energy + skip.energy
    mean = torch.cat([deep.mean, skip.mean], dim=1)
    return PooledSupport(mean, energy)
