"""Families of synthetic tasks made of lines.

Vessels of all widths, fundus images, membranes, fibres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from training.fields import (
    Float,
    Rng,
    blur,
    displacement,
    fractal_noise,
    grid,
    log_uniform,
    smooth_noise,
    texture,
)
from training.palette import draw_palette, paint
from training.scene import Scenes

_FROM_DISC = 9
"""Vessels that leave the disc of a fundus."""

_DISC_COLOR = np.array([0.25, 0.35, 0.25], np.float32)
"""Added where the disc of a fundus is."""

_BLOOD = np.array([0.55, 1, 0.8], np.float32)
"""How much of red, green and blue a vessel takes."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Points along lines: place in pixels (P, 2), radius (P,), heading (P,)."""

    places: Float
    radii: Float
    headings: Float


def vessels(rng: Rng, size: int, count: int) -> Scenes:
    """Draw branching lines on a textured ground.

    Some have a wall, some lie beside blobs of the same grey.
    """
    radius = log_uniform(rng, 0.8, 5)
    bend = log_uniform(rng, 0.01, 0.12)
    number = int(rng.integers(1, 6))
    generations = int(rng.integers(0, 4))
    wall = radius > 2 and rng.random() < 0.3
    labels = np.zeros((count, size, size), np.uint8)
    cover = np.zeros((count, size, size), np.float32)
    for index in range(count):
        starts = _border_starts(rng, size, number)
        inside = _inside(_tree(rng, size, starts, radius, bend, generations), size)
        cover[index] = np.clip(inside + 0.5, 0, 1)
        labels[index] = inside > 0
        if wall:
            labels[index][(inside > 0) & (inside < 0.35 * radius)] = 2
    palette = draw_palette(rng, 4, colored=0.5, least=0.12)
    ground = _blobs(rng, labels)
    image = paint(rng, ground, palette)
    lines = paint(rng, labels, palette)
    # A wall has borders of its own, which a soft cover would blur.
    covered = (labels > 0).astype(np.float32) if wall else cover
    weight = covered[..., None] * np.float32(rng.uniform(0.4, 1))
    image = image * (1 - weight) + lines * weight
    if not wall:
        labels[(ground > 0) & (labels == 0)] = 3
    grain = fractal_noise(rng, count, size, 5)[..., None]
    image = image + grain * np.float32(rng.uniform(0, 0.1))
    return Scenes(_lens(rng, image, 0.9), labels, None, "vessels")


