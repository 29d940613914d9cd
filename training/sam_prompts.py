"""Prompts as people and in-context models make them: boxes, points and coarse masks of a target.

Knows no network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True, slots=True)
class Target:
    """What one prompt asks for.

    Attributes
    ----------
    mask : ndarray, (H, W) bool
        The object.
    label : ndarray, (H, W) bool
        Everything of the same label, the object included.
    value : tuple of int
        The label values that ``label`` unites.
    """

    mask: NDArray[np.bool_]
    label: NDArray[np.bool_]
    value: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A target and how it is pointed at; the flags say which kinds are shown to the network.

    Attributes
    ----------
    target : ndarray, (H, W) bool
    box : ndarray, (4,) float32
        x0, y0, x1, y1 in pixels.
    points : ndarray, (P, 2) float32;  point_labels : ndarray, (P,) int64
    mask : ndarray, (H / 2, W / 2) float32
        Logits of a coarse, flawed mask.
    has_box, has_points, has_mask : bool
    value : tuple of int
        Label values of the target.
    """

    target: NDArray[np.bool_]
    box: NDArray[np.float32]
    points: NDArray[np.float32]
    point_labels: NDArray[np.int64]
    mask: NDArray[np.float32]
    has_box: bool
    has_points: bool
    has_mask: bool
    value: tuple[int, ...]


def draw_target(
    rng: np.random.Generator,
    labels: NDArray[np.integer],
    instances: NDArray[np.integer] | None,
    values: tuple[int, ...],
    smallest: int = 40,
) -> Target | None:
    """Choose an object of a label.

    An instance where they are known, else a component, now and then all of it.

    Returns None if nothing of at least ``smallest`` pixels is there.
    """
    label = np.isin(labels, values)
    if label.sum() < smallest:
        return None
    if instances is not None:
        objects = np.where(label, instances, 0)
    else:
        objects = ndimage.label(label)[0]
        if rng.random() < 0.12:
            return Target(label, label, values)
    sizes = np.bincount(objects.ravel())
    sizes[0] = 0
    candidates = np.flatnonzero(sizes >= smallest)
    if not len(candidates):
        return None
    chance = np.sqrt(sizes[candidates].astype(float))
    return Target(objects == rng.choice(candidates, p=chance / chance.sum()), label, values)


def draw_prompt(rng: np.random.Generator, target: Target, mask_chance: float = 0.45) -> Prompt:
    """Draw a box nine times in ten, a coarse mask with ``mask_chance``, sometimes points."""
    has_box = bool(rng.random() < 0.9)
    has_mask = bool(rng.random() < (mask_chance if has_box else 0.6))
    has_points = bool(rng.random() < 0.12) or not (has_box or has_mask)
    points = draw_points(rng, target.mask, 4)
    source = target.label if rng.random() < 0.6 else target.mask
    return Prompt(
        target=target.mask,
        box=draw_box(rng, target.mask, careful=not has_mask),
        points=points,
        point_labels=point_labels_of(rng, target.mask, points),
        mask=coarse_mask(rng, source)
        if has_mask
        else np.zeros([side // 2 for side in source.shape], np.float32),
        has_box=has_box,
        has_points=has_points,
        has_mask=has_mask,
        value=target.value,
    )


def tight_box(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Box from the outer edge of the first to that of the last pixel: x0, y0, x1, y1."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def jitter_box(
    rng: np.random.Generator, box: NDArray[np.float32], amount: float, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Move each side by up to ``amount`` of the box's extent, kept inside the image."""
    extent = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    moved = box + rng.uniform(-amount, amount, 4) * extent
    moved = np.clip(moved, 0, [shape[1], shape[0]] * 2)
    small = np.maximum(moved[2:] - moved[:2], 2.0)
    return np.concatenate([moved[:2], moved[:2] + small]).astype(np.float32)


def draw_box(
    rng: np.random.Generator, mask: NDArray[np.bool_], *, careful: bool
) -> NDArray[np.float32]:
    """Draw a box as a person does, or as an in-context model does.

    A person's (``careful``) is tight, or off by a tenth, seldom loose.

    The latter is loose more often, or leaves out a part of the object; but then a mask comes with
    it. Of a box alone the network shall learn that the object reaches its sides: nothing else tells
    a ring from what it encloses.
    """
    box = tight_box(mask)
    shape = (mask.shape[0], mask.shape[1])
    kind = rng.random()
    if kind < (0.5 if careful else 0.25):
        return box
    if kind < (0.95 if careful else 0.7):
        return jitter_box(rng, box, rng.uniform(0.02, 0.1 if careful else 0.15), shape)
    if kind < (1 if careful else 0.88):
        grow = (
            rng.uniform(0, 0.3, 4)
            * np.array([box[2] - box[0], box[3] - box[1]] * 2)
            * np.array([-1, -1, 1, 1])
        )
        return np.asarray(np.clip(box + grow, 0, [shape[1], shape[0]] * 2), np.float32)
    return jitter_box(rng, box, 0.3, shape)


def draw_points(
    rng: np.random.Generator, mask: NDArray[np.bool_], count: int
) -> NDArray[np.float32]:
    """Two points of the object, deep ones first, then points around it."""
    depth = ndimage.distance_transform_edt(mask)
    inside = np.argwhere(depth >= depth.max() * rng.uniform(0.2, 0.9))
    outside = np.argwhere(~mask)
    chosen = [inside[rng.integers(len(inside), size=2)]]
    if len(outside):
        chosen.append(outside[rng.integers(len(outside), size=count - 2)])
    return (np.concatenate(chosen)[:, ::-1] + 0.5).astype(np.float32)


def point_labels_of(
    rng: np.random.Generator, mask: NDArray[np.bool_], points: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Whether each point lies on the object.

    All but the first are dropped (-1) half of the time.
    """
    at = points.astype(int)
    labels = np.asarray(mask[at[:, 1], at[:, 0]], np.int64)
    labels[1:][rng.random(len(labels) - 1) < 0.5] = -1
    return labels


def coarse_mask(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Logits at half resolution of a mask as a rough model gives it.

    Blurred, displaced, gnawed at, with phantoms.
    """
    height, width = (side // 2 for side in mask.shape)
    half = mask[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
    extent = max(float(np.sqrt(half.sum())), 2.0)
    soft = ndimage.gaussian_filter(half, rng.uniform(0.3, 0.12 * extent + 0.4))
    soft = ndimage.shift(soft, rng.normal(0, 0.04 * extent, 2), order=1)
    cells = int(rng.integers(4, 20))
    noise = rng.normal(size=(cells, cells))
    field = ndimage.zoom(
        noise, (height / cells, width / cells), order=1, grid_mode=True, mode="nearest"
    )
    level = soft - rng.uniform(0.3, 0.7) + rng.uniform(0, 0.35) * field
    return np.asarray(np.clip(level * rng.uniform(4, 20), -12, 12), np.float32)
