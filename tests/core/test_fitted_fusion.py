"""In tiles, masks of promptable models count only where they gain much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from napari_iclsam.core.fitted_fusion import FittedFusion, spare_masks
from napari_iclsam.core.fusion.cross_validation import HeldOut
from napari_iclsam.core.fusion.log_odds import LogOdds
from napari_iclsam.core.fusion.weights import FusionWeights, Kept
from napari_iclsam.core.metrics import StageScores

FUSED = FusionWeights((0.5, 0.5, 0.0, 0.25))


def held_out(count: int) -> list[HeldOut]:
    """Return examples that the in-context model segments rightly and the others do not."""
    rng = np.random.default_rng(0)
    cases = []
    for _ in range(count):
        truth = torch.from_numpy(rng.random((1, 400)) < 0.3)
        right = torch.where(truth, 2.0, -2.0)
        parts = torch.stack([right, -right, -right, -right])
        cases.append(HeldOut(LogOdds(parts, torch.ones(4, 1)), right > 0, truth))
    return cases


def fitted(icl: float, fused: float) -> FittedFusion:
    scores = {3: StageScores(icl=icl, sam=fused, fused=fused, examples=4)}
    return FittedFusion((FUSED,), scores, (0.5,), Kept((0,)), (-1.0,), (None,))


def test_masks_that_gain_little_are_left_out() -> None:
    fusion = spare_masks(fitted(0.85, 0.88), held_out(4), (3,))
    assert not fusion.uses_masks
    assert fusion.weights == (FusionWeights((1.0, 0.0, 0.0)),)
    assert fusion.kept == Kept((0,), pixels=False)
    assert fusion.scores[3].fused == pytest.approx(1.0)


def test_masks_that_gain_much_stay() -> None:
    fusion = fitted(0.7, 0.88)
    assert spare_masks(fusion, held_out(4), (3,)) is fusion
    assert fusion.uses_masks


def test_masks_stay_where_no_example_was_held_out() -> None:
    no_cases: Sequence[HeldOut] = ()
    fusion = FittedFusion((FUSED,), {}, (0.0,), Kept((0,)), (-1.0,), (None,))
    assert spare_masks(fusion, no_cases, (3,)) is fusion
