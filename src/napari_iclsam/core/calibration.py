"""What the examples say of each other: how far to trust each part of the method, and what quality to expect.

Which of the in-context model and SAM is better depends on the data (Hu et al. 2024, sec. 4); the support set can tell,
since each of its images can be segmented by the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.evaluation import Score
from napari_iclsam.core.fusion import Weights, confidence_score, icl_score, sam_score
from napari_iclsam.core.geometry import resize_mask
from napari_iclsam.core.method import Maps

FOLDS = 4
"""Parts of the support set that are held out one after the other."""

HELD_OUT = 12
"""At most so many examples are segmented by the others."""

_SIDE = 256
"""Maps are compared at the size of the in-context model's, but at this size at most."""

_PRIOR = 0.02
"""Dice that weights far from the default must gain for each unit of distance."""

_STEPS = 4
"""Weights are searched in steps of one over this."""

_OFFSETS = (-0.5, -0.25, 0.0, 0.25, 0.5)


@dataclass(frozen=True, slots=True)
class Case:
    """An example segmented by others: scores of L labels, (L, n) each, and the truth.

    Attributes
    ----------
    icl, sam, confidence : Tensor, (L, n)
        Scores as the fusion takes them, at reduced size.
    truth : Tensor, (L, n), bool
    """

    icl: Tensor
    sam: Tensor
    confidence: Tensor
    truth: Tensor


def case_of(maps: Maps, masks: NDArray[np.bool_]) -> Case:
    """Reduce the maps of an example and its masks (L, H, W) to what the search needs."""
    size, side = (maps.sam.shape[-2], maps.sam.shape[-1]), min(maps.icl.shape[-1], _SIDE)
    scores = (icl_score(maps.icl, size), sam_score(maps.sam), confidence_score(maps.confidence))
    icl, sam, confidence = (F.interpolate(s, (side, side), mode="bilinear", antialias=True).flatten(1) for s in scores)
    truth = torch.cat([resize_mask(m, (side, side)) for m in masks]).flatten(1) > 0.5
    return Case(icl, sam, confidence, truth.to(icl.device))


def folds(count: int) -> list[list[int]]:
    """Split ``count`` examples into parts to hold out, at most `HELD_OUT` in all, evenly spread over the set."""
    chosen = np.unique(np.linspace(0, count - 1, min(count, HELD_OUT)).round().astype(int))
    parts = min(FOLDS, len(chosen))
    return [chosen[start::parts].tolist() for start in range(parts)]


def choose_weights(cases: Sequence[Case], label: int, default: Weights) -> Weights:
    """Return the weights under which the examples segment each other best.

    The mean Dice decides, less a small price for the distance from the default. Of a label that fewer than two examples
    hold, the default is returned.

    Parameters
    ----------
    cases : sequence of Case
    label : int
        Index of the label in the cases.
    default : Weights
    """
    known = [case for case in cases if case.truth[label].any()]
    if len(known) < 2:
        return default
    offsets = _OFFSETS if len(known) >= 4 else (0.0,)
    candidates = [default, *(_mix(parts, offset) for parts in _simplex(_STEPS) for offset in offsets)]
    return max(candidates, key=lambda w: _mean_dice(known, label, w) - _PRIOR * _distance(w, default))


def expected(cases: Sequence[Case], label: int, weights: Weights) -> Score | None:
    """Return the mean Dice of each stage over the examples that hold a label; None if none does."""
    known = [case for case in cases if case.truth[label].any()]
    if not known:
        return None
    return Score(
        icl=_mean_dice(known, label, Weights(icl=1, sam=0)),
        sam=_mean_dice(known, label, Weights(icl=0, sam=1)),
        fused=_mean_dice(known, label, weights),
        examples=len(known),
    )


def _mean_dice(cases: Sequence[Case], label: int, weights: Weights) -> float:
    return float(np.mean([_dice(case, label, weights) for case in cases]))


def _dice(case: Case, label: int, weights: Weights) -> float:
    score = weights.icl * case.icl[label] + weights.sam * case.sam[label] + weights.confidence * case.confidence[label]
    found, truth = score + weights.offset > 0, case.truth[label]
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()).clamp_min(1))


def _simplex(steps: int) -> list[tuple[float, float, float]]:
    grid = itertools.product(range(steps + 1), repeat=2)
    return [(a / steps, b / steps, (steps - a - b) / steps) for a, b in grid if a + b <= steps]


def _mix(parts: tuple[float, float, float], offset: float) -> Weights:
    return Weights(icl=parts[0], sam=parts[1], confidence=parts[2], offset=offset)


def _distance(a: Weights, b: Weights) -> float:
    pairs = ((a.icl, b.icl), (a.sam, b.sam), (a.confidence, b.confidence), (a.offset, b.offset))
    return sum(abs(x - y) for x, y in pairs)
