"""What the examples say of each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_iclsam.core.calibration import HELD_OUT, Case, case_of, choose_weights, expected, folds
from napari_iclsam.core.fusion import Weights
from napari_iclsam.core.method import Maps

DEFAULT = Weights(icl=0.5, sam=0.5)


def cases(count: int, *, good: str) -> list[Case]:
    """Examples of which one part is right everywhere and the others are noise."""
    rng = np.random.default_rng(count)
    made = []
    for _ in range(count):
        truth = torch.from_numpy(rng.random((1, 400)) < 0.3)
        scores = {name: torch.from_numpy(rng.standard_normal((1, 400))) for name in ("icl", "sam", "confidence")}
        scores[good] = torch.where(truth, 1.0, -1.0).double()
        made.append(Case(**scores, truth=truth))
    return made


@pytest.mark.parametrize("good", ["icl", "sam", "confidence"])
def test_the_part_that_is_right_gets_the_largest_weight(good: str) -> None:
    weights = choose_weights(cases(3, good=good), 0, DEFAULT)
    parts = {"icl": weights.icl, "sam": weights.sam, "confidence": weights.confidence}
    assert max(parts, key=lambda name: parts[name]) == good
    score = expected(cases(3, good=good), 0, weights)
    assert score is not None
    assert score.fused > 0.95


def test_a_shifted_score_gets_its_threshold_back() -> None:
    generator = torch.Generator().manual_seed(0)
    shifted = [c.icl + 0.9 + 0.3 * torch.randn(c.icl.shape, generator=generator) for c in cases(5, good="icl")]
    same = [Case(s, s, s, c.truth) for s, c in zip(shifted, cases(5, good="icl"), strict=True)]
    weights = choose_weights(same, 0, DEFAULT)
    assert weights.offset < 0
    better, worse = expected(same, 0, weights), expected(same, 0, DEFAULT)
    assert better is not None
    assert worse is not None
    assert better.fused > worse.fused


def test_one_example_of_a_label_keeps_the_default() -> None:
    some = cases(3, good="sam")
    empty = [Case(c.icl, c.sam, c.confidence, torch.zeros_like(c.truth)) for c in some[1:]]
    assert choose_weights([some[0], *empty], 0, DEFAULT) == DEFAULT


def test_no_example_of_a_label_has_no_expectation() -> None:
    empty = [Case(c.icl, c.sam, c.confidence, torch.zeros_like(c.truth)) for c in cases(2, good="sam")]
    assert expected(empty, 0, DEFAULT) is None


def test_equally_good_weights_leave_the_default() -> None:
    same = [Case(c.icl, c.icl, c.icl, c.truth) for c in cases(4, good="icl")]
    assert choose_weights(same, 0, DEFAULT) == DEFAULT


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 12, 13, 64])
def test_folds_hold_out_each_example_at_most_once(count: int) -> None:
    parts = folds(count)
    held_out = [pair for part in parts for pair in part]
    assert len(set(held_out)) == len(held_out) == min(count, HELD_OUT)
    assert all(0 <= pair < count for pair in held_out)
    assert all(len(part) < count for part in parts) or count == 1


def test_the_maps_of_an_example_become_scores_beside_its_masks() -> None:
    mask = np.zeros((1, 60, 90), bool)
    mask[0, 20:40, 30:60] = True
    right = torch.from_numpy(mask)[None].float()
    case = case_of(Maps(right, right, 4 * right - 2, (np.zeros((0, 4), np.int64),)), mask)
    assert case.truth.float().mean().item() == pytest.approx(mask.mean(), abs=0.01)
    for score in (case.icl, case.sam, case.confidence):
        assert ((score > 0) == case.truth).float().mean() > 0.97
