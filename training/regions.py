"""Families of synthetic tasks made of regions.

Anatomy, organs, lesions, layers, textures, surfaces seen by a scope.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.fields import (
    Float,
    Rng,
    affine,
    band_noise,
    blur,
    displacement,
    fractal_noise,
    grid,
    log_uniform,
    sample,
    smooth_noise,
    star_blob,
    texture,
)
from training.palette import STAINS, draw_palette, paint, shade
from training.scene import Scenes

Labels = NDArray[np.uint8]


def subjects(rng: Rng, size: int, count: int) -> Float:
    """Return the coordinates of each subject.

    One pose and two scales of deformation, (N, 2, H, W).
    """
    turn = rng.choice([0.15, 0.4, np.pi], p=[0.5, 0.3, 0.2])
    where = affine(
        rng, count, size, turn=turn, scale=rng.uniform(0.02, 0.3), shift=rng.uniform(0.02, 0.3)
    )
    where = where + displacement(
        rng, count, size, log_uniform(rng, 0.03, 0.16), log_uniform(rng, 2, 4)
    )
    return where + displacement(
        rng, count, size, log_uniform(rng, 0.005, 0.03), log_uniform(rng, 6, 16)
    )


def anatomy(rng: Rng, size: int, count: int) -> Scenes:
    """Draw a label map of many regions that fill the image, deformed subject by subject."""
    labels = _partition(rng, subjects(rng, size, count), int(rng.integers(3, 13)))
    palette = draw_palette(rng, int(labels.max()) + 1, least=0.06)
    return Scenes(_soften(rng, paint(rng, labels, palette)), labels, None, "anatomy")


def organs(rng: Rng, size: int, count: int) -> Scenes:
    """Draw a body with organs, rings and crescents, which differ more in shape than in grey."""
    where = subjects(rng, size, count)
    labels, total = _organs(rng, where)
    palette = draw_palette(rng, total, colored=0.25)
    image = paint(rng, labels, palette)
    if rng.random() < 0.3:  # a projection: soft shadows over each other
        image = (
            0.6 * blur(np.moveaxis(image, 3, 1), rng.uniform(1, 2.5)).transpose(0, 2, 3, 1)
            + 0.4 * image
        )
        image = image + smooth_noise(rng, count, size, 4)[..., None] * np.float32(0.08)
        ribs = sample(
            band_noise(rng, 1, size, rng.uniform(8, 18), rng.uniform(0, np.pi), 0.2)[:, None], where
        )[:, 0]
        image = image + ribs[..., None] * np.float32(rng.uniform(0, 0.08))
    return Scenes(_soften(rng, image), labels, None, "organs")


def lesions(rng: Rng, size: int, count: int) -> Scenes:
    """Draw small blobs in a large context, with distractors of another grey value or size."""
    where = subjects(rng, size, count)
    if rng.random() < 0.5:
        labels = _partition(rng, where, int(rng.integers(2, 8)))
        total = int(labels.max()) + 1
    else:
        labels, total = _organs(rng, where)
    palette = draw_palette(rng, total + 2, colored=0.5, least=0.05)
    home = None if rng.random() < 0.6 else int(rng.integers(total))
    target, other = log_uniform(rng, 0.05, 0.35), log_uniform(rng, 0.04, 0.2)
    spots = _scatter(rng, where, target, int(rng.integers(1, 4)))
    distractors = _scatter(rng, where, other, int(rng.integers(0, 3)))
    inside = np.ones(labels.shape, bool) if home is None else labels == home
    mixed = np.where(distractors, total + 1, labels)
    mixed = np.where(spots & inside, total, mixed).astype(np.uint8)
    image = paint(rng, mixed, palette)
    if rng.random() < 0.5:  # faint or fuzzy lesions
        plain = paint(rng, labels, palette)
        part = blur((mixed != labels).astype(np.float32), rng.uniform(0.5, 2.0))[..., None]
        image = plain + (image - plain) * part * np.float32(rng.uniform(0.5, 1))
    return Scenes(_soften(rng, image), mixed, None, "lesions")


def layers(rng: Rng, size: int, count: int) -> Scenes:
    """Draw bands with wavy borders: retina, skin, walls, or rings when bent around a centre."""
    where = subjects(rng, size, count)
    if rng.random() < 0.3:
        depth = np.sqrt((where**2).sum(axis=1)) * 1.4 - 1
    else:
        depth = where[:, 0] + np.float32(rng.uniform(0, 0.5)) * where[:, 1] ** 2
    number = int(rng.integers(2, 9))
    cuts = np.sort(rng.uniform(-0.9, 0.9, number))
    cuts = cuts + np.linspace(-0.25, 0.25, number)
    labels = np.zeros(depth.shape, np.uint8)
    for cut in cuts:
        labels += depth > cut + smooth_noise(rng, count, size, 3) * np.float32(
            rng.uniform(0.005, 0.05)
        )
    palette = draw_palette(rng, number + 1, colored=0.3, least=0.05)
    return Scenes(_soften(rng, paint(rng, labels, palette)), labels, None, "layers")


def patterns(rng: Rng, size: int, count: int) -> Scenes:
    """Draw regions of the same mean and deviation, told apart only by their texture."""
    number = int(rng.integers(2, 5))
    labels = _partition(rng, subjects(rng, size, count), number, cells=log_uniform(rng, 1.2, 3))
    number = int(labels.max()) + 1
    stack = np.stack([texture(rng, count, size) for _ in range(number)])
    mixed = np.take_along_axis(stack, labels[None].astype(np.intp), axis=0)[0]
    tint = rng.uniform(0.3, 1, 3) if rng.random() < 0.4 else np.ones(3)
    image = rng.uniform(0.35, 0.65) + rng.uniform(0.08, 0.2) * mixed[..., None] * tint
    if rng.random() < 0.3:
        image = image + (rng.uniform(-0.12, 0.12, number))[labels][..., None]
    return Scenes(image.astype(np.float32), labels, None, "patterns")


def surface(rng: Rng, size: int, count: int) -> Scenes:
    """Draw a lit, moist surface with bumps, holes, stained patches and a tool."""
    where = affine(rng, count, size, turn=np.pi, scale=0.2, shift=0.3)
    where = where + displacement(rng, count, size, 0.1, 3)
    labels = np.zeros((count, size, size), np.uint8)
    height = _relief(rng, size, count)
    image = _tissue(rng, size, count)
    tint = rng.normal(0, rng.choice([0.02, 0.08, 0.15]), 3)
    places = _places(rng, count, 0.55)
    radius = log_uniform(rng, 0.18, 0.6)
    bump = star_blob(rng, where, places, radius, elongation=1.3, wobble=0.1)
    height = height + np.sqrt(np.clip(bump, 0, 1)) * np.float32(rng.uniform(0.05, 0.3))
    inside = bump > 0
    image = image + np.where(inside[..., None], tint, 0)
    labels[inside] = 1
    if rng.random() < 0.7:
        image = _with_hole(rng, where, image, labels)
    if rng.random() < 0.5:
        image = _with_patch(rng, where, image, labels)
    image = _light(rng, height) * image + _highlights(rng, height)
    if rng.random() < 0.3:
        image = _with_rod(rng, image, labels)
    return Scenes(image.astype(np.float32), labels, None, "surface")


def _relief(rng: Rng, size: int, count: int) -> Float:
    """Draw the height of a surface with folds, (N, H, W)."""
    bumps = fractal_noise(rng, count, size, rng.uniform(2, 4))
    height = bumps * np.float32(rng.uniform(0.02, 0.09))
    folds = -np.abs(smooth_noise(rng, count, size, rng.uniform(2, 5)))
    return height + folds * np.float32(rng.uniform(0.0, 0.12))


def _tissue(rng: Rng, size: int, count: int) -> Float:
    """Draw the color of a surface with veins, unlit, (N, H, W, 3)."""
    base = STAINS[[3, 4, 5, 0][rng.integers(4)]] + rng.normal(0, 0.06, 3)
    image: Float = np.broadcast_to(base, (count, size, size, 3)).astype(np.float32)
    grain = 0.1 * fractal_noise(rng, count, size, 8)[..., None]
    image = image * (1 + grain * rng.uniform(0, 1, 3).astype(np.float32))
    ridges = band_noise(rng, count, size, rng.uniform(10, 25), None)
    veins = np.exp(-(ridges**2) / 0.02)[..., None]
    strength = rng.uniform(0, 0.3)
    # Blood takes green and blue.
    return image * (1 - strength * veins * np.array([0.2, 1, 1], np.float32))


def _with_hole(rng: Rng, where: Float, image: Float, labels: Labels) -> Float:
    """Draw the dark way on, behind the bump; labels are changed in place."""
    places = _places(rng, len(labels), 0.8)
    radius = rng.uniform(0.15, 0.4)
    hole = star_blob(rng, where, places, radius, elongation=1.4, wobble=0.15)
    dark = np.clip(hole * 2.5, 0, 0.92)
    labels[(hole > 0.1) & (labels != 1)] = 2
    return image * (1 - dark)[..., None]


def _with_patch(rng: Rng, where: Float, image: Float, labels: Labels) -> Float:
    """Draw a stained patch; labels are changed in place."""
    places = _places(rng, len(labels), 0.7)
    radius = rng.uniform(0.15, 0.4)
    patch = star_blob(rng, where, places, radius, elongation=1.5, wobble=0.3) > 0
    stain = STAINS[rng.integers(len(STAINS))]
    labels[patch] = 3
    return np.where(patch[..., None], image * 0.4 + stain * 0.6, image)


def _with_rod(rng: Rng, image: Float, labels: Labels) -> Float:
    """Draw a tool; labels are changed in place."""
    count, size = labels.shape[:2]
    rod = _rod(rng, size, count)
    grey = rng.uniform(0.3, 0.9)
    texture_of_rod = 0.1 * smooth_noise(rng, count, size, 12)[..., None]
    labels[rod] = 4
    return np.where(rod[..., None], grey + texture_of_rod, image)


def _partition(rng: Rng, where: Float, number: int, cells: float | None = None) -> Labels:
    """Return label maps of ``number`` regions, each where its own smooth field is largest."""
    size = where.shape[-1]
    cells = log_uniform(rng, 1.2, 7) if cells is None else cells
    fields = fractal_noise(rng, number, size, cells, int(rng.integers(1, 4)))
    if rng.random() < 0.4:  # a place of its own for each
        places = rng.uniform(-0.9, 0.9, (number, 2, 1, 1)).astype(np.float32)
        fields = fields - ((grid(size)[None] - places) ** 2).sum(axis=1) * np.float32(
            rng.uniform(1, 5)
        )
    fields = fields + rng.normal(0, 0.4, (number, 1, 1)).astype(np.float32)
    labels = sample(fields[None], where).argmax(axis=1).astype(np.uint8)
    if rng.random() < 0.3:
        body = (
            star_blob(
                rng, where, np.zeros((len(where), 2), np.float32), 0.8, elongation=1.2, wobble=0.1
            )
            > 0
        )
        labels = np.where(body, labels + 1, 0).astype(np.uint8)
    return labels


def _organs(rng: Rng, where: Float) -> tuple[Labels, int]:
    """Return label maps of a body with organs, and the number of labels with background."""
    count, _, size, _ = where.shape
    labels = np.zeros((count, size, size), np.uint8)
    middle = np.zeros((count, 2), np.float32)
    if rng.random() < 0.7:
        body = star_blob(
            rng, where, middle, rng.uniform(0.7, 1.1), elongation=rng.uniform(1, 1.5), wobble=0.08
        )
        labels[body > 0] = 1
    total = 2
    for _ in range(int(rng.integers(2, 8))):
        place = rng.uniform(-0.65, 0.65, 2) + rng.normal(0, 0.03, (count, 2))
        radius = log_uniform(rng, 0.1, 0.5)
        blob = star_blob(
            rng,
            where,
            place.astype(np.float32),
            radius,
            elongation=log_uniform(rng, 1, 2.5),
            wobble=rng.uniform(0, 0.3),
        )
        labels[blob > 0] = total
        total += 1
        kind = rng.random()
        if kind < 0.45:  # a wall around a cavity
            labels[blob > rng.uniform(0.15, 0.5)] = total
            total += 1
        if kind < 0.2:  # a crescent beside it
            aside = place + (rng.normal(0, 1, 2) * radius * 0.7)
            moon = star_blob(
                rng, where, aside.astype(np.float32), radius, elongation=1.2, wobble=0.1
            )
            labels[(moon > 0) & (blob <= 0)] = total
            total += 1
    return labels, total


def _scatter(rng: Rng, where: Float, radius: float, most: int) -> NDArray[np.bool_]:
    """Return up to ``most`` small blobs at places that differ from subject to subject."""
    found = np.zeros((len(where), *where.shape[2:]), bool)
    for number in range(most):
        blob = star_blob(
            rng,
            where,
            _places(rng, len(where), 0.8),
            radius * rng.uniform(0.6, 1.2),
            elongation=1.4,
            wobble=0.3,
        )
        present = (rng.random(len(where)) < 0.7) | (number == 0)
        found |= (blob > 0) & present[:, None, None]
    return found


def _places(rng: Rng, count: int, reach: float) -> Float:
    return rng.uniform(-reach, reach, (count, 2)).astype(np.float32)


def _soften(rng: Rng, images: Float) -> Float:
    """Blur the borders between labels a little, and light the whole unevenly."""
    sigma = rng.uniform(0, 1.2)
    if sigma > 0.3:
        images = np.moveaxis(blur(np.moveaxis(images, 3, 1), sigma), 1, 3)
    return images * shade(rng, len(images), images.shape[1], rng.uniform(0, 0.15))


def _slopes(height: Float) -> tuple[Float, Float]:
    scale = np.float32(height.shape[-1] / 2)
    return np.gradient(height, axis=1) * scale, np.gradient(height, axis=2) * scale


def _light(rng: Rng, height: Float) -> Float:
    """Return the shading of a height map lit from the camera, (N, H, W, 1)."""
    dy, dx = _slopes(blur(height, 1.0))
    facing = 1 / np.sqrt(1 + dx**2 + dy**2) + 0.25 * (dx * rng.normal() + dy * rng.normal()).clip(
        -1, 1
    )
    y, x = grid(height.shape[-1])
    lamp = np.exp(
        -((y - rng.uniform(-0.5, 0.5)) ** 2 + (x - rng.uniform(-0.5, 0.5)) ** 2)
        * rng.uniform(0.1, 0.8)
    )
    return np.asarray((0.25 + 0.85 * facing * lamp)[..., None], np.float32)


def _highlights(rng: Rng, height: Float) -> Float:
    dy, dx = _slopes(height)
    toward = rng.normal(0, 0.5, (2, len(height), 1, 1))
    shine = np.exp(-((dx - toward[0]) ** 2 + (dy - toward[1]) ** 2) / rng.uniform(0.003, 0.05))
    return np.asarray(shine[..., None] * rng.uniform(0, 0.8), np.float32)


def _rod(rng: Rng, size: int, count: int) -> NDArray[np.bool_]:
    """Return a straight rod that comes in from outside."""
    where = affine(rng, count, size, turn=np.pi, scale=0.1, shift=0.5)
    return (np.abs(where[:, 0]) < rng.uniform(0.06, 0.18)) & (where[:, 1] > rng.uniform(-0.2, 0.3))
