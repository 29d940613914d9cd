"""Test-time fine-tuning: a few steps of gradient descent on episodes of the support set.

In an episode one example is the query, some of the others are its support, and its mask is the
target. Augmentation keeps the few examples from being learnt by heart; the steps are few and small.
Of thin objects, vessels or membranes, one example has enough parts to be query and support at once.
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

from napari_iclsam.core.adam import Adam
from napari_iclsam.core.encoder.examples import Examples, Masks
from napari_iclsam.core.images.crops import PixelSlices
from napari_iclsam.core.images.geometry import resize_mask
from napari_iclsam.core.images.thinness import is_thin
from napari_iclsam.core.in_context.augmentation import (
    Rng,
    draw_object_crops,
    draw_part,
    draw_part_size,
    draw_transform,
)
from napari_iclsam.core.in_context.coarse_to_fine import full_image_side
from napari_iclsam.core.in_context.runner import InContextNetwork, InContextRunner
from napari_iclsam.core.inference import StageTimer
from napari_iclsam.core.prediction import Progress
from napari_iclsam.models.loss import segmentation_loss


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps of gradient descent and their learning rates.

    Attributes
    ----------
    steps : int
    peak : float
        Peak learning rate.
    warmup : int
        Steps until the peak is reached; the rate then falls linearly to zero.
    """

    steps: int
    peak: float
    warmup: int

    def rate(self, step: int) -> float:
        """Return the learning rate of one of the steps."""
        rising = (step + 1) / self.warmup
        falling = (self.steps - step) / (self.steps - self.warmup)
        return self.peak * min(rising, falling, 1)


FULL = Schedule(steps=20, peak=5e-4, warmup=4)

SPARING = Schedule(steps=3, peak=1.2e-3, warmup=1)
"""In a stack, where the labelled planes tell most. See benchmarks/RESULTS.md."""

_EPISODES = 2
"""Episodes of a step."""

_SUPPORT = 6
"""At most so many examples are the support of another one."""

_SIDE = 128
"""Input size of the episodes."""

_EMPTY_QUERIES = 0.4
"""Share of the episodes whose query is an example without the label, if there are such."""

_OBJECT_CROPS = 0.4
"""Share of the episodes that show crops around the objects, as the crop stages do."""

_PARTS = 0.7
"""Share of the other episodes that show parts at the scale of the full-image stage, if that is
finer than the input."""


@dataclass(frozen=True, slots=True)
class Episodes:
    """T episodes of one size s.

    Attributes
    ----------
    query : Tensor, (T, C, s, s)
    target : Tensor, (T, 1, s, s)
    images : Tensor, (T, K, C, s, s)
        Of the support.
    masks : Tensor, (T, K, 1, s, s)
    """

    query: Tensor
    target: Tensor
    images: Tensor
    masks: Tensor


def can_fine_tune(examples: Examples) -> bool:
    """Return whether the examples of some label make episodes."""
    return any(_makes_episodes(masks) for masks in examples.masks_by_label())


def fine_tune(
    runner: InContextRunner, examples: Examples, timer: StageTimer
) -> Generator[Progress, None, InContextRunner]:
    """Fine-tune a copy of the in-context model, step by step; the runner given stays as it is.

    What is drawn at random depends on the recipe's seed alone.

    Parameters
    ----------
    runner : InContextRunner
    examples : Examples
        For which `can_fine_tune` is true.
    timer : StageTimer

    Returns
    -------
    InContextRunner
        With the fine-tuned network.
    """
    rng = np.random.default_rng(runner.recipe.seed)
    sampler = EpisodeSampler.of(runner, examples.without_unknown())
    with timer.stage("fine_tune"), torch.inference_mode(False), torch.enable_grad():
        # a copy: other tasks use the same network
        network = copy.deepcopy(cast(nn.Module, runner.network)).requires_grad_(True)
        optimiser = Adam(list(network.parameters()))
    tuned = replace(runner, network=cast(InContextNetwork, network))
    # float16 is too narrow for gradients
    training = replace(tuned, dtype=torch.float32) if runner.dtype == torch.float16 else tuned
    schedule = schedule_for(sparing=runner.recipe.sparing)
    for step in range(schedule.steps):
        message = f"Fine-tuning on the examples: {step + 1} of {schedule.steps}"
        yield Progress(
            "fine_tune",
            message,
            len(examples),
            len(examples),
        )
        with timer.stage("fine_tune"), torch.inference_mode(False), torch.enable_grad():
            _descend(
                training,
                sampler.draw(rng),
                optimiser,
                schedule.rate(step),
            )
    # it is only run from here on
    network.requires_grad_(False)
    return tuned


def schedule_for(*, sparing: bool) -> Schedule:
    """Return the steps for an image, or for a stack."""
    return SPARING if sparing else FULL


