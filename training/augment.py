"""Augmentation of a task (the same for all its pairs) and of each pair (UniverSeg, sec. 3.2).

Arrays in, arrays out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from napari_iclsam.core.images.crops import PixelSlices
from training.acquisition import GREY
from training.fields import Float, Rng, affine, blur, displacement, log_uniform, sample


@dataclass(frozen=True, slots=True)
class Pairs:
    """Images (N, 3, H, W) in [0, 1] and binary masks (N, 1, H, W) of one task."""

    images: Float
    masks: Float


def augment(rng: Rng, pairs: Pairs) -> Pairs:
    """Augment the task, then each pair, and scale every image to [0, 1] by its extremes."""
    pairs = _orient(rng, pairs)
    if rng.random() < 0.6:
        pairs = deform(rng, pairs)
    pairs = _change_target(rng, pairs)
    images = _color(rng, pairs.images)
    images = _photometry(rng, images)
    return Pairs(own_range(images), np.ascontiguousarray(pairs.masks))


def own_range(images: Float) -> Float:
    """Scale each image (all channels together) to [0, 1]; a constant image becomes zeros."""
    low = images.min(axis=(1, 2, 3), keepdims=True)
    high = images.max(axis=(1, 2, 3), keepdims=True)
    span = np.where(high > low, high - low, 1)
    return np.ascontiguousarray((images - low) / span, dtype=np.float32)


def crop(
    rng: Rng,
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    size: int,
    extent: float | None,
    *,
    smooth: bool,
) -> Pairs:
    """Cut a square window and resize it.

    ``extent`` is its side relative to the shorter side, None is the whole image.

    The window mostly lies on the foreground. See `cut_out`.
    """
    height, width = mask.shape
    if extent is None:
        return cut_out(image, mask, (slice(0, height), slice(0, width)), size, smooth=smooth)
    side = max(8, min(round(min(height, width) * extent), height, width))
    centre = np.array([rng.integers(height), rng.integers(width)])
    if rng.random() < 0.8:
        inside = np.flatnonzero(mask)
        if len(inside):
            chosen = inside[rng.integers(len(inside))]
            centre = np.array([chosen // width, chosen % width]) + rng.integers(
                -side // 3, side // 3 + 1, 2
            )
    top = int(np.clip(centre[0] - side // 2, 0, height - side))
    left = int(np.clip(centre[1] - side // 2, 0, width - side))
    return cut_out(
        image, mask, (slice(top, top + side), slice(left, left + side)), size, smooth=smooth
    )


def cut_out(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    window: PixelSlices,
    size: int,
    *,
    smooth: bool,
) -> Pairs:
    """Resize a window of an image and its mask to size x size.

    Masks are read to the nearest pixel, images are smoothed before they shrink if ``smooth``.
    """
    part, target = image[window], mask[window]
    rows, columns = target.shape
    pixels = torch.from_numpy(part.transpose(2, 0, 1).astype(np.float32))[None] / 255
    shrinks = smooth and min(rows, columns) > size
    pixels = F.interpolate(
        pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinks
    )
    lines = ((np.arange(size) + 0.5) * rows / size).astype(int)
    dots = ((np.arange(size) + 0.5) * columns / size).astype(int)
    return Pairs(pixels.numpy(), target[lines][:, dots][None, None].astype(np.float32))


def _orient(rng: Rng, pairs: Pairs) -> Pairs:
    """Flip and turn by quarter turns.

    All alike, or (where orientation means nothing) each by itself.
    """
    stack = np.concatenate([pairs.images, pairs.masks], axis=1)
    free = rng.random() < 0.3
    for index in range(len(stack)):
        if index == 0 or free:
            quarter, flip = int(rng.integers(4)), rng.random() < 0.5
        turned = np.rot90(stack[index], quarter, axes=(1, 2))
        stack[index] = turned[:, :, ::-1] if flip else turned
    return Pairs(stack[:, :3], stack[:, 3:])


def deform(rng: Rng, pairs: Pairs) -> Pairs:
    """Turn, scale, shift and bend each pair; bend all alike first, which makes another task."""
    count, size = len(pairs.images), pairs.images.shape[-1]
    where = affine(
        rng, count, size, turn=rng.choice([0.1, 0.3, np.pi]), scale=rng.uniform(0, 0.25), shift=0.1
    )
    where = where * np.float32(log_uniform(rng, 0.75, 1.2))
    if rng.random() < 0.4:
        where = where + displacement(rng, 1, size, rng.uniform(0.02, 0.12), rng.uniform(2, 5))
    if rng.random() < 0.5:
        where = where + displacement(rng, count, size, rng.uniform(0.01, 0.06), rng.uniform(2, 8))
    padding = "reflection" if rng.random() < 0.6 else "zeros"
    where = where.astype(np.float32)
    images = sample(np.ascontiguousarray(pairs.images), where, padding=padding)
    masks = sample(np.ascontiguousarray(pairs.masks), where, padding=padding)
    return Pairs(images, (masks > 0.5).astype(np.float32))


def _change_target(rng: Rng, pairs: Pairs) -> Pairs:
    """Sometimes ask for the complement, the outline, or the image's edges as image."""
    draw = rng.random()
    if draw < 0.05:
        return Pairs(pairs.images, 1 - pairs.masks)
    if draw < 0.09:
        masks = torch.from_numpy(np.ascontiguousarray(pairs.masks))
        width = int(rng.choice([3, 5]))
        eroded = -F.max_pool2d(-masks, width, stride=1, padding=width // 2)
        return Pairs(pairs.images, (masks - eroded).numpy())
    if draw < 0.11:
        rows = np.gradient(pairs.images, axis=2)
        columns = np.gradient(pairs.images, axis=3)
        return Pairs(np.hypot(rows, columns).astype(np.float32) * 2, pairs.masks)
    return pairs


def _color(rng: Rng, images: Float) -> Float:
    """Turn grey, invert, or mix the channels, all images alike; shift the tint of each."""
    draw = rng.random()
    if draw < 0.2:
        images = np.repeat(np.tensordot(GREY, images, axes=(0, 1))[:, None], 3, axis=1)
    elif draw < 0.35:
        images = images[:, rng.permutation(3)]
    elif draw < 0.55:
        mix = np.eye(3) + rng.normal(0, 0.2, (3, 3))
        images = np.einsum("ij,njhw->nihw", mix / mix.sum(axis=1, keepdims=True).clip(0.3), images)
    if rng.random() < 0.15:
        images = 1 - images
    if rng.random() < 0.3:
        spread = np.abs(images - images.mean(axis=1, keepdims=True)).mean()  # grey images stay grey
        tint = rng.normal(0, 0.08, (len(images), 3, 1, 1)) * min(1.0, float(spread) * 20)
        images = images * np.exp(tint)
    return images.astype(np.float32)


def _photometry(rng: Rng, images: Float) -> Float:
    """Change gamma, contrast, sharpness and noise: a part for the task, a part for each image."""
    count = len(images)
    images = np.clip(images, 0, 1)
    if rng.random() < 0.5:
        power = log_uniform(rng, 0.6, 1.7) * np.exp(
            rng.normal(0, rng.uniform(0, 0.25), (count, 1, 1, 1))
        )
        images = images ** power.astype(np.float32)
    if rng.random() < 0.4:
        gain = np.exp(rng.normal(0, 0.15, (count, 1, 1, 1)))
        images = images * gain + rng.normal(0, 0.06, (count, 1, 1, 1))
    if rng.random() < 0.2:
        images = blur(np.ascontiguousarray(images, dtype=np.float32), rng.uniform(0.4, 1.2))
    if rng.random() < 0.4:
        channels = 1 if rng.random() < 0.6 else 3
        strength = log_uniform(rng, 0.005, 0.08)
        noise = rng.standard_normal((count, channels, *images.shape[2:]), dtype=np.float32)
        images = images + noise * np.float32(strength)
    return np.clip(images, -0.2, 1.2).astype(np.float32)
