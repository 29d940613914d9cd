"""What an instrument does to an image: light, optics, sensor, storage.

Images in and out are (N, H, W, 3) float32.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from training.fields import Float, Rng, blur, grid, log_uniform, resize, smooth_noise

GREY = np.array([0.299, 0.587, 0.114], np.float32)


def acquire(rng: Rng, images: Float) -> Float:
    """Pass the images of one task through one instrument.

    A few effects, drawn once, with small differences.
    """
    images = _stretch(images)
    if rng.random() < 0.35:
        images = images @ GREY if rng.random() < 0.7 else images[..., rng.integers(3)]
        images = np.repeat(images[..., None], 3, axis=3)
    effects = [_bias, _gamma, _speckle, _vignette, _coarse, _noise, _jpeg]
    chances = [0.3, 0.4, 0.12, 0.15, 0.2, 0.7, 0.15]
    for effect, chance in zip(effects, chances, strict=True):
        if rng.random() < chance:
            images = effect(rng, images).astype(np.float32, copy=False)
    if rng.random() < 0.15:
        images = 1 - images
    return np.clip(images, 0, 1).astype(np.float32)


def _stretch(images: Float) -> Float:
    """Scale the task's grey values into [0, 1] all together, ignoring the outermost percent."""
    low, high = np.percentile(images[:, ::4, ::4], [0.5, 99.5])
    return np.clip((images - low) / max(float(high - low), 1e-3), 0, 1).astype(np.float32)


def _bias(rng: Rng, images: Float) -> Float:
    field = smooth_noise(rng, len(images), images.shape[1], int(rng.integers(1, 4))) * np.float32(
        rng.uniform(0.05, 0.4)
    )
    return images * np.exp(field)[..., None]


def _gamma(rng: Rng, images: Float) -> Float:
    power = log_uniform(rng, 0.5, 2.0) * np.exp(rng.normal(0, 0.08, (len(images), 1, 1, 1)))
    return np.clip(images, 0, 1) ** power.astype(np.float32)


def _speckle(rng: Rng, images: Float) -> Float:
    """Multiply by Rayleigh noise with a grain, as ultrasound and coherent light do."""
    count, size = images.shape[:2]
    grain = rng.uniform(0.6, 1.5)
    parts = blur(rng.standard_normal((2, count, size, size), dtype=np.float32), grain)
    rayleigh = np.hypot(parts[0], parts[1])
    rayleigh = rayleigh / rayleigh.mean()
    mixed = images * (1 + np.float32(rng.uniform(0.3, 1)) * (rayleigh[..., None] - 1))
    return np.log1p(8 * np.clip(mixed, 0, 4)) / np.log(17) if rng.random() < 0.5 else mixed


def _vignette(rng: Rng, images: Float) -> Float:
    """Darken the rim, or cut a round, rectangular or fan-shaped field of view."""
    y, x = grid(images.shape[1])
    kind = rng.choice(["soft", "round", "corners", "fan"])
    if kind == "soft":
        return images * np.exp(-rng.uniform(0.2, 1.0) * (y**2 + x**2))[None, ..., None]
    if kind == "round":
        seen = np.hypot(y, x) < rng.uniform(0.8, 1.1)
    elif kind == "corners":
        seen = np.abs(y) + np.abs(x) < rng.uniform(1.3, 1.8)
    else:
        seen = (np.abs(np.arctan2(x, y + 1.2)) < rng.uniform(0.4, 0.8)) & (
            np.hypot(x, y + 1.2) < 2.15
        )
    return np.where(seen[None, ..., None], images, np.float32(rng.choice([0.0, 0.0, 0.03, 1.0])))


def _coarse(rng: Rng, images: Float) -> Float:
    """Lose resolution: averaged down and interpolated up again."""
    count, size = images.shape[:2]
    small = int(size / rng.uniform(1.2, 2.2))
    planes = np.moveaxis(images, 3, 1).reshape(-1, size, size)
    return np.moveaxis(resize(resize(planes, small), size).reshape(count, 3, size, size), 1, 3)


def _noise(rng: Rng, images: Float) -> Float:
    strength = np.float32(log_uniform(rng, 0.005, 0.12))
    channels = 1 if rng.random() < 0.5 else 3
    noise = rng.standard_normal((*images.shape[:3], channels), dtype=np.float32) * strength
    if rng.random() < 0.3:
        noise = noise * np.sqrt(np.clip(images, 0, 1) + np.float32(0.05)) * np.float32(1.5)
    if rng.random() < 0.3:
        noise = np.moveaxis(blur(np.moveaxis(noise, 3, 1), 0.7), 1, 3) * 1.6
    return images + noise


def _jpeg(rng: Rng, images: Float) -> Float:
    quality = int(rng.integers(15, 70))
    return np.stack([_through_jpeg(image, quality) for image in images])


def _through_jpeg(image: Float, quality: int) -> Float:
    buffer = io.BytesIO()
    Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8)).save(
        buffer, "JPEG", quality=quality
    )
    return np.asarray(Image.open(buffer), np.float32) / 255
