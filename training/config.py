"""Every number of the in-context model's training, in one frozen dataclass."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def settings_of(entries: Sequence[str]) -> dict[str, Any]:
    """Read settings as the command lines take them: NAME=VALUE each, the value as JSON."""
    return {name: json.loads(value) for name, value in (entry.split("=", 1) for entry in entries)}


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the training.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    budget : float
        Work a step: a batch of T tasks with S supports is chosen so that T (S + 2) images of 128 x
        128 is about this; of larger images there are as many fewer.
    sizes : tuple of (int, float)
        Heights and widths in pixels, each with how often it is drawn.
    """

    steps: int
    budget: float
    sizes: tuple[tuple[int, float], ...] = ((128, 1.0),)


@dataclass(frozen=True, slots=True)
class IclConfig:
    """Settings of `training.train_icl`.

    Attributes
    ----------
    data, run : Path
        Folder of the training sets; folder of checkpoints, log and cached tasks (outside the
        repository).
    stages : tuple of Stage
        One after the other, small images first.
    minutes : float
        If not 0, the training takes so long, and the rate follows the time spent training instead
        of the steps.
    supports, support_weights : tuple
        Sizes of the support set and how often each is drawn.
    real : float
        Share of tasks from real images; the others are synthetic.
    parts : float
        Share of tasks that ask for a part of a single real image in changed copies of it; see
        `training.parts`.
    closer : float
        Share of tasks that show crops around the foreground, where that is possible, as the crop
        stages do.
    pools : tuple of (int, int, float)
        Synthetic tasks are drawn once and kept on disk: size in pixels and number of the images of
        a task, and how many of such tasks there are for one of the first kind. A batch takes the
        smallest that are as large as its images.
    pool_start, pool_growth, pool_tasks : int, float, int
        Synthetic tasks at step 0, more of them a step, and their largest number.
    learning_rate, weight_decay, clip : float
        Peak rate, decoupled decay, largest norm of the gradient.
    warmup : int
        Steps of linear rise.
    decay_share : float
        Last share of all steps, over which the rate falls linearly to zero.
    similarity_loss : float
        Weight of the similarity's own cross-entropy.
    skip_loss : float
        A step with a larger loss is skipped.
    average : float
        Factor of the exponential average of the weights, which is what is validated and exported.
    held_out : float
        Share of subjects of each real set that is kept for validation.
    seed : int
        Everything random in training derives from it and from the step.
    validation_seed : int
        Held-out subjects and validation tasks derive from it alone, so that runs of other seeds are
        comparable, and a run that begins with the weights of another is validated on subjects that
        neither has seen.
    checkpoint_every, validate_every : int
        Steps.
    merge_steps, merge_tasks : int
        Of `training.train_merge`: optimiser steps, and tasks of a step.
    merge_sizes : tuple of int
        Sizes of its images, each as often as the others.
    merge_rate : float
        Its peak learning rate, which falls linearly to zero.
    """

    data: Path
    run: Path
    stages: tuple[Stage, ...] = (
        Stage(5000, 256, ((64, 0.1), (128, 0.45), (192, 0.15), (256, 0.2), (384, 0.1))),
    )
    minutes: float = 0.0
    supports: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32)
    support_weights: tuple[float, ...] = (
        0.14,
        0.16,
        0.14,
        0.14,
        0.08,
        0.08,
        0.12,
        0.06,
        0.05,
        0.02,
        0.01,
    )
    real: float = 0.4
    parts: float = 0.12
    closer: float = 0.25
    pools: tuple[tuple[int, int, float], ...] = ((128, 20, 1.0), (256, 10, 0.5), (384, 8, 0.25))
    pool_start: int = 1500
    pool_growth: float = 1.0
    pool_tasks: int = 20000
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.02
    clip: float = 1.0
    warmup: int = 200
    decay_share: float = 0.45
    similarity_loss: float = 0.5
    skip_loss: float = 6.0
    average: float = 0.9985
    held_out: float = 0.2
    seed: int = 1
    validation_seed: int = 1
    checkpoint_every: int = 100
    validate_every: int = 300
    merge_steps: int = 600
    merge_tasks: int = 2
    merge_sizes: tuple[int, ...] = (128, 256, 384)
    merge_rate: float = 3e-3
    set_weights: dict[str, float] = field(
        default_factory=lambda: {
            "vocalfolds": 2.0,
            "drosophila_ovary": 0.4,
            "drosophila_disc": 0.6,
            "cxr_lungs": 0.7,
        }
    )

    @property
    def steps(self) -> int:
        """Return the steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> Stage:
        """Return the stage that a step belongs to."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]
