"""The threshold of log-odds at which the expected Dice is largest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

_LOWEST = -1.5
"""Least threshold, in log-odds."""

_TEMPER = 0.3
"""Factor of log-odds that makes probabilities: messages count evidence more than once."""


def threshold_of_expected_dice(log_odds: NDArray[np.float32]) -> float:
    """Return the log-odds, at most 0, above which the foreground has the largest expected Dice.

    For independent pixels of probability p, the expected Dice of a foreground F is about
    2 sum_F p / (|F| + sum p). It is tried for the largest log-odds first, down to a limit.
    """
    values = np.sort(log_odds[log_odds > 4 * _LOWEST], axis=None)[::-1]
    # nothing here is likely enough to be the object
    if not len(values) or values[0] <= _LOWEST:
        return 0.0
    probability = special.expit(_TEMPER * values.astype(np.float64))
    found = np.cumsum(probability)
    area = np.arange(1, len(values) + 1)
    expected = 2 * found / (area + found[-1])
    best = float(values[int(np.argmax(expected))])
    # a little below, so that the pixel of the best threshold itself is foreground
    return float(np.clip(best - 1e-3, _LOWEST, 0.0))
