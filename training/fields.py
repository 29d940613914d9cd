"""Random fields that every synthetic image is made of.

Smooth noise, deformations, textures, outlines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

Float = NDArray[np.floating[Any]]
"""In single precision, where it is kept."""

Rng = np.random.Generator


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Return a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def grid(size: int) -> Float:
    """Return the coordinates y, x of each pixel in [-1, 1], (2, size, size)."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"))


def resize(fields: Float, size: int) -> Float:
    """Resize (N, h, w) to (N, size, size), bicubic upwards, averaging downwards."""
    stack = torch.from_numpy(np.ascontiguousarray(fields, dtype=np.float32))[:, None]
    mode = "bicubic" if size > fields.shape[-1] else "area"
    extra = {"align_corners": True} if mode == "bicubic" else {}
    return F.interpolate(stack, size=(size, size), mode=mode, **extra)[:, 0].numpy()


def smooth_noise(rng: Rng, count: int, size: int, cells: float) -> Float:
    """Return fields of about zero mean and unit deviation, with about ``cells`` bumps a side."""
    coarse = max(2, min(round(cells) + 1, size))
    return resize(rng.standard_normal((count, coarse, coarse), dtype=np.float32), size)


def fractal_noise(rng: Rng, count: int, size: int, cells: float, octaves: int = 3) -> Float:
    """Return sums of smooth noise of doubling frequency and halving amplitude."""
    total = smooth_noise(rng, count, size, cells)
    for octave in range(1, octaves):
        total = total + smooth_noise(rng, count, size, cells * 2**octave) * np.float32(0.55**octave)
    return total


def band_noise(
    rng: Rng, count: int, size: int, wavelength: float, angle: float | None, spread: float = 0.35
) -> Float:
    """Return noise of about one wavelength (pixels), along one direction or along all.

    Of zero mean and unit deviation.
    """
    fy = np.fft.fftfreq(size)[:, None].astype(np.float32)
    fx = np.fft.rfftfreq(size)[None].astype(np.float32)
    radius = np.hypot(fy, fx) + 1e-6
    window = np.exp(-0.5 * (np.log(radius * wavelength) / spread) ** 2)
    if angle is not None:
        along = np.abs(fx * np.cos(angle) + fy * np.sin(angle)) / radius
        window = window * np.exp(-0.5 * ((1 - along) / 0.06) ** 2)
    white = rng.standard_normal((count, size, size), dtype=np.float32)
    noise = np.fft.irfft2(np.fft.rfft2(white) * window, s=(size, size)).astype(np.float32)
    return noise / (noise.std(axis=(1, 2), keepdims=True) + 1e-6)


def displacement(rng: Rng, count: int, size: int, strength: float, cells: float) -> Float:
    """Return smooth displacements y, x in units of half the image, (N, 2, size, size)."""
    return (smooth_noise(rng, count * 2, size, cells) * np.float32(strength)).reshape(
        count, 2, size, size
    )


def affine(rng: Rng, count: int, size: int, *, turn: float, scale: float, shift: float) -> Float:
    """Return N sampling grids y, x, turned, scaled and shifted, (N, 2, size, size).

    Turned up to ``turn`` radians.
    """
    angle = rng.uniform(-turn, turn, count)
    factor = np.exp(rng.uniform(-scale, scale, (count, 2)))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1) * factor[:, None, :]
    move = rng.uniform(-shift, shift, (count, 2))
    turned = np.einsum("nij,jhw->nihw", matrix.astype(np.float32), grid(size))
    return turned + move.astype(np.float32)[..., None, None]


def sample(
    fields: Float, where: Float, *, nearest: bool = False, padding: str = "reflection"
) -> Float:
    """Read (N or 1, C, h, w) at the coordinates y, x of (N, 2, H, W)."""
    points = torch.from_numpy(
        np.ascontiguousarray(np.moveaxis(where[:, ::-1], 1, -1), dtype=np.float32)
    )
    values = torch.from_numpy(np.ascontiguousarray(fields, dtype=np.float32)).expand(
        len(where), -1, -1, -1
    )
    mode = "nearest" if nearest else "bilinear"
    return F.grid_sample(
        values, points, mode=mode, padding_mode=padding, align_corners=True
    ).numpy()


