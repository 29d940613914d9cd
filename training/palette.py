"""Colors of synthetic labels.

A task's table of colors and textures, and the image of a label map painted with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.fields import Float, Rng, log_uniform, sample, smooth_noise, texture

STAINS = np.array(
    [
        [0.93, 0.72, 0.82],  # eosin
        [0.45, 0.30, 0.58],  # haematoxylin
        [0.97, 0.95, 0.96],  # glass
        [0.75, 0.35, 0.45],  # red
        [0.90, 0.55, 0.50],  # mucosa
        [0.72, 0.20, 0.18],  # wound, blood
        [0.88, 0.62, 0.30],  # fundus
        [0.55, 0.38, 0.22],  # diaminobenzidine
        [0.96, 0.85, 0.55],  # fibrin, disc
        [0.35, 0.45, 0.75],  # blue
    ],
    dtype=np.float32,
)


@dataclass(frozen=True, slots=True)
class Palette:
    """Colors of the labels of a task.

    Color (L, 3) and weight of the texture (L,) of each label, and how much subjects differ.
    """

    colors: Float
    grain: Float
    variation: float


def draw_palette(rng: Rng, labels: int, *, colored: float = 0.5, least: float = 0.0) -> Palette:
    """Draw colors: grey levels (some shared by several labels), related hues, stains, or anything.

    ``least`` is the smallest distance wanted between the colors of any two labels; best of several
    draws.
    """
    drawers = [_related, _stains, _free] if rng.random() < colored else [_grey, _grey, _few_greys]
    drawer = drawers[rng.integers(len(drawers))] if least == 0 or rng.random() < colored else _grey
    best, widest = None, -1.0
    for _ in range(1 if least == 0 else 12):
        colors = drawer(rng, labels)
        gaps = np.linalg.norm(colors[:, None] - colors[None], axis=2) + 10 * np.eye(labels)
        if gaps.min() > widest:
            best, widest = colors, float(gaps.min())
        if widest >= least:
            break
    assert best is not None
    grain = rng.uniform(0, 1, labels).astype(np.float32) ** 2 * np.float32(
        rng.choice([0.02, 0.08, 0.2])
    )
    return Palette(best.astype(np.float32), grain, log_uniform(rng, 0.005, 0.06))


def paint(rng: Rng, labels: NDArray[np.uint8], palette: Palette) -> Float:
    """Return images (N, H, W, 3), not yet clipped, of label maps (N, H, W).

    Textures are drawn a few a task.
    """
    count, size = labels.shape[:2]
    shifts = rng.normal(0, palette.variation, (count, len(palette.colors), 3)) * rng.uniform(
        0.2, 1, 3
    )
    shifts += rng.normal(0, palette.variation, (count, len(palette.colors), 1))
    table = (palette.colors[None] + shifts).astype(np.float32)
    image = table[np.arange(count)[:, None, None], labels]
    for kind in range(2):
        pattern = texture(rng, count, size)
        weight = np.where(np.arange(len(palette.grain)) % 2 == kind, palette.grain, 0).astype(
            np.float32
        )
        image = image + (pattern * weight[labels])[..., None] * rng.uniform(0.5, 1, 3).astype(
            np.float32
        )
    return image


def shade(rng: Rng, count: int, size: int, strength: float, cells: float = 2) -> Float:
    """Return multiplicative smooth light about 1, (N, size, size, 1)."""
    return np.exp(smooth_noise(rng, count, size, cells) * np.float32(strength))[..., None]


def warp_images(images: Float, where: Float) -> Float:
    """Read images (N, H, W, 3) at (N, 2, H, W)."""
    return np.moveaxis(sample(np.moveaxis(images, 3, 1), where), 1, 3)


def _grey(rng: Rng, labels: int) -> Float:
    return np.repeat(rng.uniform(0, 1, (labels, 1)), 3, axis=1).astype(np.float32)


def _few_greys(rng: Rng, labels: int) -> Float:
    levels = np.sort(rng.uniform(0, 1, max(2, labels // 2)))
    return np.repeat(rng.choice(levels, (labels, 1)), 3, axis=1).astype(np.float32)


def _related(rng: Rng, labels: int) -> Float:
    base, spread = rng.uniform(0.2, 0.85, 3), rng.uniform(0.05, 0.3)
    return np.clip(base + rng.normal(0, spread, (labels, 3)), 0, 1).astype(np.float32)


def _stains(rng: Rng, labels: int) -> Float:
    first = STAINS[rng.integers(len(STAINS), size=labels)]
    second = STAINS[rng.integers(len(STAINS), size=labels)]
    mix = rng.beta(0.5, 0.5, (labels, 1))
    return np.clip(
        first * mix + second * (1 - mix) + rng.normal(0, 0.05, (labels, 3)), 0, 1
    ).astype(np.float32)


def _free(rng: Rng, labels: int) -> Float:
    return rng.uniform(0, 1, (labels, 3)).astype(np.float32)
