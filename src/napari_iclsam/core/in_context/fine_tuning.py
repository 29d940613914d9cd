"""A few steps of gradient descent by which the in-context model gets used to a task: each example asked by the others.

The support set is all that such a model is told of a task, and its weights stay as they were trained. Two examples or
more can teach it more than that: one of them is the query, some of the others are its support, and its mask is the
truth. Views and changes of the examples keep the few from being learnt by heart; the steps are few and small. Of thin
things, vessels or membranes, one example has enough parts to be asked for by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.core.encoder.runner import InContext, Networks
from napari_iclsam.core.fusion.log_odds import is_thin
from napari_iclsam.core.images.crops import Window, mean_extent, region_of, share_of, window_at
from napari_iclsam.core.images.geometry import resize_mask
from napari_iclsam.core.in_context.coarse_to_fine import Examples, Masks, first_side, icl_input
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.refinement.sam import Clock
from napari_iclsam.core.settings import Settings
from napari_iclsam.models.loss import segmentation_loss
from napari_iclsam.models.starter_icl import TwoScales

Rng = np.random.Generator

_STEPS, _TASKS, _RATE, _WARMUP = 20, 2, 5e-4, 4
"""Steps, tasks of a step, peak learning rate and the steps until it is reached; it then falls linearly to zero."""

_OTHERS = 6
"""At most so many examples are the support of another one."""

_SIDE = 128
"""Pixels of a view in each direction."""

_EMPTY = 0.4
"""Share of the tasks whose query is an example without the label, if there are such."""

_CLOSER, _PART = 0.4, 0.7
"""Share of the tasks seen as the closer looks see them; and, of the others, in parts that fill a view at the scale of
the first look, if that is finer than the whole image in a view."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The queries of T tasks (T, C, s, s) with their truth (T, 1, s, s), and the support of each (T, S, ...)."""

    query: Tensor
    truth: Tensor
    images: Tensor
    masks: Tensor


class _Adam:
    """Adam (Kingma and Ba, ICLR 2015), all weights at once.

    That of `torch.optim` loads PyTorch's compiler, which beside Mesa's software renderer has ended the process.
    """

    def __init__(self, weights: list[Tensor]) -> None:
        self._weights, self._steps = weights, 0
        self._mean, self._square = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))

    @torch.no_grad()
    def step(self, rate: float, decay: float = 0.9, slow: float = 0.999) -> None:
        """Change the weights by their gradients; one without a gradient stays as it is."""
        self._steps += 1
        for weight, mean, square in zip(self._weights, self._mean, self._square, strict=True):
            if weight.grad is not None:
                mean.lerp_(weight.grad, 1 - decay)
                square.lerp_(weight.grad.square(), 1 - slow)
                spread = (square / (1 - slow**self._steps)).sqrt_().add_(1e-8)
                weight.addcdiv_(mean, spread, value=-rate / (1 - decay**self._steps))


def can_adapt(networks: Networks, examples: Examples, settings: Settings) -> bool:
    """Return whether the in-context model is to be adapted, and the examples of some label can teach it."""
    wanted = settings.mode == "auto" and settings.adapt and isinstance(networks.icl, TwoScales)
    return wanted and any(map(_can_teach, examples.masks_by_label()))


def adapt_steps(
    networks: Networks, examples: Examples, settings: Settings, clock: Clock
) -> Generator[Progress, None, Networks]:
    """Return networks whose in-context model has got used to the examples, step by step; those given stay as they are.

    What is drawn at random depends on ``settings.seed`` alone.

    Parameters
    ----------
    networks : Networks
    examples : Examples
        For which `can_adapt` is true.
    settings : Settings
    clock : Clock
    """
    rng = np.random.default_rng(settings.seed)
    masks, count = examples.masks_by_label(), len(examples.support)
    side, labels = first_side(networks.icl.image_sizes, masks, settings), list(filter(_can_teach, masks))
    with clock.step("adapt", gradients=True):
        network = copy.deepcopy(cast(nn.Module, networks.icl)).requires_grad_(True)
        optimiser = _Adam(list(network.parameters()))
    float16 = networks.icl_dtype == torch.float16  # too narrow for gradients
    adapting = replace(
        networks, icl=cast(InContext, network), icl_dtype=torch.float32 if float16 else networks.icl_dtype
    )
    for step in range(_STEPS):
        yield Progress("adapt", f"Getting used to the examples: {step + 1} of {_STEPS}", count, count)
        rate = _RATE * min((step + 1) / _WARMUP, (_STEPS - step) / (_STEPS - _WARMUP), 1)
        with clock.step("adapt", gradients=True):
            asked = _ask(rng, networks, examples.images, labels, side, settings)
            logits = adapting.segment_in_context(asked.query, adapting.encode_support(asked.images, asked.masks), None)
            segmentation_loss(logits, asked.truth).backward()
            if nn.utils.clip_grad_norm_(network.parameters(), 1).isfinite():
                optimiser.step(rate)
            network.zero_grad()
    network.requires_grad_(False)
    return replace(adapting, icl_dtype=networks.icl_dtype)


