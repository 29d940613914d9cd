"""SAM with boxes of the ground truth: how far boxes alone lead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.image_sets import Sample
from napari_iclsam import Task, dice
from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.refinement.sam import refine_with_sam


def tight_boxes(mask: NDArray[np.bool_], instances: NDArray[Any] | None) -> NDArray[np.int64]:
    """Return the box of each instance, or of each component that is no speck."""
    if instances is None:
        instances, _ = ndimage.label(mask)
        sizes = np.bincount(instances.ravel())
        sizes[0] = 0
        instances = np.where(sizes[instances] > 0.01 * sizes.max(), instances, 0)
    else:
        instances = np.where(mask, instances, 0)
    found = [s for s in ndimage.find_objects(instances) if s is not None]
    return np.array(
        [(s[1].start, s[0].start, s[1].stop - 1, s[0].stop - 1) for s in found], np.int64
    ).reshape(-1, 4)


def jittered(
    boxes: NDArray[np.int64], shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Move each side of each box by up to 10 % of the box."""
    size = np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    moved = np.rint(boxes + rng.uniform(-0.1, 0.1, boxes.shape) * size).astype(np.int64)
    moved = np.clip(moved, 0, np.tile([shape[1] - 1, shape[0] - 1], 2))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2])
    return moved


def filled(boxes: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the union of boxes as a mask."""
    mask = np.zeros(shape, bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def segment_boxes(task: Task, image: NDArray[Any], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return what SAM makes of boxes alone: no guidance, no mask prompt."""
    runners = task.context.runners
    recipe = replace(runners.recipe, sam_guidance=0.0, mask_prompt=False)
    with torch.inference_mode():
        runner = runners.experts.runners[0]
        query = runner.embed(as_rgb8(image))
        flat = torch.full((1, 1, *image.shape[:2]), 0.5)
        logits = refine_with_sam(runner, query, flat, flat, (boxes,), recipe)
        return (logits[0, 0] > 0).numpy()


def score_boxes(
    task: Task, query: Sample, label: int, rng: np.random.Generator
) -> dict[str, float]:
    """Score SAM with boxes of the ground truth alone, which no support changes."""
    truth = query.mask == label
    boxes = tight_boxes(truth, query.instances)
    scores = {}
    for name, some in (("truth", boxes), ("jitter", jittered(boxes, truth.shape, rng))):
        scores[f"sam_{name}"] = dice(segment_boxes(task, query.image, some), truth)
        scores[f"fill_{name}"] = dice(filled(some, truth.shape), truth)
    return scores
