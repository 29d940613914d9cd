"""The fusion of "auto" mode: log-odds of each part, gating by agreement, and the threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.fusion.log_odds import (
    LogOdds,
    foreground_log_odds,
    fuse_log_odds,
    log_odds_of,
    shifted_for_thin,
    with_pixels_for_thin,
)
from napari_iclsam.core.fusion.outputs import ExpertOutput, StageOutputs
from napari_iclsam.core.fusion.threshold import BIN_WIDTH, best_bin, histogram, lower_edge
from napari_iclsam.core.fusion.weights import STARTER_WEIGHTS, FusionWeights

ICL = FusionWeights((1, 0, 0))


def disc(radius: float, centre: float = 32) -> Tensor:
    """Log-odds of a soft disc, (1, 1, 64, 64)."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    return (radius - torch.hypot(y - centre, x - 32))[None, None]


def outputs(confidence: Tensor, icl: Tensor, sam: Tensor) -> StageOutputs:
    """Outputs of one label without boxes, by the full-image stage alone."""
    expert = ExpertOutput(confidence, sam)
    return StageOutputs(icl, (expert,), (np.zeros((0, 4), np.int64),), icl)


def log_odds(icl: Tensor, sam: Tensor, agreement: float = 1) -> LogOdds:
    agreements = torch.ones(3, len(icl))
    agreements[1] = agreement
    return LogOdds(torch.stack([icl, sam, torch.zeros_like(icl)]), agreements)


def expected_dice(probabilities: NDArray[np.float64], threshold: float) -> float:
    inside = probabilities >= threshold
    return float(2 * probabilities[inside].sum() / (inside.sum() + probabilities.sum()))


@given(hnp.arrays(np.float32, 300, elements=st.floats(-8, 8, width=32)), st.floats(-6, 6))
def test_no_threshold_has_a_better_expected_dice(values: NDArray[np.float32], other: float) -> None:
    probabilities = 1 / (1 + np.exp(-values.astype(float)))
    threshold = float(lower_edge(best_bin(histogram(torch.from_numpy(values)[None]))))
    if threshold > -1.4 + BIN_WIDTH:  # the lowest one holds even where a lower one would be better
        best = expected_dice(probabilities, 1 / (1 + np.exp(-threshold)))
        assert (
            best >= expected_dice(probabilities, 1 / (1 + np.exp(-other))) - 0.03
        )  # a bin is 0.05 wide


def test_a_certain_foreground_ends_where_the_log_odds_change_sign() -> None:
    sure = torch.where(disc(20) > 0, 6.0, -6.0)
    assert torch.equal(
        fuse_log_odds(log_odds(sure, sure), [FusionWeights((0.5, 0.5, 0))]) > 0, disc(20) > 0
    )


def test_what_is_doubtful_is_marked_rather_than_missed() -> None:
    doubtful = torch.where(disc(20) > 0, -0.5, -6.0)
    assert torch.equal(fuse_log_odds(log_odds(doubtful, doubtful), [ICL]) > 0, disc(20) > 0)


@pytest.mark.parametrize("odds", [-1.5, -3.0, -7.0])
def test_where_nothing_is_likely_nothing_is_marked(odds: float) -> None:
    flat = torch.full((1, 1, 64, 64), odds)
    assert not (fuse_log_odds(log_odds(flat, flat), [ICL]) > 0).any()


def test_a_higher_threshold_leaves_less_of_the_foreground() -> None:
    odds = log_odds(disc(20), disc(20))
    areas = []
    for shift in (-2.0, 0.0, 2.0):
        fused = fuse_log_odds(odds, [FusionWeights((1, 0, 0), threshold_shift=shift)])
        areas.append(int((fused > 0).sum()))
    assert areas[0] > areas[1] > areas[2] > 0


def test_each_label_has_its_own_weights_and_its_own_threshold() -> None:
    icl, sam = torch.cat([disc(20), disc(10)]), torch.cat([disc(10), disc(20)])
    both = fuse_log_odds(log_odds(icl, sam), [ICL, FusionWeights((0, 1, 0))])
    assert torch.allclose(both[0], both[1])
    assert torch.equal(both[:1], fuse_log_odds(log_odds(disc(20), disc(10)), [ICL]))


def test_sam_without_agreement_changes_nothing_if_gated() -> None:
    icl, weights = disc(20), [FusionWeights((0.25, 0.75, 0), gate_by_agreement=True)]
    alone = fuse_log_odds(log_odds(icl, icl), weights)
    assert torch.equal(fuse_log_odds(log_odds(icl, disc(5), agreement=0), weights), alone)
    assert not torch.allclose(fuse_log_odds(log_odds(icl, disc(5)), weights), alone)


def test_sam_that_is_not_gated_counts_whatever_its_mask() -> None:
    found = fuse_log_odds(log_odds(disc(20), disc(5), agreement=0), [FusionWeights((0, 1, 0))])
    assert torch.equal(found, fuse_log_odds(log_odds(disc(5), disc(5)), [ICL]))


@pytest.mark.parametrize(("centre", "agreement"), [(32, 1.0), (36, 0.5), (60, 0.0)])
def test_agreement_is_how_far_sam_s_mask_is_the_in_context_model_s(
    centre: float, agreement: float
) -> None:
    nothing = torch.zeros_like(disc(20))
    made = outputs(nothing, torch.sigmoid(disc(20)), disc(20, centre))
    found = log_odds_of(made, [0.0]).agreement[:, 0]
    assert found[1].item() == pytest.approx(agreement, abs=0.3)
    assert found[[0, 2]].tolist() == [1, 1]  # no masks


