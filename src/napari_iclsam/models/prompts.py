"""Prompts of a promptable network: boxes, points, masks and guidance. Knows no network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Prompts:
    """N prompts of one image, in pixels of the square input.

    Attributes
    ----------
    boxes : Tensor, (N, 4), float, optional
        x0, y0, x1, y1.
    bias : Tensor, (N, G * G) or (G * G,), float, optional
        Guidance, row by row of the grid: added to the attention logits of the mask token. One
        dimension stands for the same guidance of all prompts.
    masks : Tensor, (N, 1, 4 G, 4 G), float, optional
        Mask prompts, as logits over the square input.
    points : Tensor, (N, P, 2), float, optional
        x, y.
    point_labels : Tensor, (N, P), int, optional
        1 foreground, 0 background, -1 no point.

    Raises
    ------
    ValueError
        Boxes, points and masks are all missing, or points come without their labels.
    """

    boxes: Tensor | None = None
    bias: Tensor | None = None
    masks: Tensor | None = None
    points: Tensor | None = None
    point_labels: Tensor | None = None

    def __post_init__(self) -> None:
        if self.boxes is None and self.points is None and self.masks is None:
            raise ValueError("expected at least one prompt (boxes, points or masks), got none")
        if (self.points is None) != (self.point_labels is None):
            raise ValueError("expected points together with point_labels, got only one of them")

    def __len__(self) -> int:
        if self.boxes is not None:
            return len(self.boxes)
        if self.points is not None:
            return len(self.points)
        assert self.masks is not None
        return len(self.masks)

    def part(self, start: int, stop: int) -> Prompts:
        """Return the prompts ``start`` to ``stop``."""
        chosen = slice(start, stop)
        bias = self.bias
        # Guidance of one dimension belongs to every prompt.
        if bias is not None and bias.ndim > 1:
            bias = bias[chosen]
        return Prompts(
            boxes=_chosen(self.boxes, chosen),
            bias=bias,
            masks=_chosen(self.masks, chosen),
            points=_chosen(self.points, chosen),
            point_labels=_chosen(self.point_labels, chosen),
        )


def _chosen(values: Tensor | None, chosen: slice) -> Tensor | None:
    return None if values is None else values[chosen]
