"""Refinement by SAM: boxes and masks of the in-context model prompt the guided mask decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.encoder.runner import PromptableRunner
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.recipe import Recipe
from napari_iclsam.core.refinement.guidance import attention_bias
from napari_iclsam.core.refinement.prompts import Boxes
from napari_iclsam.models.prompts import Prompts

NOTHING = -1.0
"""Logit of a label without any box."""

BACKGROUND = -8.0
"""Logit outside the box of a mask prompt, and the lowest inside; the highest is its opposite."""

_BOX_MARGIN = 0.1
"""Part of a box's side by which a mask prompt reaches beyond it."""


def refine_with_sam(
    runner: PromptableRunner,
    query: Embedding,
    probabilities: Tensor,
    confidence: Tensor,
    boxes: Sequence[Boxes],
    recipe: Recipe,
) -> Tensor:
    """Decode all boxes of all labels together.

    Parameters
    ----------
    runner : PromptableRunner
    query : Embedding
    probabilities : Tensor, (L, 1, h, w)
        Of the in-context model, for mask prompts.
    confidence : Tensor, (L, 1, H, W)
        Semantic confidence maps, for guidance.
    boxes : sequence of ndarray, (n, 4)
        Of each label.
    recipe : Recipe

    Returns
    -------
    Tensor, (L, 1, H, W)
        Logits, the maximum over the boxes of a label; `NOTHING` where it has none.
    """
    frame = query.frame
    refined = probabilities.new_full((len(boxes), 1, frame.height, frame.width), NOTHING)
    counts = [len(of_label) for of_label in boxes]
    labels = np.repeat(np.arange(len(boxes)), counts)
    if not len(labels) or not recipe.refine:
        return refined
    # boxes of all labels go through the decoder together: one call costs less than many
    owners = torch.from_numpy(labels).to(probabilities.device)
    grid = runner.promptable.grid
    in_square = frame.boxes_to_square(np.concatenate(boxes))
    in_square = in_square.to(probabilities.device)
    bias = attention_bias(confidence, frame, grid, recipe.sam_guidance)[owners]
    masks = None
    if recipe.mask_prompt:
        masks = mask_prompts(
            probabilities,
            frame,
            in_square,
            owners,
            side=4 * grid,
        )
    decoded = runner.decode(query, Prompts(in_square, bias, masks))
    for label in np.unique(labels):
        refined[label] = _maximum_on_image(decoded[owners == int(label)], frame)
    return refined


def _maximum_on_image(logits: Tensor, frame: Frame) -> Tensor:
    """Return the maximum of logits (n, g, g) over the square, on the image, (1, H, W).

    They are resized one at a time to save memory.
    """
    maximum = frame.logits_to_image(logits[:1, None])[0]
    for one in logits[1:]:
        maximum = torch.maximum(maximum, frame.logits_to_image(one[None, None])[0])
    return maximum


def mask_prompts(
    probabilities: Tensor, frame: Frame, boxes: Tensor, owners: Tensor, side: int
) -> Tensor:
    """Make mask prompts: in-context logits in each box and margin, `BACKGROUND` outside.

    Parameters
    ----------
    probabilities : Tensor, (L, 1, h, w)
    frame : Frame
    boxes : Tensor, (N, 4)
        In pixels of the square input.
    owners : Tensor, (N,), int
        Index of the label of each box.
    side : int
        Of the prompts.

    Returns
    -------
    Tensor, (N, 1, side, side)
        Logits over the square input.
    """
    # both clamps: the first keeps the logarithm finite, the second is the range of the prompts
    logits = torch.logit(probabilities.clamp(1e-4, 1 - 1e-4))
    logits = logits.clamp(BACKGROUND, -BACKGROUND)
    # what lies outside the image becomes zero, and so background
    in_square = frame.image_to_grid(logits - BACKGROUND, side) + BACKGROUND
    of_box = in_square[owners]
    inside = _inside(boxes, frame.side, side)
    return torch.where(
        inside,
        of_box,
        torch.full_like(of_box, BACKGROUND),
    )


def _inside(boxes: Tensor, square: int, side: int) -> Tensor:
    """Return which pixels over the square lie in each box and its margin, (N, 1, side, side)."""
    pixel = square / side
    centers = (torch.arange(side, device=boxes.device) + 0.5) * pixel
    # a pixel at least, so that the prompt of a tiny box is not empty
    margin = _BOX_MARGIN * (boxes[:, 2:] - boxes[:, :2]) + pixel
    low = boxes[:, :2] - margin
    high = boxes[:, 2:] + margin
    columns = (centers >= low[:, :1]) & (centers <= high[:, :1])
    rows = (centers >= low[:, 1:]) & (centers <= high[:, 1:])
    inside = rows[:, :, None] & columns[:, None, :]
    return inside[:, None]