@pytest.mark.parametrize(("centre", "agreement"), [(32, 1.0), (40, 0.5), (60, 0.0)])
def test_or_how_far_it_is_that_of_its_own_confidence_map(centre: float, agreement: float) -> None:
    nothing = torch.zeros_like(disc(20))
    made = outputs(torch.sigmoid(disc(20)), nothing, disc(20, centre))
    found = log_odds_of(made, [0.0]).agreement[1, 0]
    assert found.item() == pytest.approx(agreement, abs=0.3)


def test_a_mask_that_its_map_confirms_counts_though_the_in_context_model_disagrees() -> None:
    there, elsewhere = disc(12, 46), disc(12, 14)
    weights = [FusionWeights((0.25, 0.75, 0.0), gate_by_agreement=True)]

    def found(confidence: Tensor) -> Tensor:
        made = outputs(torch.sigmoid(confidence), torch.sigmoid(elsewhere), there)
        return fuse_log_odds(log_odds_of(made, [0.0]), weights) > 0

    confirmed, doubted = found(there), found(torch.full_like(there, -6.0))
    assert confirmed[0, 0, 46, 32]
    assert not confirmed[0, 0, 14, 32]
    assert doubted[0, 0, 14, 32]
    assert not doubted[0, 0, 46, 32]


def test_each_promptable_model_is_confirmed_by_its_own_map() -> None:
    there, nothing = disc(12, 46), torch.zeros_like(disc(12))
    experts = (ExpertOutput(torch.sigmoid(there), there), ExpertOutput(nothing, there))
    made = StageOutputs(nothing, experts, (np.zeros((0, 4), np.int64),), nothing)
    found = log_odds_of(made, [0.0])
    assert found.parts.shape == (5, 1, 1, 64, 64)
    assert found.agreement[:, 0].tolist() == [1, 1, 1, 0, 1]


def test_masks_of_nothing_are_no_agreement() -> None:
    nothing = torch.full((1, 1, 64, 64), 0.1)
    assert log_odds_of(outputs(nothing, nothing, nothing - 1), [0.0]).agreement[1].item() == 0


def test_log_odds_are_finite_where_a_part_is_certain() -> None:
    certain = (disc(20) > 0).float()
    found = log_odds_of(outputs(certain, certain, 1000 * certain - 500), [0.0])
    assert torch.isfinite(found.parts).all()
    assert torch.isfinite(fuse_log_odds(found, [FusionWeights((0.3, 0.3, 0.4), 2.5)])).all()


def test_a_confidence_map_knows_how_large_the_foreground_is_in_the_examples() -> None:
    masks = np.zeros((2, 40, 50), bool)
    masks[0, :20, :20] = True
    halves = np.concatenate([masks[:1], np.ones((1, 40, 50), bool)])
    shares = foreground_log_odds([masks, halves])
    assert shares == pytest.approx([np.log(0.2 / 0.8), 0.0])
    known = [np.ones(masks.shape[1:], bool)]
    assert foreground_log_odds([masks], known) == foreground_log_odds([masks])
    assert foreground_log_odds([masks])[1] == pytest.approx(np.log(1e-4 / (1 - 1e-4)))
    half = torch.full((2, 1, 8, 8), 0.5)
    made = StageOutputs(half, (ExpertOutput(half, half),) * 2, (), half)
    parts = log_odds_of(made, shares).parts
    for n in (2, 4):
        assert parts[n].amax(dim=(1, 2, 3)).tolist() == pytest.approx(shares, abs=1e-6)
    assert (parts[0] == 0).all()
    assert (parts[1] == 0.5).all()


def lines(width: int, side: int) -> NDArray[np.bool_]:
    """Stripes of some width, four times as far apart."""
    rows = np.arange(side) % (5 * width) < width
    return np.repeat(rows[:, None], side, axis=1)


@pytest.mark.parametrize("side", [128, 256, 512])
def test_a_single_example_of_something_thin_raises_the_threshold(side: int) -> None:
    thin, thick = lines(side // 64, side), lines(side // 16, side)
    nothing = np.zeros_like(thin)
    assert shifted_for_thin(STARTER_WEIGHTS, [thin]) == replace(
        STARTER_WEIGHTS, threshold_shift=0.5
    )
    assert shifted_for_thin(STARTER_WEIGHTS, [nothing, thin]).threshold_shift == 0.5
    assert shifted_for_thin(STARTER_WEIGHTS, [thick]) == STARTER_WEIGHTS
    assert shifted_for_thin(STARTER_WEIGHTS, [thin, thin]) == STARTER_WEIGHTS
    assert shifted_for_thin(STARTER_WEIGHTS, [nothing]) == STARTER_WEIGHTS
    assert shifted_for_thin(STARTER_WEIGHTS, [~nothing]) == STARTER_WEIGHTS


def test_a_single_example_of_something_thin_lets_the_pixel_classifier_count() -> None:
    thin, thick = lines(4, 256), lines(16, 256)
    nothing = np.zeros_like(thin)
    weights = with_pixels_for_thin(STARTER_WEIGHTS, [nothing, thin])
    assert weights.of_pixels == 0.4
    assert sum(weights.parts) == pytest.approx(1)
    assert weights.threshold_shift == 0
    for masks in ([thick], [thin, thin], [nothing]):
        assert with_pixels_for_thin(STARTER_WEIGHTS, masks) == STARTER_WEIGHTS.with_pixels(0)
