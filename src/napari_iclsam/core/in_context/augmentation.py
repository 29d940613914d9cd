"""Augmentation of the support set for test-time fine-tuning: crops and transforms of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.images.crops import (
    Crop,
    PixelSlices,
    Region,
    crop_size,
    find_region,
    mean_size,
)

Rng = np.random.Generator

CROP_FACTORS = (1.2, 2.5)
"""Smallest and largest size of crops around objects, relative to the objects."""

_LARGEST_CROP = 0.9
"""Relative size beyond which a crop is as good as the full image."""

_PART_FACTOR = 1.6
"""Side of the largest part of an image: in sides of the model's input in the full-image stage."""


def draw_object_crops(rng: Rng, masks: Sequence[NDArray[np.bool_]]) -> list[PixelSlices] | None:
    """Draw crops around the foreground as the crop stages take them, the query's somewhat off.

    Returns
    -------
    list of (slice, slice), or None
        None if a mask is empty, or if the foreground takes most of the images.
    """
    regions = [find_region(mask) for mask in masks]
    known = [region for region in regions if region]
    if len(known) < len(masks):
        return None
    # uniform in the logarithm: twice as large is as likely as half as large
    smallest, largest = np.log(CROP_FACTORS)
    factor = float(np.exp(rng.uniform(smallest, largest)))
    size = mean_size(known) * factor
    if size > _LARGEST_CROP:
        return None
    crops = [_draw_query_crop(rng, known[0], crop_size(size, known[0]))]
    for region in known[1:]:
        crops.append(Crop(region.row, region.column, crop_size(size, region)))
    pixels = []
    for crop, mask in zip(crops, masks, strict=True):
        height, width = mask.shape
        pixels.append(crop.slices((height, width)))
    return pixels


def _draw_query_crop(rng: Rng, region: Region, size: float) -> Crop:
    """Draw a crop around a region that is somewhat off.

    In a real query the object is not known: what places its crops errs in size and place.
    """
    size *= float(np.exp(rng.normal(0, 0.15)))
    down, right = rng.normal(0, 0.12, 2) * size
    return Crop(region.row + down, region.column + right, min(1.0, size))


def draw_part(rng: Rng, mask: NDArray[np.bool_], size: float) -> PixelSlices:
    """Draw a crop of a relative size that mostly lies on the foreground of a mask (H, W)."""
    height, width = mask.shape
    row, column = rng.random(2)
    foreground = np.flatnonzero(mask)
    # not always: the network must also learn what a part without the object looks like
    if len(foreground) and rng.random() < 0.8:
        pixel = foreground[rng.integers(len(foreground))]
        center = np.array([pixel // width / height, pixel % width / width])
        moved = rng.uniform(
            -size / 3,
            size / 3,
            2,
        )
        row, column = (center + moved).tolist()
    return Crop(row, column, size).slices((height, width))


def draw_part_size(rng: Rng, input_side: int, full_image_side: int) -> float:
    """Draw the relative size of parts at the scale of the full-image stage, or somewhat larger."""
    factor = float(np.exp(rng.uniform(0, np.log(_PART_FACTOR))))
    return min(1.0, input_side / full_image_side * factor)


@dataclass(frozen=True, slots=True)
class Transform:
    """A drawn transformation of n pairs of s x s pixels.

    Attributes
    ----------
    points : Tensor, (n, s, s, 2)
        Where each pixel is read, in the units of `torch.nn.functional.grid_sample`.
    gamma : Tensor, (n, 1, 1, 1)
    noise : Tensor, (n, C, s, s)
        Added to the images.
    """

    points: Tensor
    gamma: Tensor
    noise: Tensor

    def apply(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Transform images (n, C, s, s) in [0, 1] and masks (n, 1, s, s).

        Images are then scaled to [0, 1].
        """
        # clamped, since a power of what is slightly below zero is not a number
        moved = self._read(images).clamp(0, 1) ** self.gamma + self.noise
        low = moved.amin((1, 2, 3), keepdim=True)
        high = moved.amax((1, 2, 3), keepdim=True)
        # as the inputs of the network are, see `in_context_input`
        scaled = (moved - low) / (high - low).clamp_min(1e-6)
        return scaled, (self._read(masks) > 0.5).float()

    def _read(self, pixels: Tensor) -> Tensor:
        return F.grid_sample(
            pixels, self.points, mode="bilinear", padding_mode="reflection", align_corners=False
        )


def draw_transform(rng: Rng, images: Tensor) -> Transform:
    """Draw affine and elastic deformation, gamma and noise for images (n, C, s, s)."""
    count = len(images)
    size = images.shape[-1]
    matrices = torch.from_numpy(_draw_affine(rng, count))
    # drawn by NumPy and on the CPU: one seed gives the same episodes on each device
    points = F.affine_grid(
        matrices,
        [count, 1, size, size],
        align_corners=False,
    )
    points = points + _draw_displacement(rng, count, size)
    noise = torch.from_numpy(rng.standard_normal(tuple(images.shape), dtype=np.float32))
    gamma = np.exp(
        rng.normal(
            0,
            0.2,
            (count, 1, 1, 1),
        )
    ).astype(np.float32)
    return Transform(
        points=points.to(images.device),
        gamma=torch.from_numpy(gamma).to(images.device),
        noise=noise.to(images.device) * rng.uniform(0, 0.04),
    )


def _draw_displacement(rng: Rng, count: int, size: int) -> Tensor:
    """Draw an elastic deformation: displacements on a coarse grid, interpolated, (n, s, s, 2)."""
    cells = int(rng.integers(3, 10))
    drawn = rng.standard_normal((count, 2, cells, cells), dtype=np.float32)
    coarse = torch.from_numpy(drawn)
    fine = F.interpolate(
        coarse,
        (size, size),
        mode="bicubic",
        align_corners=True,
    )
    return rng.uniform(0.01, 0.06) * fine.movedim(1, -1)


def _draw_affine(rng: Rng, count: int) -> NDArray[np.float32]:
    """Draw rotations, scales and shifts, as matrices (n, 2, 3)."""
    largest = rng.choice([0.1, 0.3])
    angle = rng.uniform(-largest, largest, count)
    factors = np.exp(
        rng.uniform(
            -0.15,
            0.15,
            (count, 2),
        )
    )
    # no mirroring: a model that saw mirrored organs told worse where they lie
    cosine = np.cos(angle)
    sine = np.sin(angle)
    first = np.stack([cosine, -sine], axis=-1)
    second = np.stack([sine, cosine], axis=-1)
    rotation = np.stack([first, second], axis=1)
    scaled = rotation * factors[:, None]
    shift = rng.uniform(
        -0.1,
        0.1,
        (count, 2, 1),
    )
    return np.concatenate([scaled, shift], axis=2).astype(np.float32)
