"""How far two masks overlap: one definition for the whole package."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def dice_overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient of two masks (H, W); 0 if both are empty."""
    both = int(np.count_nonzero(one & other))
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    # two empty masks do not confirm each other here, unlike in `core.metrics`
    return 2 * both / max(1, total)
