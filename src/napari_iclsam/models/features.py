"""Values between the parts of promptable networks: features of an image and decoded masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Resampling = Literal["bilinear", "area"]
"""How an image is resized to the square input: bilinear with antialiasing, or averages over
areas."""


@dataclass(frozen=True, slots=True)
class Features:
    """Output of an image encoder for B square inputs, read by mask decoder and linear probe.

    Attributes
    ----------
    embedding : Tensor, (B, 256, G, G)
        One vector a cell of the G x G grid over the zero-padded square input (64 x 64 for SAM and
        starter-sam).
    detail : Tensor or None, (B, C, 2 G, 2 G)
        Finer features for decoders that want them; None for SAM.
    """

    embedding: Tensor
    detail: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """Output of a mask decoder for N prompts of one image.

    Attributes
    ----------
    logits : Tensor, (N, 4 G, 4 G)
        Low-resolution mask logits that cover the square input, padding included; foreground where
        positive.
    iou : Tensor, (N,)
        The network's own estimate of the intersection over union of each mask, 0 to 1.
    """

    logits: Tensor
    iou: Tensor
