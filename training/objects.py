"""Families of synthetic tasks made of separate objects: cells, smears, glands, shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.fields import (
    Float,
    Rng,
    band_noise,
    blur,
    displacement,
    fractal_noise,
    log_uniform,
    smooth_noise,
    texture,
)
from training.palette import STAINS, draw_palette, paint
from training.scene import Scenes

_DIRECTIONS = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
"""Up, down, left and right."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object.

    How many an image, radius (pixels) and its spread, elongation, fraction of its core.
    """

    number: tuple[int, int]
    radius: float
    spread: float
    elongation: float
    core: float


@dataclass(frozen=True, slots=True)
class Crowd:
    """Objects of one image.

    Owner of each pixel (0 none), normalised distance to its centre, kind of each owner.
    """

    owner: NDArray[np.uint16]
    distance: Float
    kinds: NDArray[np.uint8]


def cells(rng: Rng, size: int, count: int) -> Scenes:
    """Draw crowds of one to three kinds of cells, some with a core or a wall, and debris."""
    kinds = _draw_kinds(rng, size)
    lobed, gap = rng.choice([0.0, 0.25]), rng.choice([0.0, 0.06, 0.15])
    crowds = _crowds(rng, size, count, kinds, wobble=log_uniform(rng, 0.5, 4))
    labels = _cell_labels(rng, crowds, kinds, lobed, gap)
    palette = draw_palette(rng, 2 * len(kinds) + 1, colored=0.6, least=0.08)
    image = paint(rng, labels, palette)
    image = _individual(rng, image, crowds, log_uniform(rng, 0.01, 0.15))
    if rng.random() < 0.4:  # phase contrast: bright or dark rims
        distance = np.stack([crowd.distance for crowd in crowds])
        rim = np.exp(-((distance - rng.uniform(0.8, 1.0)) ** 2) / rng.uniform(0.003, 0.02))
        image = image + rim[..., None] * np.float32(rng.uniform(0.1, 0.35) * rng.choice([-1, 1]))
    image = image + fractal_noise(rng, count, size, 4)[..., None] * np.float32(rng.uniform(0, 0.08))
    return Scenes(_lens(rng, image), labels, _instances(crowds), "cells")


def smear(rng: Rng, size: int, count: int) -> Scenes:
    """Draw one or two large cells with a lobed core among many small ones, in stains."""
    large = Kind(
        (1, 2), size * rng.uniform(0.15, 0.3), 0.15, rng.uniform(1, 1.3), rng.uniform(0.5, 0.8)
    )
    small = Kind((4, 14), size * rng.uniform(0.08, 0.18), 0.1, 1.1, rng.choice([0.0, 0.4]))
    kinds = [small, large] if rng.random() < 0.7 else [large]
    crowds = _crowds(rng, size, count, kinds, wobble=rng.uniform(0.5, 4))
    labels = _cell_labels(rng, crowds, kinds, rng.uniform(0.1, 0.4), 0.0)
    palette = draw_palette(rng, 2 * len(kinds) + 1, colored=0.9, least=0.1)
    image = _individual(rng, paint(rng, labels, palette), crowds, 0.03)
    return Scenes(_lens(rng, image), labels, _instances(crowds), "smear")


def glands(rng: Rng, size: int, count: int) -> Scenes:
    """Draw rings of nuclei around a lumen in a stroma full of nuclei, in tissue stains."""
    kind = Kind((2, 9), size * log_uniform(rng, 0.1, 0.28), 0.3, rng.uniform(1, 1.8), 0.0)
    crowds = _crowds(rng, size, count, [kind], wobble=rng.uniform(1, 6))
    distance = blur(np.stack([crowd.distance for crowd in crowds]), 0.7)
    inside = np.stack([crowd.owner for crowd in crowds]) > 0
    distance = distance + smooth_noise(rng, count, size, 14) * np.float32(0.06)
    lumen = rng.uniform(0.15, 0.55)
    ring = rng.uniform(0.65, 0.85)
    labels = inside.astype(np.uint8)
    labels[inside & (distance < lumen)] = 2
    jitter = rng.normal(0, 0.08, (4, 3)).astype(np.float32)
    image = _stained(rng, labels, jitter[:3])
    dots = band_noise(rng, count, size, rng.uniform(3.5, 8), None, 0.25)
    near_ring = np.exp(-((distance - ring) ** 2) / 0.02) * inside
    within = near_ring * rng.uniform(1.5, 3)
    chance = np.where(inside, within, rng.uniform(-0.2, 1.0))
    chance = chance - rng.uniform(0.5, 1.2)
    nuclei = np.clip((dots + chance) * 2, 0, 1) * (labels != 2)
    weight = nuclei[..., None]
    image = image * (1 - weight) + (STAINS[1] + jitter[3]) * weight
    if rng.random() < 0.4:
        labels[(nuclei > 0.5) & inside] = 3
        labels[(nuclei > 0.5) & ~inside] = 4
    return Scenes(_lens(rng, image), labels, _instances(crowds), "glands")


def _stained(rng: Rng, labels: NDArray[np.uint8], jitter: Float) -> Float:
    """Paint stroma, glands and lumen, a little different in each subject."""
    count, size = labels.shape[:2]
    stroma = STAINS[0]
    nucleus = STAINS[1]
    glass = STAINS[2] * 0.98
    colors = np.stack([stroma, (stroma + nucleus) / 2, glass]) + jitter
    own = colors[None] + rng.normal(0, 0.04, (count, 3, 3)).astype(np.float32)
    subject = np.arange(count)[:, None, None]
    grain = fractal_noise(rng, count, size, 16)[..., None]
    return np.asarray(own[subject, labels] + grain * np.float32(0.05))


@dataclass(frozen=True, slots=True)
class _Rule:
    """By what `shapes` tells labels apart.

    Attributes
    ----------
    kind : {"shape", "size", "place"}
    outlines : list of str
    direction : ndarray, (2,)
        The object farthest there is the target of "place".
    """

    kind: str
    outlines: list[str]
    direction: NDArray[np.int64]

    def large(self, number: int) -> int:
        """Return whether an object is a large one."""
        return number % 2 if self.kind == "size" else 0

    def outline(self, number: int) -> str:
        """Return the outline of an object."""
        chosen = number % len(self.outlines) if self.kind == "shape" else 0
        return self.outlines[chosen]

    def label(self, number: int, places: Float) -> int:
        """Return the label of an object among others at ``places`` (n, 2)."""
        if self.kind == "shape":
            return number % len(self.outlines) + 1
        if self.kind == "size":
            return self.large(number) + 1
        farthest = int((self.direction * places).sum(axis=1).argmin())
        return 1 + (number != farthest)


def shapes(rng: Rng, size: int, count: int) -> Scenes:
    """Draw objects of the same look, of which shape, size or place decides the label."""
    kind = str(rng.choice(["shape", "size", "place"]))
    radius = size * log_uniform(rng, 0.07, 0.16)
    outlines = rng.permutation(list(_OUTLINES))[: int(rng.integers(2, 4))]
    direction = _DIRECTIONS[int(rng.integers(4))]
    rule = _Rule(kind, [str(name) for name in outlines], direction)
    labels = np.zeros((count, size, size), np.uint8)
    instances = np.zeros((count, size, size), np.uint16)
    for index in range(count):
        places = _spread_out(rng, int(rng.integers(2, 9)), size, radius * 2.2)
        for number, place in enumerate(places):
            factor = 1.7 if rule.large(number) else 1.0
            scale = radius * factor * rng.uniform(0.85, 1.15)
            name = rule.outline(number)
            inside = _outline(name, size, place, scale, rng.uniform(0, 2 * np.pi))
            labels[index][inside] = rule.label(number, places)
            instances[index][inside] = number + 1
    palette = draw_palette(rng, 2, colored=0.4, least=0.15)
    image = paint(rng, (labels > 0).astype(np.uint8), palette)
    if rng.random() < 0.5:
        grain = texture(rng, count, size)[..., None]
        image = image + grain * np.float32(rng.uniform(0.02, 0.15))
    return Scenes(_lens(rng, image), labels, instances, "shapes")


def _draw_kinds(rng: Rng, size: int) -> list[Kind]:
    kinds = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))):
        radius = size * log_uniform(rng, 0.025, 0.16)
        most = int(np.clip(0.5 * (size / radius) ** 2 / np.pi, 2, 45))
        low = int(rng.integers(1, most + 1))
        core = rng.choice([0.0, rng.uniform(0.3, 0.9)])
        kinds.append(
            Kind(
                (low, max(low, most)),
                radius,
                rng.uniform(0.05, 0.35),
                log_uniform(rng, 1, 2.5),
                core,
            )
        )
    return kinds


def _crowds(rng: Rng, size: int, count: int, kinds: list[Kind], wobble: float) -> list[Crowd]:
    bend = displacement(rng, count, size, wobble, log_uniform(rng, 5, 14))
    y, x = np.mgrid[:size, :size].astype(np.float32)
    crowding = rng.choice([0.9, 1.4, 1.9])
    return [_crowd(rng, y + bend[n, 0], x + bend[n, 1], kinds, crowding) for n in range(count)]


def _crowd(rng: Rng, y: Float, x: Float, kinds: list[Kind], crowding: float) -> Crowd:
    size = y.shape[0]
    owner, distance = np.zeros((size, size), np.uint16), np.full((size, size), 2.0, np.float32)
    sorts = [0]
    for sort, kind in enumerate(kinds):
        for place in _spread_out(
            rng, int(rng.integers(kind.number[0], kind.number[1] + 1)), size, kind.radius * crowding
        ):
            radius = kind.radius * np.exp(rng.normal(0, kind.spread))
            stretch = np.sqrt(kind.elongation * np.exp(rng.normal(0, 0.1)))
            reach = int(radius * stretch * 1.2 + 8)
            rows = slice(max(0, int(place[0]) - reach), int(place[0]) + reach)
            columns = slice(max(0, int(place[1]) - reach), int(place[1]) + reach)
            dy, dx = y[rows, columns] - place[0], x[rows, columns] - place[1]
            angle = rng.uniform(0, np.pi)
            along = (dy * np.sin(angle) + dx * np.cos(angle)) / (radius * stretch)
            across = (dy * np.cos(angle) - dx * np.sin(angle)) * (stretch / radius)
            away = np.sqrt(along**2 + across**2)
            nearer = (away < 1) & (away < distance[rows, columns])
            owner[rows, columns][nearer] = len(sorts)
            distance[rows, columns] = np.minimum(away, distance[rows, columns])
            sorts.append(sort)
    return Crowd(owner, distance, np.array(sorts, np.uint8))


def _cell_labels(
    rng: Rng, crowds: list[Crowd], kinds: list[Kind], lobed: float, gap: float
) -> NDArray[np.uint8]:
    """Return 2k + 1 for the body and 2k + 2 for the core of a cell of kind k.

    ``gap`` parts touching cells.
    """
    size = crowds[0].owner.shape[0]
    lobes = band_noise(rng, len(crowds), size, max(6.0, kinds[-1].radius * 1.2), None) * np.float32(
        lobed
    )
    cores = np.array([kind.core for kind in kinds])
    labels = np.zeros((len(crowds), size, size), np.uint8)
    for index, crowd in enumerate(crowds):
        sort = crowd.kinds[crowd.owner]
        inside = (crowd.owner > 0) & (crowd.distance < 1 - gap)
        core = inside & (crowd.distance + lobes[index] < cores[sort])
        labels[index] = np.where(core, 2 * sort + 2, np.where(inside, 2 * sort + 1, 0))
    return labels


def _individual(rng: Rng, images: Float, crowds: list[Crowd], strength: float) -> Float:
    """Shift the color of each object a little."""
    shifts = [rng.normal(0, strength, (len(crowd.kinds), 1)).astype(np.float32) for crowd in crowds]
    moved = np.stack(
        [
            np.where(crowd.owner[..., None] > 0, s[crowd.owner], 0)
            for s, crowd in zip(shifts, crowds, strict=True)
        ]
    )
    return np.asarray(images + moved, np.float32)


def _instances(crowds: list[Crowd]) -> NDArray[np.uint16]:
    return np.stack([crowd.owner for crowd in crowds])


def _lens(rng: Rng, images: Float) -> Float:
    sigma = rng.uniform(0, 1.3)
    return images if sigma < 0.35 else np.moveaxis(blur(np.moveaxis(images, 3, 1), sigma), 1, 3)


def _spread_out(rng: Rng, number: int, size: int, apart: float) -> Float:
    """Return one to ``number`` places, none nearer to another than ``apart`` pixels."""
    candidates = rng.uniform(-0.03 * size, 1.03 * size, (number * 3, 2)).astype(np.float32)
    gaps = ((candidates[:, None] - candidates[None]) ** 2).sum(axis=2) < apart**2
    kept: list[int] = []
    for index in range(len(candidates)):
        if len(kept) == number:
            break
        if not gaps[index, kept].any():
            kept.append(index)
    return candidates[kept]


def _ellipse(y: Float, x: Float) -> NDArray[np.bool_]:
    return (y / 0.65) ** 2 + x**2 < 1


def _disc(y: Float, x: Float) -> NDArray[np.bool_]:
    return y**2 + x**2 < 0.8


def _box(y: Float, x: Float) -> NDArray[np.bool_]:
    return np.maximum(np.abs(y), np.abs(x)) < 0.8


def _bar(y: Float, x: Float) -> NDArray[np.bool_]:
    return (np.abs(y) < 0.25) & (np.abs(x) < 1.2)


def _cross(y: Float, x: Float) -> NDArray[np.bool_]:
    return (np.minimum(np.abs(y), np.abs(x)) < 0.27) & (np.maximum(np.abs(y), np.abs(x)) < 1)


def _ring(y: Float, x: Float) -> NDArray[np.bool_]:
    return np.abs(np.hypot(y, x) - 0.75) < 0.25


def _star(y: Float, x: Float) -> NDArray[np.bool_]:
    return np.hypot(y, x) < 0.7 + 0.35 * np.cos(5 * np.arctan2(y, x))


def _moon(y: Float, x: Float) -> NDArray[np.bool_]:
    return (np.hypot(y, x) < 1) & (np.hypot(y, x - 0.55) > 0.8)


_OUTLINES = {
    "ellipse": _ellipse,
    "disc": _disc,
    "box": _box,
    "bar": _bar,
    "cross": _cross,
    "ring": _ring,
    "star": _star,
    "moon": _moon,
}


def _outline(name: str, size: int, place: Float, radius: float, angle: float) -> NDArray[np.bool_]:
    y, x = np.mgrid[:size, :size].astype(np.float32)
    dy, dx = (y - place[0]) / radius, (x - place[1]) / radius
    return _OUTLINES[name](
        dy * np.cos(angle) - dx * np.sin(angle), dy * np.sin(angle) + dx * np.cos(angle)
    )
