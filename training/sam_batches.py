"""Batches for starter-sam: pairs of images of one task under shared acquisition and own geometry, with prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from training.data import DataSet, Sample
from training.sam_prompts import Prompt, draw_prompt, draw_target


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
    """Make tasks of a mixed set: by whether its labelled pixels are brighter than the rest, and by color."""

    def look(sample: Sample) -> str:
        image, labelled = sample.image.astype(np.float32), sample.mask > 0
        bright = image[labelled].mean() > image[~labelled].mean()
        colored = (image.max(axis=2) - image.min(axis=2)).mean() > 8
        return f"{'bright' if bright else 'dark'} {'color' if colored else 'grey'}"

    return replace(data, samples=[replace(sample, task=look(sample)) for sample in data.samples])


def _couple(rng: np.random.Generator, data: DataSet, size: int) -> list[View]:
    """Two samples of one task, of different subjects where there are several, each under its own geometry."""
    first = data.samples[rng.integers(len(data.samples))]
    others = [s for s in data.samples if s.task == first.task and s.subject != first.subject]
    second = others[rng.integers(len(others))] if others else first
    zoom = (
        float(np.exp(rng.uniform(0, np.log(2.8))))
        if rng.random() < 0.6
        else float(rng.uniform(0.85, 1.05))
    )
    return [
        warp(rng, sample, size, zoom * float(np.exp(rng.normal(0, 0.12))))
        for sample in (first, second)
    ]


def warp(rng: np.random.Generator, sample: Sample, size: int, zoom: float) -> View:
    """Zoom (1: the longest side fills the view), turn a little, mirror, bend, and cut near something labelled."""
    height, width = sample.mask.shape
    scale = max(height, width) / (size * zoom)  # sample pixels a view pixel
    angle = rng.normal(0, 0.25) if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    turn *= np.exp(rng.normal(0, 0.08, 2))[None, :]
    if rng.random() < 0.5:
        turn[:, 0] *= -1
    if rng.random() < 0.2:
        turn[:, 1] *= -1
    centre = np.array([width / 2, height / 2])
    if zoom > 1.15:
        labelled = np.argwhere(sample.mask > 0) if rng.random() < 0.8 else np.empty((0, 2))
        aim = (
            labelled[rng.integers(len(labelled))][::-1]
            if len(labelled)
            else rng.uniform(0, 1, 2) * centre * 2
        )
        slack = np.abs(np.array([width, height]) - size * scale) / 2
        centre = np.clip(aim + rng.normal(0, 0.2, 2) * size * scale, centre - slack, centre + slack)
    at = np.arange(size) + 0.5 - size / 2
    grid = np.stack(np.meshgrid(at, at), axis=-1) @ turn.T + centre
    field = torch.as_tensor(grid, dtype=torch.float32)[None]
    if rng.random() < 0.6:
        bend = torch.as_tensor(
            rng.normal(0, size * scale * 0.02, (1, 2, 5, 5)), dtype=torch.float32
        )
        field = field + F.interpolate(
            bend, (size, size), mode="bicubic", align_corners=True
        ).permute(0, 2, 3, 1)
    field = field / torch.tensor([width / 2, height / 2]) - 1
    image = torch.as_tensor(sample.image).permute(2, 0, 1)[None].float() - 127.5
    beyond = "zeros" if rng.random() < 0.6 else "reflection"
    pixels = (
        F.grid_sample(image, field, mode="bilinear", padding_mode=beyond, align_corners=False)[0]
        + 127.5
    )
    maps = [sample.mask] if sample.instances is None else [sample.mask, sample.instances]
    planes = torch.as_tensor(np.stack([np.asarray(plane, np.float32) for plane in maps]))[None]
    warped = F.grid_sample(planes, field, mode="nearest", padding_mode=beyond, align_corners=False)[
        0
    ].numpy()
    whole = warped.round().astype(np.int64)
    outside = (
        (field.abs() > 1).any(dim=-1)
        if beyond == "zeros"
        else torch.zeros((1, size, size), dtype=torch.bool)
    )
    return View(pixels, whole[0], whole[1] if len(whole) > 1 else None, outside)


def _tasks(rng: np.random.Generator, couple: list[View]) -> list[tuple[int, ...]]:
    """Label values that both views show, in random order; sometimes first a union of two or all of them."""
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
    """Own small changes of one view: brightness, contrast, gamma."""
    pixels = view.pixels
    if rng.random() < 0.7:
        pixels = (
            (pixels - 127.5) * float(np.exp(rng.normal(0, 0.12))) + 127.5 + float(rng.normal(0, 8))
        )
    return replace(view, pixels=pixels)


def _acquire(rng: np.random.Generator, couple: list[View]) -> list[View]:
    """Another apparatus for both views: colors, curve, shading, resolution, noise; grey stays grey."""
    pixels = torch.stack([view.pixels for view in couple]).clamp(0, 255) / 255
    if rng.random() < 0.5:
        mix = np.eye(3) if rng.random() < 0.5 else np.eye(3)[rng.permutation(3)]
        mix = mix * np.exp(rng.normal(0, 0.15, 3))[:, None] + rng.normal(0, 0.12, (3, 3))
        pixels = torch.einsum("oc,bchw->bohw", torch.as_tensor(mix, dtype=torch.float32), pixels)
    if rng.random() < 0.25:
        weights = rng.dirichlet([1, 1, 1])
        pixels = torch.einsum("c,bchw->bhw", torch.as_tensor(weights, dtype=torch.float32), pixels)[
            :, None
        ]
        pixels = pixels.expand(-1, 3, -1, -1)
    if rng.random() < 0.25:
        pixels = 1 - pixels
    pixels = pixels.clamp(0, 1) ** float(np.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.6:
        contrast = float(np.exp(rng.normal(0, 0.3)))
        pixels = (pixels - pixels.mean()) * contrast + float(rng.uniform(0.25, 0.65))
    if rng.random() < 0.3:
        shade = torch.as_tensor(rng.normal(0, 0.15, (2, 1, 3, 3)), dtype=torch.float32)
        pixels = pixels + F.interpolate(
            shade, pixels.shape[-2:], mode="bicubic", align_corners=True
        )
    if rng.random() < 0.4:
        factor = float(rng.uniform(1.2, 4))
        low = F.interpolate(pixels, scale_factor=1 / factor, mode="bilinear", antialias=True)
        pixels = F.interpolate(low, pixels.shape[-2:], mode="bilinear")
    if rng.random() < 0.4:
        seed = int(rng.integers(2**31))
        noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(seed))
        noise = noise if rng.random() < 0.5 else noise[:, :1]
        noise = noise if rng.random() < 0.6 else noise * pixels.abs().sqrt()
        pixels = pixels + noise * float(rng.uniform(0.01, 0.12))
    pixels = pixels.clamp(0, 1) * 255
    return [
        replace(v, pixels=p.masked_fill(v.padding, 127.5))
        for p, v in zip(pixels, couple, strict=True)
    ]
