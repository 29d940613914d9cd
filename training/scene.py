"""The value that every synthetic family returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scenes:
    """Images of one task, subject by subject.

    Attributes
    ----------
    images : ndarray, (N, H, W, 3) float32
        In [0, 1].
    labels : ndarray, (N, H, W) uint8
        Label maps; 0 is background.
    instances : ndarray or None, (N, H, W) uint16
        Objects, where the family draws separate ones.
    family : str
        Which family drew them.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.uint8]
    instances: NDArray[np.uint16] | None
    family: str
