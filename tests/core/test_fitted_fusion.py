"""Masks count in tiles where they gain much, and in stacks where they are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_iclsam.core.fitted_fusion import FittedFusion, in_context_alone, masks_gain_much
from napari_iclsam.core.fitting import counts_least
from napari_iclsam.core.fusion.held_out import HeldOut
from napari_iclsam.core.fusion.log_odds import LogOdds
from napari_iclsam.core.fusion.weights import FusionWeights, Kept
from napari_iclsam.core.metrics import StageScores
from napari_iclsam.core.recipe import AUTO, PAPER

FUSED = FusionWeights((0.5, 0.5, 0.0, 0.25))
STACK = replace(AUTO, sparing=True)


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


def unknown() -> FittedFusion:
    return FittedFusion((FUSED,), {}, (0.0,), Kept((0,)), (-1.0,), (None,))


def test_the_in_context_model_alone_is_scored_anew() -> None:
    fusion = in_context_alone(fitted(0.85, 0.88), held_out(4), (3,))
    assert not fusion.uses_masks
    assert fusion.weights == (FusionWeights((1.0, 0.0, 0.0)),)
    assert fusion.kept == Kept((0,), pixels=False)
    assert fusion.scores[3].fused == pytest.approx(1.0)


def test_without_held_out_examples_the_in_context_model_has_no_scores() -> None:
    no_cases: Sequence[HeldOut] = ()
    fusion = in_context_alone(unknown(), no_cases, (3,))
    assert not fusion.uses_masks
    assert not fusion.scores


def test_masks_gain_much_in_tiles_or_nothing_is_known() -> None:
    assert not masks_gain_much(fitted(0.85, 0.88))
    assert masks_gain_much(fitted(0.7, 0.88))
    assert masks_gain_much(unknown())


@pytest.mark.parametrize(("fused", "least"), [(0.3, True), (0.6, True), (0.61, False)])
def test_in_a_stack_the_2d_method_counts_least_where_it_fails_on_held_out_planes(
    fused: float, least: bool
) -> None:
    assert counts_least(STACK, fitted(0.2, fused)) is least


def test_in_a_stack_of_one_labelled_plane_the_2d_method_counts_least() -> None:
    assert counts_least(STACK, unknown())


def test_what_is_no_stack_of_whole_planes_and_the_published_method_are_as_they_were() -> None:
    assert not counts_least(AUTO, fitted(0.2, 0.3))
    assert not counts_least(replace(PAPER, sparing=True), unknown())
    assert not counts_least(replace(STACK, in_tiles=True), fitted(0.2, 0.3))