def _blobs(rng: Rng, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw blobs of the label of lines or of another, half of the time."""
    count, size = labels.shape[:2]
    ground = np.zeros_like(labels)
    if rng.random() < 0.5:
        noise = smooth_noise(rng, count, size, log_uniform(rng, 3, 10))
        blobs = noise > rng.uniform(0.8, 1.6)
        ground[blobs] = rng.choice([1, 3])
    return ground


def fundus(rng: Rng, size: int, count: int) -> Scenes:
    """Draw a round field with a bright disc, thin vessels that leave it, and spots."""
    labels = np.zeros((count, size, size), np.uint8)
    radius = log_uniform(rng, 0.8, 2.2)
    bend = rng.uniform(0.01, 0.05)
    ground = _fundus_ground(rng)
    contrast = rng.uniform(0.12, 0.5)
    disc_radius = size * rng.uniform(0.05, 0.1)
    polarity = 1 if rng.random() < 0.15 else -1
    image: Float = np.broadcast_to(ground, (count, size, size, 3)).astype(np.float32)
    image = image * (1 + 0.12 * fractal_noise(rng, count, size, 3)[..., None])
    whole = rng.random() < 0.6
    for index in range(count):
        disc = _draw_disc(rng, size)
        starts = _disc_starts(rng, disc, radius)
        inside = _inside(_tree(rng, size, starts, radius, bend, 3), size)
        away = _distance_from(disc, size)
        bright = np.clip((disc_radius - away) / 2 + 0.5, 0, 1)[..., None]
        image[index] += bright * _DISC_COLOR * np.float32(rng.uniform(0.5, 1))
        cover = np.clip(inside + 0.5, 0, 1)[..., None] * np.float32(contrast)
        image[index] *= 1 + polarity * cover * _BLOOD
        labels[index][away < disc_radius] = 2
        labels[index][inside > -0.1] = 1
    image = _with_spots(rng, image)
    image = _lens(rng, image, 0.8)
    if whole:
        field = np.hypot(*grid(size)) < rng.uniform(0.85, 1.1)
        image = np.where(field[None, ..., None], image, rng.uniform(0, 0.05))
        labels[:, ~field] = 0
    return Scenes(image.astype(np.float32), labels, None, "fundus")


def _fundus_ground(rng: Rng) -> Float:
    """Draw the color of the ground: orange, or grey."""
    ground = np.array([0.75, 0.4, 0.18]) + rng.normal(0, 0.12, 3)
    if rng.random() < 0.3:
        ground = np.full(3, rng.uniform(0.2, 0.8))
    return ground


def _draw_disc(rng: Rng, size: int) -> Float:
    """Draw the centre y, x of the disc."""
    y = size * rng.uniform(0.4, 0.6)
    x = size * rng.choice([0.2, 0.5, 0.8]) + rng.normal(0, 3)
    return np.array([y, x])


def _disc_starts(rng: Rng, disc: Float, radius: float) -> Paths:
    """Draw nine vessels that leave the disc in all directions."""
    radii = radius * rng.uniform(0.6, 1.1, _FROM_DISC)
    even = np.arange(_FROM_DISC) * 2 * np.pi / _FROM_DISC
    headings = even + rng.normal(0, 0.3, _FROM_DISC)
    return Paths(
        places=np.repeat(disc[None], _FROM_DISC, axis=0).astype(np.float32),
        radii=radii.astype(np.float32),
        headings=headings.astype(np.float32),
    )


def _distance_from(place: Float, size: int) -> Float:
    """Return the distance of each pixel from y, x, (H, W)."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    return np.hypot(y - place[0], x - place[1])


def _with_spots(rng: Rng, image: Float) -> Float:
    """Draw small spots, bright or dark."""
    count, size = image.shape[:2]
    spots = smooth_noise(rng, count, size, 24) > rng.uniform(1.8, 3)
    return image + spots[..., None] * np.float32(rng.normal(0, 0.2))


def membranes(rng: Rng, size: int, count: int) -> Scenes:
    """Draw compartments of all sizes with thin walls, and grains and dark organelles inside."""
    wavelength = log_uniform(rng, 8, 40)
    width = log_uniform(rng, 0.8, 3)
    kinds = int(rng.integers(1, 4))
    labels = np.zeros((count, size, size), np.uint8)
    gap = np.zeros((count, size, size), np.float32)
    bend = displacement(rng, count, size, wavelength * 0.25, size / wavelength * 1.5)
    axis = np.arange(size, dtype=np.float32)
    instances = np.zeros((count, size, size), np.uint16)
    number = int(1.4 * (size / wavelength) ** 2) + 3
    for index in range(count):
        seeds = rng.uniform(-0.1, 1.1, (number, 2)) * size
        rows = axis[:, None] + bend[index, 0]
        columns = axis[None] + bend[index, 1]
        points = np.stack([rows, columns], axis=-1).reshape(-1, 2)
        # A wall is where the two nearest seeds are about equally far.
        distance, nearest = cKDTree(seeds).query(points, k=2)
        owner = nearest[:, 0].reshape(size, size)
        gap[index] = (distance[:, 1] - distance[:, 0]).reshape(size, size)
        instances[index] = owner + 1
        labels[index] = 2 + rng.integers(kinds, size=len(seeds))[owner]
    wall = gap < width
    labels[wall] = 1
    instances[wall] = 0
    image = _compartments(rng, labels, kinds, inside=gap > width + 3)
    return Scenes(_lens(rng, image, 1.0), labels, instances, "membranes")


def _compartments(
    rng: Rng, labels: NDArray[np.uint8], kinds: int, inside: NDArray[np.bool_]
) -> Float:
    """Paint compartments, with organelles of the color of walls where ``inside``."""
    count, size = labels.shape[:2]
    palette = draw_palette(rng, kinds + 2, colored=0.3, least=0.1)
    if kinds == 1 or rng.random() < 0.5:
        palette.colors[3:] = palette.colors[2]
    image = paint(rng, labels, palette)
    spots = texture(rng, count, size) > rng.uniform(1.3, 2.2)
    spots &= inside
    shown = spots[..., None] & (rng.random() < 0.6)
    return np.where(shown, palette.colors[1], image)


def fibres(rng: Rng, size: int, count: int) -> Scenes:
    """Draw separate short lines (worms, hairs, needles) of one or two kinds that may cross."""
    labels = np.zeros((count, size, size), np.uint8)
    kinds = int(rng.integers(1, 3))
    radii = [log_uniform(rng, 0.8, 4) for _ in range(kinds)]
    bends = [log_uniform(rng, 0.005, 0.15) for _ in range(kinds)]
    lengths = [int(log_uniform(rng, 15, 70)) for _ in range(kinds)]
    instances = np.zeros((count, size, size), np.uint16)
    for index in range(count):
        objects = 0
        for kind in range(kinds):
            for _ in range(int(rng.integers(1, 7))):
                start = Paths(
                    rng.uniform(0.1, 0.9, (1, 2)).astype(np.float32) * size,
                    np.full(1, radii[kind], np.float32),
                    rng.uniform(0, 2 * np.pi, 1).astype(np.float32),
                )
                inside = _inside(_walk(rng, start, lengths[kind], bends[kind], 0.0), size) > 0
                objects += 1
                labels[index][inside] = kind + 1
                instances[index][inside] = objects
    palette = draw_palette(rng, kinds + 1, colored=0.4, least=0.1)
    if kinds == 2 and rng.random() < 0.4:
        palette.colors[2] = palette.colors[1]
    image = paint(rng, labels, palette) + fractal_noise(rng, count, size, 5)[
        ..., None
    ] * np.float32(rng.uniform(0, 0.1))
    return Scenes(_lens(rng, image, 1.0), labels, instances, "fibres")


def _border_starts(rng: Rng, size: int, number: int) -> Paths:
    angle = rng.uniform(0, 2 * np.pi, number)
    out = (
        np.stack([np.sin(angle), np.cos(angle)], axis=1) * size * rng.uniform(0.0, 0.6, (number, 1))
    )
    heading = angle + np.pi + rng.normal(0, 0.5, number)
    radii = np.exp(rng.normal(0, 0.3, number)).astype(np.float32)
    return Paths((size / 2 + out).astype(np.float32), radii, heading.astype(np.float32))


def _tree(
    rng: Rng, size: int, starts: Paths, radius: float, bend: float, generations: int
) -> Paths:
    """Grow lines from the starts, let each generation branch off the one before, thinner."""
    scale = radius / max(float(starts.radii.mean()), 1e-3)
    stems = Paths(starts.places, starts.radii * np.float32(scale), starts.headings)
    length = int(size * rng.uniform(0.5, 1.2))
    parts = [_walk(rng, stems, length, bend, rng.uniform(0, 0.6))]
    for _ in range(generations):
        parent = parts[-1]
        picks = rng.integers(len(parent.places), size=int(rng.integers(4, 14)))
        turn = rng.uniform(0.3, 1.1, len(picks)) * rng.choice([-1, 1], len(picks))
        branch = Paths(
            parent.places[picks],
            np.maximum(parent.radii[picks] * rng.uniform(0.5, 0.9, len(picks)), 0.5).astype(
                np.float32
            ),
            (parent.headings[picks] + turn).astype(np.float32),
        )
        length = int(length * rng.uniform(0.4, 0.8)) + 2
        parts.append(_walk(rng, branch, length, bend * 1.3, 0.5))
    return Paths(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("places", "radii", "headings")
        )
    )