def _descend(runner: InContextRunner, episodes: Episodes, optimiser: Adam, rate: float) -> None:
    """Take one step of gradient descent; none where gradients are not finite."""
    network = cast(nn.Module, runner.network)
    context = runner.encode(episodes.images, episodes.masks)
    logits = runner.logits(context, episodes.query, None)
    segmentation_loss(logits, episodes.target).backward()
    # two episodes a step are noisy: one of them must not throw the network off
    norm = nn.utils.clip_grad_norm_(network.parameters(), 1)
    if norm.isfinite():
        optimiser.step(rate)
    # also where the step was left out, or its gradients would be added to the next ones
    network.zero_grad()


@dataclass(frozen=True, slots=True)
class EpisodeSampler:
    """Draws episodes from a support set.

    Attributes
    ----------
    runner : InContextRunner
        Makes the network's inputs.
    images : tuple of ndarray, (H, W, 3), uint8
    labels : tuple of Masks
        Of the labels that make episodes.
    full_image_side : int
        Input size of the full-image stage.
    """

    runner: InContextRunner
    images: tuple[NDArray[np.uint8], ...]
    labels: tuple[Masks, ...]
    full_image_side: int

    @classmethod
    def of(cls, runner: InContextRunner, examples: Examples) -> EpisodeSampler:
        """Make the sampler of a support set."""
        masks = examples.masks_by_label()
        side = full_image_side(
            runner.network.image_sizes,
            masks,
            runner.recipe,
        )
        labels = tuple(of_label for of_label in masks if _makes_episodes(of_label))
        return cls(runner, examples.images, labels, side)

    def draw(self, rng: Rng) -> Episodes:
        """Draw the episodes of a step: label, query and support, crops, and augmentation."""
        images = []
        masks = []
        for _ in range(_EPISODES):
            of_label = self.labels[int(rng.integers(len(self.labels)))]
            pairs = draw_pairs(rng, of_label)
            inputs, targets = self._inputs(rng, pairs, of_label)
            transform = draw_transform(rng, inputs)
            inputs, targets = transform.apply(inputs, targets)
            images.append(inputs)
            masks.append(targets)
        # the query comes first among the pairs of an episode
        every = torch.stack(images)
        truth = torch.stack(masks)
        return Episodes(
            every[:, 0],
            truth[:, 0],
            every[:, 1:],
            truth[:, 1:],
        )

    def _inputs(self, rng: Rng, pairs: Sequence[int], masks: Masks) -> tuple[Tensor, Tensor]:
        """Crop pairs to the network's inputs, images (n, C, s, s) and masks (n, 1, s, s)."""
        shown = [masks[pair] for pair in pairs]
        side = min(_SIDE, self.full_image_side)
        inputs = []
        targets = []
        for pair, mask, crop in zip(pairs, shown, self.draw_crops(rng, shown), strict=True):
            inputs.append(self.runner.input_of(self.images[pair][crop], side))
            targets.append(resize_mask(mask[crop], (side, side)))
        return torch.cat(inputs), torch.cat(targets).to(self.runner.device)

    def draw_crops(self, rng: Rng, masks: Sequence[NDArray[np.bool_]]) -> list[PixelSlices]:
        """Draw what is shown of each pair: a crop around its object, a finer part, or all."""
        wanted = self.runner.recipe.coarse_to_fine and all(mask.any() for mask in masks)
        # crop stages see such crops, and only where the recipe has crop stages
        if wanted and rng.random() < _OBJECT_CROPS:
            crops = draw_object_crops(rng, masks)
            if crops:
                return crops
        if self.full_image_side > _SIDE and rng.random() < _PARTS:
            size = draw_part_size(rng, _SIDE, self.full_image_side)
            return [draw_part(rng, mask, size) for mask in masks]
        whole = []
        for mask in masks:
            height, width = mask.shape
            whole.append((slice(0, height), slice(0, width)))
        return whole


def draw_pairs(rng: Rng, masks: Masks) -> list[int]:
    """Draw the query and its support, of which one holds the label.

    That is the query itself, if no other does.
    """
    holders = rng.permutation(_holders(masks)).tolist()
    query = holders[0]
    # a support without the label would teach to ignore the support
    known = holders[min(1, len(holders) - 1)]
    empty = [pair for pair in range(len(masks)) if pair not in holders]
    if empty and rng.random() < _EMPTY_QUERIES:
        query = int(rng.choice(empty))
    order = rng.permutation(len(masks)).tolist()
    others = [pair for pair in order if pair not in (query, known)]
    # as many for each label: the episodes of a step are computed together
    support = max(1, min(_SUPPORT, len(masks) - 1))
    return [query, known, *others[: support - 1]]


def _holders(masks: Masks) -> list[int]:
    return [pair for pair, mask in enumerate(masks) if mask.any()]


def _makes_episodes(masks: Masks) -> bool:
    """Return whether two examples hold the label, or one shows something thin."""
    holders = _holders(masks)
    if len(holders) == 1:
        # one compact object would be its own support: nothing but copying is learnt from it
        return is_thin(masks[holders[0]])
    return len(holders) > 1
