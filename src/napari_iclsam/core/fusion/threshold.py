"""The threshold of log-odds of the foreground that maximises the expected Dice."""

from __future__ import annotations

import torch
from torch import Tensor

BIN_WIDTH = 0.05
"""Log-odds a bin of `histogram`."""

_LIMIT = 16.0
"""Log-odds beyond this are as good as certain."""

_BINS = round(2 * _LIMIT / BIN_WIDTH)

_LOWEST = -1.4
"""Lowest threshold, a probability of 0.2: where a lower one would be best, a Dice below 0.4 is
expected, and probably nothing is there."""


def histogram(log_odds: Tensor, among: Tensor | None = None) -> Tensor:
    """Count log-odds (R, n) in bins of `BIN_WIDTH`, (R, B): all, or those ``among`` (n,)."""
    index = bins_of(log_odds)
    return count_bins(index if among is None else index[:, among])


def bins_of(log_odds: Tensor) -> Tensor:
    """Return the bin of each of the log-odds (R, n), int32."""
    # clamped, so that what is beyond the limit counts in the outermost bins and not outside
    return ((log_odds + _LIMIT) / BIN_WIDTH).clamp(0, _BINS - 1).int()


def count_bins(index: Tensor) -> Tensor:
    """Count how often each bin occurs in each row of (R, n), (R, B)."""
    rows = len(index)
    # rows follow each other in one index: a single bincount serves all of them
    starts = _BINS * torch.arange(rows, dtype=torch.int32, device=index.device)
    flat = (index + starts[:, None]).flatten()
    return torch.bincount(flat, minlength=_BINS * rows).reshape(rows, _BINS)


def best_bin(counts: Tensor) -> Tensor:
    """Return the lowest bin (R,) of the foreground for the largest expected Dice by `histogram`."""
    lowest = round((_LOWEST + _LIMIT) / BIN_WIDTH)
    # without a least threshold, an image of background alone would get a mask of its noise
    return expected_dice(counts).argmax(dim=1).clamp_min(lowest)


def expected_dice(counts: Tensor) -> Tensor:
    """Return the expected Dice (R, B) of the foreground from each bin on, given `histogram`.

    If each pixel is foreground with its probability p, that is about 2 sum_F p / (|F| + sum p) for
    a foreground F.
    """
    # the middle of a bin stands for the log-odds in it
    centers = torch.arange(counts.shape[1], device=counts.device) + 0.5
    probabilities = torch.sigmoid(lower_edge(centers))
    area = sum_from(counts)
    true_area = sum_from(counts * probabilities)
    return 2 * true_area / (area + true_area[:, :1])


def sum_from(counts: Tensor) -> Tensor:
    """Sum counts (R, B) from each bin to the last, (R, B)."""
    # flipped, since cumsum goes from the first to the last
    return counts.flip(1).cumsum(1).flip(1)


def lower_edge(index: Tensor) -> Tensor:
    """Return the least log-odds of a bin."""
    return index * BIN_WIDTH - _LIMIT
