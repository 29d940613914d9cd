"""Where to cut log-odds of the foreground, so that the expected Dice is largest."""

from __future__ import annotations

import torch
from torch import Tensor

STEP = 0.05
"""Log-odds a bin of `histogram`."""

_LIMIT = 16.0
"""Log-odds beyond this are as good as certain."""

_LOWEST = -1.4
"""Least log-odds of the foreground, a probability of 0.2: where less would be best, a Dice below 0.4 is expected, and
probably nothing is there."""


def histogram(odds: Tensor, among: Tensor | None = None) -> Tensor:
    """Count log-odds (R, n) in bins of width `STEP`, (R, B), all or those ``among`` (n,) which are meant."""
    bins = round(2 * _LIMIT / STEP)
    index = ((odds + _LIMIT) / STEP).long().clamp(0, bins - 1)
    index += bins * torch.arange(len(odds), device=odds.device)[:, None]
    if among is not None:
        index = index[:, among]
    return torch.bincount(index.flatten(), minlength=bins * len(odds)).reshape(len(odds), bins)


def best_bin(counts: Tensor) -> Tensor:
    """Return from which bin on (R,) the foreground must reach for the largest expected Dice, given `histogram`."""
    return expected_dice(counts).argmax(dim=1).clamp_min(round((_LOWEST + _LIMIT) / STEP))


def expected_dice(counts: Tensor) -> Tensor:
    """Return the expected Dice (R, B) of the foreground from each bin on, given `histogram`.

    If each pixel is foreground with its probability p, that is about 2 sum_F p / (|F| + sum p) for a foreground F.
    """
    probabilities = torch.sigmoid(cut_of(torch.arange(counts.shape[1], device=counts.device) + 0.5))
    inside, found = from_bin_on(counts), from_bin_on(counts * probabilities)
    return 2 * found / (inside + found[:, :1])


def from_bin_on(counts: Tensor) -> Tensor:
    """Sum counts (R, B) from each bin to the last, (R, B)."""
    return counts.flip(1).cumsum(1).flip(1)


def cut_of(index: Tensor) -> Tensor:
    """Return the least log-odds of a bin."""
    return index * STEP - _LIMIT
