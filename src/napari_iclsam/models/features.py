"""The values that every promptable network takes and gives; knows no network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Features:
    """What an image encoder sees in square, zero-padded images.

    Attributes
    ----------
    embedding : Tensor, (B, 256, 64, 64)
        Features that the probe and the mask decoder read.
    detail : Tensor, (B, C, 128, 128), optional
        Finer features, for mask decoders that use them.
    """

    embedding: Tensor
    detail: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Prompts:
    """N prompts of one image, in pixels of the square input, x before y. Parts that are None are not given.

    Attributes
    ----------
    boxes : Tensor, (N, 4)
        x0, y0, x1, y1.
    points : Tensor, (N, P, 2)
    point_labels : Tensor, (N, P)
        1 foreground, 0 background.
    masks : Tensor, (N, 1, 256, 256)
        Logits covering the square input.
    bias : Tensor, (N, 4096)
        Guidance: added to the attention logits of the 64 x 64 grid, row by row.
    """

    boxes: Tensor | None = None
    points: Tensor | None = None
    point_labels: Tensor | None = None
    masks: Tensor | None = None
    bias: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """One mask a prompt.

    Attributes
    ----------
    logits : Tensor, (N, 256, 256)
        Covering the square input, padding included.
    iou : Tensor, (N,)
        The network's own estimate of the mask's quality.
    """

    logits: Tensor
    iou: Tensor
