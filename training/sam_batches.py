"""Batches for starter-sam.

Pairs of images of one task under shared acquisition and own geometry, with prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from training.data import DataSet, Sample
from training.sam_prompts import Prompt, draw_prompt, draw_target

_GREY = 127.5
"""The middle of 0 to 255, which is normalised to 0."""

_ZOOMED = 1.15
"""From this zoom on a view is aimed at something labelled."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What batches are like from some share of the training time on.

    Attributes
    ----------
    start : float
        Share of the time, 0 to 1.
    size : int
        Side of the views in pixels.
    pairs, prompts : int
        Pairs of views a batch; prompts a view.
    mask_chance, bias_chance : float
        How often a box comes with a coarse mask, and a prompt with guidance where a probe has a map
        for it.
    """

    start: float
    size: int
    pairs: int
    prompts: int
    mask_chance: float = 0.45
    bias_chance: float = 0.6


@dataclass(frozen=True, slots=True)
class View:
    """A sample as the network sees it: pixels (3, S, S) float, 0 to 255, labels and objects (S, S).

    Where ``padding`` (1, S, S) is true lies no image but what the network gets there: 127.5, which
    is normalised to 0.
    """

    pixels: Tensor
    labels: NDArray[np.int64]
    instances: NDArray[np.int64] | None
    padding: Tensor


@dataclass(frozen=True, slots=True)
class Probe:
    """A label to be learnt from the cells of one view and found in those of another."""

    support: int
    query: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Views 2 i and 2 i + 1 are of one task.

    Attributes
    ----------
    views : list of View
    prompts : list of Prompt
    owners : list of int
        The view of each prompt.
    probes : list of Probe
        Both directions of every label that both views of a pair show.
    """

    views: list[View]
    prompts: list[Prompt]
    owners: list[int]
    probes: list[Probe]


def draw_batch(
    rng: np.random.Generator, sets: Sequence[DataSet], chances: NDArray[np.float64], phase: Phase
) -> Batch:
    """Draw the pairs of views of a batch, and their prompts."""
    views: list[View] = []
    found: list[Prompt] = []
    owners: list[int] = []
    probes: list[Probe] = []
    while len(views) < 2 * phase.pairs:
        data = sets[rng.choice(len(sets), p=chances)]
        couple = [_augment(rng, view) for view in _couple(rng, data, phase.size)]
        tasks = _tasks(rng, couple)
        if not tasks:
            continue
        couple = _acquire(rng, couple)
        start = len(views)
        views += couple
        for offset, view in enumerate(couple):
            for _ in range(phase.prompts):
                values = tasks[rng.integers(len(tasks))]
                target = draw_target(rng, view.labels, view.instances, values)
                if target is not None:
                    found.append(draw_prompt(rng, target, phase.mask_chance))
                    owners.append(start + offset)
        for values in tasks[:2]:
            probes += [Probe(start, start + 1, values), Probe(start + 1, start, values)]
    return Batch(views, found, owners, probes)


def by_look(data: DataSet) -> DataSet:
    """Make tasks of a mixed set.

    By whether its labelled pixels are brighter than the rest, and by color.
    """

    def look(sample: Sample) -> str:
        image, labelled = sample.image.astype(np.float32), sample.mask > 0
        bright = image[labelled].mean() > image[~labelled].mean()
        colored = (image.max(axis=2) - image.min(axis=2)).mean() > 8
        return f"{'bright' if bright else 'dark'} {'color' if colored else 'grey'}"

    return replace(data, samples=[replace(sample, task=look(sample)) for sample in data.samples])


def _couple(rng: np.random.Generator, data: DataSet, size: int) -> list[View]:
    """Draw two samples of one task, of different subjects if possible."""
    first = data.samples[rng.integers(len(data.samples))]
    others = []
    for sample in data.samples:
        if sample.task == first.task and sample.subject != first.subject:
            others.append(sample)
    second = others[rng.integers(len(others))] if others else first
    zoom = _draw_zoom(rng)
    views = []
    for sample in (first, second):
        own = zoom * float(np.exp(rng.normal(0, 0.12)))
        views.append(warp(rng, sample, size, own))
    return views


def _draw_zoom(rng: np.random.Generator) -> float:
    """Draw a zoom, closer in more often than not."""
    if rng.random() < 0.6:
        return float(np.exp(rng.uniform(0, np.log(2.8))))
    return float(rng.uniform(0.85, 1.05))


