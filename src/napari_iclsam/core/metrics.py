"""Overlap of masks, with one rule for empty ones. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def dice(predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the Dice coefficient ``2 |A n B| / (|A| + |B|)``.

    Parameters
    ----------
    predicted, truth : ndarray, of one shape
        Masks; what is not zero is foreground.

    Returns
    -------
    float
        In [0, 1]; 1 if both masks are empty, 0 if one of them is.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    predicted = np.asarray(predicted, bool)
    truth = np.asarray(truth, bool)
    if predicted.shape != truth.shape:
        raise ValueError(
            f"Both masks must have one shape; got {predicted.shape} and {truth.shape}."
        )
    both = int((predicted & truth).sum())
    return dice_of_counts(both, int(predicted.sum()) + int(truth.sum()))


def dice_of_counts(both: int, total: int) -> float:
    """Return the Dice coefficient of masks that share ``both`` pixels and have ``total`` together.

    See `dice`.
    """
    # two empty masks agree: nothing was to be found, and nothing was
    return 2 * both / total if total else 1.0


@dataclass(frozen=True, slots=True)
class StageScores:
    """Mean Dice over the examples that have a label, of each stage.

    Attributes
    ----------
    icl : float
        Of the in-context model alone, by its full-image stage.
    sam : float
        Of SAM's masks.
    fused : float
    examples : int
        Number of examples.
    """

    icl: float
    sam: float
    fused: float
    examples: int
