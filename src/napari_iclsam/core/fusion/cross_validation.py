"""What the examples say of each other: how far to trust each part of the method, and what quality to expect.

Which of the in-context model and SAM is better depends on the data (Hu et al. 2024, sec. 4); the support set can tell,
since each of its images can be segmented by the others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.fusion.log_odds import Evidence, coefficients, evidence_of
from napari_iclsam.core.fusion.published import Weights
from napari_iclsam.core.fusion.threshold import STEP, best_bin, from_bin_on, histogram
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.quality.dice_estimate import correction
from napari_iclsam.core.quality.leave_one_out import Score
from napari_iclsam.core.refinement.sam import Maps

FOLDS = 4
"""Parts of the support set that are held out one after the other."""

HELD_OUT = 12
"""At most so many examples are segmented by the others."""

_POINTS = 128 * 128
"""About so many pixels of each example are compared, on a lattice."""

_PRICE = 0.01
"""Dice that weights far from the default must gain for each unit of distance."""

_LEEWAY = 0.01
"""Dice by which weights may be worse than the best for a share of 1 / e of its say."""

_QUARTERS = [(a / 4, b / 4, (4 - a - b) / 4) for a in range(5) for b in range(5 - a)]
_SHARPNESS = (0.5, 0.7, 1.0, 1.5, 2.5)
_OFFSETS = (0.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5)


@dataclass(frozen=True, slots=True)
class Case:
    """An example segmented by others, at n of its pixels: what each part says of L labels, and the truth.

    Attributes
    ----------
    evidence : Evidence
        (L, n) each.
    icl_alone : Tensor, (L, n), bool
        What the in-context model alone finds.
    truth : Tensor, (L, n), bool
    """

    evidence: Evidence
    icl_alone: Tensor
    truth: Tensor


def case_of(maps: Maps, masks: NDArray[np.bool_]) -> Case:
    """Reduce the maps of an example and its masks (L, H, W) to what the search needs."""
    evidence = evidence_of(maps)
    alone = resize(maps.icl_alone, (masks.shape[1], masks.shape[2])) > 0.5
    step = math.ceil(math.sqrt(masks[0].size / _POINTS))
    truth = torch.from_numpy(np.ascontiguousarray(masks)).to(evidence.icl.device)[:, None]
    icl, sam, confidence, alone, truth = (
        x[..., step // 2 :: step, step // 2 :: step].flatten(1)
        for x in (evidence.icl, evidence.sam, evidence.confidence, alone, truth)
    )
    return Case(Evidence(icl, sam, confidence, evidence.trust), alone, truth)


def folds(count: int) -> list[list[int]]:
    """Split ``count`` examples into parts to hold out, at most `HELD_OUT` in all, evenly spread over the set."""
    chosen = np.unique(np.linspace(0, count - 1, min(count, HELD_OUT)).round().astype(int))
    parts = min(FOLDS, len(chosen))
    return [chosen[start::parts].tolist() for start in range(parts)]


def choose_weights(cases: Sequence[Case], label: int, default: Weights) -> Weights:
    """Return the weights under which the examples segment each other well.

    They are the mean of many, each with a say that grows exponentially with its worth: the mean Dice, less a small
    price for the distance from the default, less the standard error of what it gains over the default: what one example
    gains and another loses is chance. Few examples hardly tell the best from the second best, and the mean errs
    less than either. Of a label that fewer than two examples hold, the default is returned.

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
    offsets = _OFFSETS if len(known) >= 4 else _OFFSETS[:1]
    found = itertools.product(_QUARTERS, _SHARPNESS)
    mixes = [default, *(Weights(*parts, sharpness, doubt_sam=default.doubt_sam) for parts, sharpness in found)]
    dice = torch.stack([_dice_table(case, label, mixes, offsets) for case in known]).flatten(1)
    candidates = [replace(mix, offset=offset) for mix in mixes for offset in offsets]
    gains = dice - dice[:, :1]
    worth = gains.mean(dim=0) - gains.std(dim=0) / math.sqrt(len(known))
    worth -= _PRICE * torch.tensor([_distance(weights, default) for weights in candidates])
    say = torch.softmax(worth.double() / _LEEWAY, dim=0)
    parts = torch.tensor([[w.icl, w.sam, w.confidence, w.offset] for w in candidates], dtype=torch.float64)
    parts[:, :3] *= torch.tensor([w.sharpness for w in candidates], dtype=torch.float64)[:, None]
    icl, sam, confidence, offset = (say @ parts).tolist()
    return replace(default, icl=icl, sam=sam, confidence=confidence, sharpness=1.0, offset=offset)


def expected(cases: Sequence[Case], label: int, weights: Weights) -> Score | None:
    """Return the mean Dice of each stage over the examples that hold a label; None if none does."""
    known = [case for case in cases if case.truth[label].any()]
    if not known:
        return None
    return Score(
        icl=float(np.mean([_dice(case.icl_alone[label], case.truth[label]) for case in known])),
        sam=float(np.mean([_dice(case.evidence.sam[label] > 0, case.truth[label]) for case in known])),
        fused=float(np.mean([_dice_table(case, label, [weights], (weights.offset,)).item() for case in known])),
        examples=len(known),
    )


def correction_of(cases: Sequence[Case], label: int, weights: Weights) -> float:
    """Return how the Dice of the examples that hold a label differs from its estimate; see `correction`."""
    known = [case for case in cases if case.truth[label].any()]
    dice = [_dice_table(case, label, [weights], (weights.offset,)).item() for case in known]
    return correction([case.evidence for case in known], label, dice)


def _dice_table(case: Case, label: int, mixes: Sequence[Weights], offsets: Sequence[float]) -> Tensor:
    """Return the Dice of one label under each mix and, instead of its own, each offset from the best cut, (R, O).

    The mixes are of one mind about `Weights.doubt_sam`.
    """
    odds = coefficients(mixes, case.evidence.icl) @ case.evidence.parts(label, doubt_sam=mixes[0].doubt_sam)
    counts, hits = histogram(odds), histogram(odds, case.truth[label])
    found, right = from_bin_on(counts), from_bin_on(hits)
    dice = 2 * right / (found + right[:, :1])
    shifts = torch.tensor([round(offset / STEP) for offset in offsets], device=dice.device)
    return dice.gather(1, (best_bin(counts)[:, None] + shifts).clamp(0, dice.shape[1] - 1))


def _dice(found: Tensor, truth: Tensor) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def _distance(a: Weights, b: Weights) -> float:
    parts = abs(a.icl - b.icl) + abs(a.sam - b.sam) + abs(a.confidence - b.confidence)
    return parts + 0.5 * abs(math.log(a.sharpness / b.sharpness)) + abs(a.offset - b.offset)