def blur(fields: Float, sigma: float) -> Float:
    """Blur (..., H, W) by a separable Gaussian."""
    radius = max(1, int(np.ceil(2.5 * sigma)))
    steps = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    stack = torch.from_numpy(np.ascontiguousarray(fields, dtype=np.float32)).reshape(
        -1, 1, *fields.shape[-2:]
    )
    pad = min(radius, fields.shape[-1] - 1)
    kernel = kernel[radius - pad : radius + pad + 1]
    stack = F.conv2d(F.pad(stack, (pad, pad, 0, 0), mode="replicate"), kernel[None, None, None])
    stack = F.conv2d(F.pad(stack, (0, 0, pad, pad), mode="replicate"), kernel[None, None, :, None])
    return stack.reshape(fields.shape).numpy()


def star_blob(
    rng: Rng, where: Float, centre: Float, radius: float, *, elongation: float, wobble: float
) -> Float:
    """Return how far inside a star-shaped blob each pixel lies.

    1 at the centre, 0 on the outline, negative outside.

    ``where`` is (N, 2, H, W), ``centre`` (N, 2); the outline is one draw, shared by the N.
    """
    y, x = where[:, 0] - centre[:, 0, None, None], where[:, 1] - centre[:, 1, None, None]
    angle = rng.uniform(0, np.pi)
    stretch = np.float32(np.sqrt(elongation))
    sin, cos = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    along, across = (y * sin + x * cos) / stretch, (y * cos - x * sin) * stretch
    distance = np.sqrt(along * along + across * across) + np.float32(1e-6)
    direction = (along + 1j * across) / distance
    outline, power = np.ones_like(distance), direction
    for wave in range(2, 6):
        power = power * direction
        outline += (
            np.complex64(wobble * rng.normal() / wave * np.exp(1j * rng.uniform(0, 2 * np.pi)))
            * power
        ).real
    return (1 - distance / (radius * np.clip(outline, 0.3, 2))).astype(np.float32)


def texture(rng: Rng, count: int, size: int) -> Float:
    """Return draws of one kind of texture, of zero mean and unit deviation, (N, size, size)."""
    kind = rng.choice(["white", "fractal", "band", "oriented", "grating", "spots", "ridges"])
    if kind == "white":
        noise = rng.standard_normal((count, size, size), dtype=np.float32)
        sigma = rng.uniform(0, 1.2)
        noise = blur(noise, sigma) if sigma > 0.3 else noise
    elif kind == "fractal":
        noise = fractal_noise(rng, count, size, log_uniform(rng, 3, 20), 3)
    elif kind == "band":
        noise = band_noise(rng, count, size, log_uniform(rng, 3, 14), None)
    elif kind == "oriented":
        noise = band_noise(rng, count, size, log_uniform(rng, 3, 14), rng.uniform(0, np.pi))
    elif kind == "grating":
        angle, wave = rng.uniform(0, np.pi), size / log_uniform(rng, 4, 14)
        y, x = grid(size)[:, None] * (size / 2) + displacement(rng, count, size, 2.0, 4).transpose(
            1, 0, 2, 3
        )
        noise = np.sin((y * np.sin(angle) + x * np.cos(angle)) * (2 * np.pi / wave)).astype(
            np.float32
        )
    elif kind == "spots":
        noise = band_noise(rng, count, size, log_uniform(rng, 4, 10), None)
        noise = np.maximum(noise - rng.uniform(0.5, 1.2), 0) * rng.choice([-1, 1])
    else:
        noise = -np.abs(band_noise(rng, count, size, log_uniform(rng, 5, 16), None)) * rng.choice(
            [-1, 1]
        )
    noise = noise - noise.mean(axis=(1, 2), keepdims=True)
    return (noise / (noise.std(axis=(1, 2), keepdims=True) + 1e-6)).astype(np.float32)
