"""What both models give for one query, before the fusion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class StageOutputs:
    """Maps of one query for L labels.

    Attributes
    ----------
    confidence : Tensor, (L, 1, H, W)
        Semantic confidence map.
    icl : Tensor, (L, 1, h, w)
        Probabilities of the in-context model, of all its stages.
    sam : Tensor, (L, 1, H, W)
        Logits of SAM, the maximum over the boxes of a label; -1 where it has none.
    boxes : tuple of ndarray, (n, 4)
        Of each label.
    full_image : Tensor, (L, 1, s, s)
        Probabilities of the in-context model by its full-image stage.
    """

    confidence: Tensor
    icl: Tensor
    sam: Tensor
    boxes: tuple[NDArray[np.int64], ...]
    full_image: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the query in pixels."""
        return self.sam.shape[-2], self.sam.shape[-1]