@dataclass(frozen=True, slots=True)
class _Warp:
    """How a sample is read into a view.

    Attributes
    ----------
    points : Tensor, (1, S, S, 2)
        Where each pixel is read, in the units of `torch.nn.functional.grid_sample`.
    beyond : {"zeros", "reflection"}
        What lies beyond the image.
    """

    points: Tensor
    beyond: str

    def read(self, planes: Tensor, mode: str) -> Tensor:
        """Read planes (C, H, W): (C, S, S)."""
        read = F.grid_sample(
            planes[None],
            self.points,
            mode=mode,
            padding_mode=self.beyond,
            align_corners=False,
        )
        return read[0]

    def outside(self) -> Tensor:
        """Return where there is no image, (1, S, S)."""
        if self.beyond == "reflection":
            return torch.zeros(self.points.shape[:3], dtype=torch.bool)
        return (self.points.abs() > 1).any(dim=-1)


def warp(rng: np.random.Generator, sample: Sample, size: int, zoom: float) -> View:
    """Zoom, turn a little, mirror, bend, and cut near something labelled.

    Parameters
    ----------
    rng : Generator
    sample : Sample
    size : int
        Side of the view in pixels.
    zoom : float
        1: the longest side fills the view.
    """
    points = _draw_points(rng, sample, size, zoom)
    drawn = _Warp(points, "zeros" if rng.random() < 0.6 else "reflection")
    # The middle grey becomes 0, which is also what the padding has.
    image = torch.as_tensor(sample.image).permute(2, 0, 1).float() - _GREY
    pixels = drawn.read(image, "bilinear") + _GREY
    maps: list[NDArray[Any]] = [sample.mask]
    if sample.instances is not None:
        maps.append(sample.instances)
    planes = np.stack([np.asarray(plane, np.float32) for plane in maps])
    warped = drawn.read(torch.as_tensor(planes), "nearest").numpy()
    whole = warped.round().astype(np.int64)
    instances = whole[1] if len(whole) > 1 else None
    return View(pixels, whole[0], instances, drawn.outside())


def _draw_points(rng: np.random.Generator, sample: Sample, size: int, zoom: float) -> Tensor:
    """Draw where each pixel of a view is read, (1, S, S, 2)."""
    height, width = sample.mask.shape
    scale = max(height, width) / (size * zoom)  # sample pixels of a view pixel
    turn = _draw_turn(rng) * scale
    turn = _draw_stretch(rng, turn)
    extent = np.array([width, height])
    center = extent / 2
    if zoom > _ZOOMED:
        center = _draw_center(rng, sample, size * scale)
    axis = np.arange(size) + 0.5 - size / 2
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    field = torch.as_tensor(grid @ turn.T + center, dtype=torch.float32)[None]
    if rng.random() < 0.6:
        field = field + _draw_bend(rng, size, scale)
    return field / torch.tensor([width / 2, height / 2]) - 1


