"""Synthetic segmentation tasks without end.

Families of scenes, drawn and passed through an instrument.

A task is a draw of geometry, appearance and instrument; its images are subjects that differ in
shape, place and shade.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from training import lines, objects, regions
from training.acquisition import acquire
from training.scene import Scenes

FAMILIES: dict[str, tuple[Callable[[np.random.Generator, int, int], Scenes], float]] = {
    "anatomy": (regions.anatomy, 0.14),
    "organs": (regions.organs, 0.18),
    "lesions": (regions.lesions, 0.10),
    "layers": (regions.layers, 0.06),
    "patterns": (regions.patterns, 0.05),
    "surface": (regions.surface, 0.10),
    "cells": (objects.cells, 0.09),
    "smear": (objects.smear, 0.03),
    "glands": (objects.glands, 0.05),
    "shapes": (objects.shapes, 0.04),
    "vessels": (lines.vessels, 0.06),
    "fundus": (lines.fundus, 0.04),
    "membranes": (lines.membranes, 0.04),
    "fibres": (lines.fibres, 0.02),
}
"""What draws each family, and its share of the tasks."""


def draw_task(rng: np.random.Generator, size: int, count: int, family: str | None = None) -> Scenes:
    """Draw the images of one task.

    Parameters
    ----------
    rng : numpy.random.Generator
        Everything random comes from it.
    size : int
        Height and width in pixels; the families are made for 64 and more.
    count : int
        Images (subjects) of the task.
    family : str, optional
        One of `FAMILIES`; by default drawn by share.

    Raises
    ------
    ValueError
        If the family is unknown, the size below 16, or the count below 1.
    """
    if family is not None and family not in FAMILIES:
        raise ValueError(f"expected one of {', '.join(FAMILIES)}, got the family {family!r}")
    if size < 16 or count < 1:
        raise ValueError(
            f"expected a size of at least 16 and a count of at least 1, got {size} and {count}"
        )
    if family is None:
        shares = np.array([share for _, share in FAMILIES.values()])
        family = str(rng.choice(list(FAMILIES), p=shares / shares.sum()))
    scenes = FAMILIES[family][0](rng, size, count)
    while scenes.labels.min() == scenes.labels.max():  # one region swallowed the others
        scenes = FAMILIES[family][0](rng, size, count)
    return replace(scenes, images=acquire(rng, scenes.images))
