"""What both models give for one query, before the fusion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ExpertOutput:
    """Maps of one promptable model for L labels.

    Attributes
    ----------
    confidence : Tensor, (L, 1, H, W)
        Semantic confidence map.
    sam : Tensor, (L, 1, H, W)
        Logits of the mask decoder, the maximum over the boxes of a label; -1 where it has none.
    """

    confidence: Tensor
    sam: Tensor


@dataclass(frozen=True, slots=True)
class StageOutputs:
    """Maps of one query for L labels.

    Attributes
    ----------
    icl : Tensor, (L, 1, h, w)
        Probabilities of the in-context model, of all its stages.
    experts : tuple of ExpertOutput
        One a promptable model, at least one.
    boxes : tuple of ndarray, (n, 4)
        Of each label.
    full_image : Tensor, (L, 1, s, s)
        Probabilities of the in-context model by its full-image stage.
    pixels : Tensor, (L, 1, H, W), optional
        Log-odds of the pixel classifier, if there is one.
    """

    icl: Tensor
    experts: tuple[ExpertOutput, ...]
    boxes: tuple[NDArray[np.int64], ...]
    full_image: Tensor
    pixels: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the query in pixels."""
        # the in-context model's maps are of another size: only those of the promptable ones lie
        # on the image
        return self.sam.shape[-2], self.sam.shape[-1]

    @property
    def sam(self) -> Tensor:
        """Logits of the first promptable model, (L, 1, H, W)."""
        return self.experts[0].sam

    @property
    def confidence(self) -> Tensor:
        """Confidence map of the first promptable model, (L, 1, H, W)."""
        return self.experts[0].confidence