def _ask(
    rng: Rng,
    networks: Networks,
    examples: Sequence[NDArray[np.uint8]],
    labels: Sequence[Masks],
    side: int,
    settings: Settings,
) -> _Asked:
    """Draw a step's tasks: a label, the example that is asked and the others, how they are seen and changed."""
    images, masks = [], []
    for _ in range(_TASKS):
        own = labels[int(rng.integers(len(labels)))]
        pairs = _draw_pairs(rng, own)
        windows = _draw_windows(rng, [own[pair] for pair in pairs], side, settings)
        seen = list(zip(pairs, windows, strict=True))
        size = min(_SIDE, side)
        views = [icl_input(networks, examples[p][w], size, settings, stretch=True) for p, w in seen]
        targets = [resize_mask(own[p][w], (size, size)) for p, w in seen]
        changed = _change(rng, torch.cat(views), torch.cat(targets).to(networks.device))
        images.append(changed[0])
        masks.append(changed[1])
    every, truth = torch.stack(images), torch.stack(masks)
    return _Asked(every[:, 0], truth[:, 0], every[:, 1:], truth[:, 1:])


def _holders(masks: Masks) -> list[int]:
    return [pair for pair, mask in enumerate(masks) if mask.any()]


def _can_teach(masks: Masks) -> bool:
    holders = _holders(masks)
    return len(holders) > 1 or (len(holders) == 1 and is_thin(masks[holders[0]]))


def _draw_pairs(rng: Rng, masks: Masks) -> list[int]:
    """Draw the example that is asked and its support, of which one holds the label: the same, if no other does."""
    holders = rng.permutation(_holders(masks)).tolist()
    asked, known = holders[0], holders[min(1, len(holders) - 1)]
    empty = [pair for pair in range(len(masks)) if pair not in holders]
    if empty and rng.random() < _EMPTY:
        asked = int(rng.choice(empty))
    rest = [pair for pair in rng.permutation(len(masks)).tolist() if pair not in (asked, known)]
    return [asked, known, *rest[: _OTHERS - 1]]


def _draw_windows(rng: Rng, masks: Masks, side: int, settings: Settings) -> list[Window]:
    """Draw which window of each example is seen, that of the query (the first) a little off."""
    shapes = [(mask.shape[0], mask.shape[1]) for mask in masks]
    regions = [region_of(mask) for mask in masks]
    known = [region for region in regions if region]
    if settings.closer_looks and len(known) == len(masks) and rng.random() < _CLOSER:
        extent = mean_extent(known) * float(np.exp(rng.uniform(*np.log([1.2, 2.5]))))
        if extent <= 0.9:
            shares = [share_of(extent, region) for region in known]
            shares[0] *= float(np.exp(rng.normal(0, 0.15)))
            off = [rng.normal(0, 0.12, 2) * shares[0], *np.zeros((len(masks) - 1, 2))]
            places = zip(known, off, shares, shapes, strict=True)
            return [window_at(r.row + d[0], r.column + d[1], min(1.0, s), shape) for r, d, s, shape in places]
    if side > _SIDE and rng.random() < _PART:
        share = min(1.0, _SIDE / side * float(np.exp(rng.uniform(0, np.log(1.6)))))
        return [_window_on(rng, mask, share) for mask in masks]
    return [(slice(0, height), slice(0, width)) for height, width in shapes]


def _window_on(rng: Rng, mask: NDArray[np.bool_], share: float) -> Window:
    """Draw a window that mostly lies on the foreground of a mask."""
    height, width = mask.shape
    row, column = rng.random(2)
    inside = np.flatnonzero(mask)
    if len(inside) and rng.random() < 0.8:
        place = inside[rng.integers(len(inside))]
        centre = np.array([place // width / height, place % width / width]) + rng.uniform(-share / 3, share / 3, 2)
        row, column = centre.tolist()
    return window_at(row, column, share, (height, width))


def _change(rng: Rng, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Turn, scale, shift and bend each pair, change gamma and noise of each image: (n, C, s, s) and (n, 1, s, s)."""
    count, size = len(images), images.shape[-1]
    moved = F.affine_grid(torch.from_numpy(_moves(rng, count)), [count, 1, size, size], align_corners=False)
    cells = int(rng.integers(3, 10))
    bend = torch.from_numpy(rng.standard_normal((count, 2, cells, cells), dtype=np.float32))
    bend = F.interpolate(bend, (size, size), mode="bicubic", align_corners=True).movedim(1, -1)
    points = (moved + rng.uniform(0.01, 0.06) * bend).to(images.device)
    images, masks = (
        F.grid_sample(x, points, mode="bilinear", padding_mode="reflection", align_corners=False)
        for x in (images, masks)
    )
    noise = torch.from_numpy(rng.standard_normal(tuple(images.shape), dtype=np.float32)).to(images.device)
    gamma = torch.from_numpy(np.exp(rng.normal(0, 0.2, (count, 1, 1, 1))).astype(np.float32)).to(images.device)
    images = images.clamp(0, 1) ** gamma + noise * rng.uniform(0, 0.04)
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(1e-6), (masks > 0.5).float()


def _moves(rng: Rng, count: int) -> NDArray[np.float32]:
    """Draw turns, scales and shifts, as matrices (n, 2, 3)."""
    turn = rng.choice([0.1, 0.3])
    angle, factor = rng.uniform(-turn, turn, count), np.exp(rng.uniform(-0.15, 0.15, (count, 2)))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1) * factor[:, None]
    return np.concatenate([matrix, rng.uniform(-0.1, 0.1, (count, 2, 1))], axis=2).astype(np.float32)