def _walk(rng: Rng, starts: Paths, length: int, bend: float, taper: float) -> Paths:
    """Walk ``length`` pixels from each start along a smoothly turning heading."""
    number = len(starts.places)
    turns = rng.normal(0, bend, (number, length)) + rng.normal(0, bend * 0.3, (number, 1))
    headings = starts.headings[:, None] + turns.cumsum(axis=1)
    steps = np.stack([np.sin(headings), np.cos(headings)], axis=2) * 0.8
    places = starts.places[:, None] + steps.cumsum(axis=1)
    radii = starts.radii[:, None] * (1 - taper * np.linspace(0, 1, length))
    flat = (places.reshape(-1, 2), np.maximum(radii, 0.5).ravel(), headings.ravel())
    return Paths(*(part.astype(np.float32) for part in flat))


def _inside(paths: Paths, size: int) -> Float:
    """Return how deep inside the lines each pixel lies, in pixels; negative outside."""
    cells = np.rint(paths.places).astype(int)
    kept = ((cells >= 0) & (cells < size)).all(axis=1)
    if not kept.any():
        return np.full((size, size), -9, np.float32)
    radii = np.zeros((size, size), np.float32)
    cells = cells[kept]
    np.maximum.at(radii, (cells[:, 0], cells[:, 1]), paths.radii[kept])
    away, (rows, columns) = distance_transform_edt(radii == 0, return_indices=True)
    return np.asarray(radii[rows, columns] - away, np.float32)


def _lens(rng: Rng, images: Float, most: float) -> Float:
    sigma = rng.uniform(0, most)
    return images if sigma < 0.35 else np.moveaxis(blur(np.moveaxis(images, 3, 1), sigma), 1, 3)
