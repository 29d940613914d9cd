"""The fusion of "auto" mode: what each part says, how far SAM is trusted, where the foreground is cut."""

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
    STARTER_WEIGHTS,
    LogOdds,
    combine,
    evidence_of,
    starter_weights,
)
from napari_iclsam.core.fusion.outputs import StageOutputs
from napari_iclsam.core.fusion.published import Weights
from napari_iclsam.core.fusion.threshold import STEP, best_bin, cut_of, histogram

ICL = Weights(icl=1, sam=0)


def disc(radius: float, centre: float = 32) -> Tensor:
    """Log-odds of a soft disc, (1, 1, 64, 64)."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    return (radius - torch.hypot(y - centre, x - 32))[None, None]


def maps(confidence: Tensor, icl: Tensor, sam: Tensor) -> StageOutputs:
    """StageOutputs of one label without boxes, of which the in-context model saw the whole image alone."""
    return StageOutputs(confidence, icl, sam, (np.zeros((0, 4), np.int64),), icl)


def evidence(icl: Tensor, sam: Tensor, trust: float = 1) -> LogOdds:
    return LogOdds(icl, sam, torch.zeros_like(icl), torch.full((len(icl),), float(trust)))


def expected_dice(probabilities: NDArray[np.float64], cut: float) -> float:
    inside = probabilities >= cut
    return float(2 * probabilities[inside].sum() / (inside.sum() + probabilities.sum()))


@given(hnp.arrays(np.float32, 300, elements=st.floats(-8, 8, width=32)), st.floats(-6, 6))
def test_no_cut_promises_a_better_dice(values: NDArray[np.float32], other: float) -> None:
    probabilities = 1 / (1 + np.exp(-values.astype(float)))
    cut = float(cut_of(best_bin(histogram(torch.from_numpy(values)[None]))))
    if cut > -1.4 + STEP:  # the least cut is not undercut, even where that would be better
        best = expected_dice(probabilities, 1 / (1 + np.exp(-cut)))
        assert (
            best >= expected_dice(probabilities, 1 / (1 + np.exp(-other))) - 0.03
        )  # a bin is 0.05 wide


def test_what_is_sure_is_cut_where_it_changes() -> None:
    sure = torch.where(disc(20) > 0, 6.0, -6.0)
    assert torch.equal(combine(evidence(sure, sure), [Weights(0.5, 0.5)]) > 0, disc(20) > 0)


def test_what_is_doubtful_is_marked_rather_than_missed() -> None:
    doubtful = torch.where(disc(20) > 0, -0.5, -6.0)
    assert torch.equal(combine(evidence(doubtful, doubtful), [ICL]) > 0, disc(20) > 0)


@pytest.mark.parametrize("odds", [-1.5, -3.0, -7.0])
def test_where_nothing_is_likely_nothing_is_marked(odds: float) -> None:
    flat = torch.full((1, 1, 64, 64), odds)
    assert not (combine(evidence(flat, flat), [ICL]) > 0).any()


def test_an_offset_leaves_less_of_the_foreground() -> None:
    areas = [
        int((combine(evidence(disc(20), disc(20)), [Weights(1, 0, offset=o)]) > 0).sum())
        for o in (-2.0, 0.0, 2.0)
    ]
    assert areas[0] > areas[1] > areas[2] > 0


def test_each_label_has_its_own_weights_and_its_own_cut() -> None:
    icl, sam = torch.cat([disc(20), disc(10)]), torch.cat([disc(10), disc(20)])
    both = combine(evidence(icl, sam), [ICL, Weights(icl=0, sam=1)])
    assert torch.allclose(both[0], both[1])
    assert torch.equal(both[:1], combine(evidence(disc(20), disc(10)), [ICL]))


def test_sam_without_trust_changes_nothing() -> None:
    icl, weights = disc(20), [Weights(0.25, 0.75, gate_by_agreement=True)]
    alone = combine(evidence(icl, icl), weights)
    assert torch.equal(combine(evidence(icl, disc(5), trust=0), weights), alone)
    assert not torch.allclose(combine(evidence(icl, disc(5)), weights), alone)


def test_sam_that_is_not_doubted_counts_whatever_its_mask() -> None:
    found = combine(evidence(disc(20), disc(5), trust=0), [Weights(0, 1)])
    assert torch.equal(found, combine(evidence(disc(5), disc(5)), [ICL]))


@pytest.mark.parametrize(("centre", "trust"), [(32, 1.0), (36, 0.5), (60, 0.0)])
def test_sam_is_trusted_as_far_as_its_mask_is_the_in_context_model_s(
    centre: float, trust: float
) -> None:
    found = evidence_of(maps(disc(20), torch.sigmoid(disc(20)), disc(20, centre)))
    assert found.trust.item() == pytest.approx(trust, abs=0.3)


def test_masks_of_nothing_are_no_agreement() -> None:
    nothing = torch.full((1, 1, 64, 64), 0.1)
    assert evidence_of(maps(nothing, nothing, nothing - 1)).trust.item() == 0


def test_evidence_is_finite_where_a_part_is_certain() -> None:
    certain = (disc(20) > 0).float()
    found = evidence_of(maps(certain, certain, 1000 * certain - 500))
    assert all(torch.isfinite(part).all() for part in (found.icl, found.sam, found.confidence))
    assert torch.isfinite(combine(found, [Weights(0.3, 0.3, 0.4, 2.5)])).all()


def lines(width: int, side: int) -> NDArray[np.bool_]:
    """Stripes of some width, four times as far apart."""
    rows = np.arange(side) % (5 * width) < width
    return np.repeat(rows[:, None], side, axis=1)


@pytest.mark.parametrize("side", [128, 256, 512])
def test_what_one_example_shows_to_be_thin_is_cut_later(side: int) -> None:
    thin, thick = lines(side // 64, side), lines(side // 16, side)
    nothing = np.zeros_like(thin)
    assert starter_weights([thin]) == replace(STARTER_WEIGHTS, offset=0.5)
    assert starter_weights([nothing, thin]).offset == 0.5
    assert starter_weights([thick]) == STARTER_WEIGHTS
    assert starter_weights([thin, thin]) == STARTER_WEIGHTS
    assert starter_weights([nothing]) == STARTER_WEIGHTS
    assert starter_weights([~nothing]) == STARTER_WEIGHTS