def _draw_turn(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a rotation, mostly a small one, (2, 2)."""
    angle = rng.normal(0, 0.25) if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi)
    cos = np.cos(angle)
    sin = np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _draw_stretch(rng: np.random.Generator, turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stretch along both axes and mirror, more often from left to right, (2, 2)."""
    turn = turn * np.exp(rng.normal(0, 0.08, 2))[None, :]
    if rng.random() < 0.5:
        turn[:, 0] *= -1
    if rng.random() < 0.2:
        turn[:, 1] *= -1
    return turn


def _draw_center(rng: np.random.Generator, sample: Sample, side: float) -> NDArray[np.float64]:
    """Draw the centre x, y of a view of ``side`` sample pixels, mostly near something labelled."""
    height, width = sample.mask.shape
    extent = np.array([width, height])
    middle = extent / 2
    aim = _draw_aim(rng, sample.mask)
    # The view does not leave the image where it is smaller than the image.
    slack = np.abs(extent - side) / 2
    center = aim + rng.normal(0, 0.2, 2) * side
    return np.clip(center, middle - slack, middle + slack)


def _draw_aim(rng: np.random.Generator, mask: NDArray[np.uint8]) -> NDArray[Any]:
    """Draw a labelled pixel x, y mostly, else any place of the image."""
    if rng.random() < 0.8:
        labelled = np.argwhere(mask > 0)
        if len(labelled):
            row, column = labelled[rng.integers(len(labelled))]
            return np.array([column, row])
    height, width = mask.shape
    return rng.uniform(0, 1, 2) * (np.array([width, height]) / 2) * 2


def _draw_bend(rng: np.random.Generator, size: int, scale: float) -> Tensor:
    """Draw smooth displacements in sample pixels, (1, S, S, 2)."""
    coarse = rng.normal(0, size * scale * 0.02, (1, 2, 5, 5))
    bend = torch.as_tensor(coarse, dtype=torch.float32)
    bend = F.interpolate(bend, (size, size), mode="bicubic", align_corners=True)
    return bend.permute(0, 2, 3, 1)


def _tasks(rng: np.random.Generator, couple: list[View]) -> list[tuple[int, ...]]:
    """Label values that both views show, in random order.

    Sometimes first a union of two or all of them.
    """
    smallest = couple[0].labels.size // 1000
    counts = [np.bincount(view.labels.ravel(), minlength=256) for view in couple]
    shared = [int(v) for v in np.flatnonzero(np.minimum(*counts) >= smallest) if v > 0]
    rng.shuffle(shared)
    tasks: list[tuple[int, ...]] = [(value,) for value in shared]
    if len(shared) > 1 and rng.random() < 0.3:
        union = tuple(shared) if rng.random() < 0.4 else tuple(shared[:2])
        tasks.insert(0, union)
    return tasks


def _augment(rng: np.random.Generator, view: View) -> View:
    """Change contrast and brightness of one view a little."""
    pixels = view.pixels
    if rng.random() < 0.7:
        contrast = float(np.exp(rng.normal(0, 0.12)))
        pixels = (pixels - _GREY) * contrast + _GREY + float(rng.normal(0, 8))
    return replace(view, pixels=pixels)


def _acquire(rng: np.random.Generator, couple: list[View]) -> list[View]:
    """Change the apparatus of both views: colors, curve, shading, resolution, noise."""
    pixels = torch.stack([view.pixels for view in couple]).clamp(0, 255) / 255
    for change in (_mix, _to_grey, _invert, _bend_curve, _scale, _shade, _coarsen, _add_noise):
        pixels = change(rng, pixels)
    pixels = pixels.clamp(0, 1) * 255
    views = []
    for view, own in zip(couple, pixels, strict=True):
        views.append(replace(view, pixels=own.masked_fill(view.padding, _GREY)))
    return views


# Each of these takes and returns pixels (2, 3, S, S), about 0 to 1, of both views.


def _mix(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Mix the channels, half of the time."""
    if rng.random() >= 0.5:
        return pixels
    mix = np.eye(3) if rng.random() < 0.5 else np.eye(3)[rng.permutation(3)]
    mix = mix * np.exp(rng.normal(0, 0.15, 3))[:, None]
    mix = mix + rng.normal(0, 0.12, (3, 3))
    matrix = torch.as_tensor(mix, dtype=torch.float32)
    return torch.einsum("oc,bchw->bohw", matrix, pixels)


def _to_grey(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Make one channel of all three, sometimes."""
    if rng.random() >= 0.25:
        return pixels
    weights = torch.as_tensor(rng.dirichlet([1, 1, 1]), dtype=torch.float32)
    grey = torch.einsum("c,bchw->bhw", weights, pixels)
    return grey[:, None].expand(-1, 3, -1, -1)


def _invert(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    return 1 - pixels if rng.random() < 0.25 else pixels


def _bend_curve(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Change the gamma."""
    gamma = float(np.exp(rng.normal(0, 0.35)))
    return pixels.clamp(0, 1) ** gamma


def _scale(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Change contrast and brightness, mostly."""
    if rng.random() >= 0.6:
        return pixels
    contrast = float(np.exp(rng.normal(0, 0.3)))
    return (pixels - pixels.mean()) * contrast + float(rng.uniform(0.25, 0.65))


def _shade(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Light the views unevenly, sometimes."""
    if rng.random() >= 0.3:
        return pixels
    coarse = torch.as_tensor(rng.normal(0, 0.15, (2, 1, 3, 3)), dtype=torch.float32)
    size = pixels.shape[-2:]
    return pixels + F.interpolate(coarse, size, mode="bicubic", align_corners=True)


def _coarsen(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Lose resolution, sometimes."""
    if rng.random() >= 0.4:
        return pixels
    factor = float(rng.uniform(1.2, 4))
    low = F.interpolate(pixels, scale_factor=1 / factor, mode="bilinear", antialias=True)
    return F.interpolate(low, pixels.shape[-2:], mode="bilinear")


def _add_noise(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Add noise, sometimes.

    Of color or of grey, everywhere alike or stronger where it is bright.
    """
    if rng.random() >= 0.4:
        return pixels
    seed = int(rng.integers(2**31))
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(seed))
    if rng.random() >= 0.5:
        noise = noise[:, :1]
    if rng.random() >= 0.6:
        noise = noise * pixels.abs().sqrt()
    return pixels + noise * float(rng.uniform(0.01, 0.12))
