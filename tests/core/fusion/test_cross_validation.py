"""Cross-validation of the fusion weights on the examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_iclsam.core.fusion.cross_validation import (
    CAREFUL,
    SPARING,
    KeepRule,
    choose_weights,
    cross_validated_scores,
    helpful_parts,
)
from napari_iclsam.core.fusion.held_out import HELD_OUT, HeldOut, folds, held_out
from napari_iclsam.core.fusion.log_odds import LogOdds, fuse_log_odds
from napari_iclsam.core.fusion.outputs import ExpertOutput, StageOutputs
from napari_iclsam.core.fusion.weights import FusionWeights, Kept, default_weights

DEFAULT = FusionWeights((0.5, 0.5, 0.0))
PARTS = ("icl", "sam", "confidence")
TWO = default_weights(["published", "starter"], 4)
BOTH = Kept((0, 1), pixels=False)
SECOND = Kept((1,), pixels=False)


def log_odds(*parts: torch.Tensor) -> LogOdds:
    """Parts of one label that agree."""
    return LogOdds(torch.stack(parts), torch.ones(len(parts), 1, dtype=parts[0].dtype))


def with_agreement(case: HeldOut, agreement: float) -> HeldOut:
    """Say how far SAM's mask is confirmed."""
    agreements = case.log_odds.agreement.clone()
    agreements[1] = agreement
    return replace(case, log_odds=replace(case.log_odds, agreement=agreements))


def cases(count: int, *, good: str) -> list[HeldOut]:
    """Examples of which one part is right everywhere and the others are noise."""
    rng = np.random.default_rng(count)
    made = []
    for _ in range(count):
        truth = torch.from_numpy(rng.random((1, 400)) < 0.3)
        odds = {name: torch.from_numpy(rng.standard_normal((1, 400))) for name in PARTS}
        odds[good] = torch.where(truth, 2.0, -2.0).double()
        made.append(HeldOut(log_odds(*odds.values()), odds["icl"] > 0, truth))
    return made


def same(odds: torch.Tensor, truth: torch.Tensor) -> HeldOut:
    """An example of which all parts say the same."""
    return HeldOut(log_odds(odds, odds, odds), odds > 0, truth)


def without_label(case: HeldOut) -> HeldOut:
    return replace(case, truth=torch.zeros_like(case.truth))


@pytest.mark.parametrize("good", ["icl", "sam", "confidence"])
def test_the_part_that_is_right_gets_the_largest_weight(good: str) -> None:
    weights = choose_weights(cases(3, good=good), 0, DEFAULT)
    parts = dict(zip(PARTS, weights.parts, strict=True))
    assert max(parts, key=lambda name: parts[name]) == good
    score = cross_validated_scores(cases(3, good=good), 0, weights)
    assert score is not None
    assert score.fused > 0.95


@pytest.mark.parametrize("gated", [True, False])
def test_a_sam_that_disagrees_counts_for_nothing_if_it_is_gated_by_agreement(gated: bool) -> None:
    strange = [with_agreement(c, 0) for c in cases(3, good="sam")]
    weights = FusionWeights((0.1, 0.9, 0.0), gate_by_agreement=gated)
    score = cross_validated_scores(strange, 0, weights)
    assert score is not None
    assert score.sam == 1
    assert (score.fused < 0.7) is gated
    assert gated or score.fused > 0.95


@pytest.mark.parametrize("gated", [True, False])
def test_a_gate_that_shuts_out_a_sam_that_is_right_is_left_away(gated: bool) -> None:
    strange = [with_agreement(c, 0) for c in cases(3, good="sam")]
    weights = choose_weights(strange, 0, replace(DEFAULT, gate_by_agreement=gated))
    assert not weights.gate_by_agreement
    score = cross_validated_scores(strange, 0, weights)
    assert score is not None
    assert score.fused > 0.95


@pytest.mark.parametrize("gated", [True, False])
def test_a_gate_that_shuts_out_a_sam_where_it_is_wrong_is_kept_or_added(gated: bool) -> None:
    right = cases(2, good="sam")
    wrong = [with_agreement(c, 0) for c in cases(2, good="icl")]
    weights = choose_weights([*right, *wrong], 0, replace(DEFAULT, gate_by_agreement=gated))
    assert weights.gate_by_agreement
    score = cross_validated_scores([*right, *wrong], 0, weights)
    assert score is not None
    assert score.fused > 0.95


def test_log_odds_that_are_too_high_everywhere_raise_the_threshold() -> None:
    generator = torch.Generator().manual_seed(0)
    shifted = [
        same(c.log_odds.icl + 2.5 + 0.8 * torch.randn(c.truth.shape, generator=generator), c.truth)
        for c in cases(5, good="icl")
    ]
    weights = choose_weights(shifted, 0, DEFAULT)
    assert weights.threshold_shift > 0
    better = cross_validated_scores(shifted, 0, weights)
    worse = cross_validated_scores(shifted, 0, DEFAULT)
    assert better is not None
    assert worse is not None
    assert better.fused > worse.fused


def test_three_examples_do_not_shift_the_threshold() -> None:
    shifted = [same(c.log_odds.icl + 2.5, c.truth) for c in cases(3, good="icl")]
    assert choose_weights(shifted, 0, DEFAULT).threshold_shift == 0


def test_one_example_of_a_label_keeps_the_default() -> None:
    some = cases(3, good="sam")
    assert choose_weights([some[0], *map(without_label, some[1:])], 0, DEFAULT) == DEFAULT


def test_one_example_of_a_label_beside_others_without_it_has_no_score() -> None:
    # the others could not show what to look for: missing it tells nothing of other images
    first, second, third = cases(3, good="sam")
    alone = [first, without_label(second), without_label(third)]
    assert cross_validated_scores(alone, 0, DEFAULT) is None
    assert cross_validated_scores([first, second, without_label(third)], 0, DEFAULT) is not None


def test_a_label_that_no_example_holds_has_no_score() -> None:
    assert (
        cross_validated_scores(list(map(without_label, cases(2, good="sam"))), 0, DEFAULT) is None
    )


def test_equally_good_weights_stay_near_the_default() -> None:
    weights = choose_weights(
        [same(c.log_odds.icl, c.truth) for c in cases(4, good="icl")], 0, DEFAULT
    )
    assert weights.parts[:2] == pytest.approx(DEFAULT.parts[:2], abs=0.05)
    assert weights.parts[2] < 0.7 * DEFAULT.parts[0]
    assert abs(weights.threshold_shift) < 0.5


def test_weights_between_which_the_examples_cannot_tell_are_averaged() -> None:
    alike = [same(c.log_odds.icl, c.truth) for c in cases(4, good="icl")]
    both = []
    for case in alike:
        icl, _, confidence = case.log_odds.parts
        both.append(replace(case, log_odds=log_odds(icl, torch.zeros_like(icl), confidence)))
    weights = choose_weights(both, 0, FusionWeights((0, 1, 0)))
    assert weights.parts[0] > 0.1
    assert weights.parts[2] > 0.1


@pytest.mark.parametrize(
    ("won", "chosen"), [(1, False), (3, True)], ids=["one example gains", "most gain"]
)
def test_what_one_example_gains_is_chance_if_the_others_lose(won: int, chosen: bool) -> None:
    truth, some = cases(4, good="icl"), []
    for n, case in enumerate(truth):
        right = torch.where(case.truth, 3.0, -3.0).double()
        nearly = torch.where(
            torch.rand(right.shape, generator=torch.Generator().manual_seed(n)) < 0.1, -right, right
        )
        confidence, others = (right, -right) if n < won else (nearly, right)
        some.append(HeldOut(log_odds(others, others, confidence), others > 0, case.truth))
    by_confidence = cross_validated_scores(some, 0, FusionWeights((0, 0, 1)))
    by_default = cross_validated_scores(some, 0, DEFAULT)
    assert by_confidence.fused > by_default.fused
    weights = choose_weights(some, 0, DEFAULT)
    icl, sam, confidence = weights.parts
    assert (confidence > icl + sam) is chosen


def test_the_fused_score_is_the_dice_of_the_fused_result() -> None:
    weights = FusionWeights((0.25, 0.5, 0.25), 0.7, 0.5)
    some = cases(4, good="confidence")
    dice = []
    for case in some:
        found = fuse_log_odds(case.log_odds, [weights]) > 0
        dice.append(2 * int((found & case.truth).sum()) / int(found.sum() + case.truth.sum()))
    score = cross_validated_scores(some, 0, weights)
    assert score is not None
    assert score.fused == pytest.approx(np.mean(dice), abs=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 12, 13, 64])
def test_folds_hold_out_each_example_at_most_once(count: int) -> None:
    parts = folds(count)
    chosen = [pair for part in parts for pair in part]
    assert len(set(chosen)) == len(chosen) == min(count, HELD_OUT)
    assert all(0 <= pair < count for pair in chosen)
    assert all(len(part) < count for part in parts) or count == 1


@pytest.mark.parametrize("size", [(60, 90), (300, 500)], ids=str)
def test_outputs_and_masks_of_an_example_are_sampled_at_the_same_pixels(
    size: tuple[int, int],
) -> None:
    mask = np.zeros((1, *size), bool)
    mask[0, size[0] // 3 : 2 * size[0] // 3, size[1] // 3 : 2 * size[1] // 3] = True
    right = torch.from_numpy(mask)[None].float()
    expert = ExpertOutput(right, 4 * right - 2)
    outputs = StageOutputs(right, (expert,), (np.zeros((0, 4), np.int64),), 1 - right)
    case = held_out(outputs, mask, [0.0])
    assert case.truth.shape[1] <= 2 * 128 * 128
    assert case.truth.float().mean().item() == pytest.approx(mask.mean(), abs=0.01)
    assert len(case.log_odds.parts) == 3
    for odds in case.log_odds.parts:
        assert ((odds > 0) == case.truth).all()
    assert (case.full_image != case.truth).all()


def test_pixels_of_which_nothing_is_known_are_not_compared() -> None:
    found = torch.zeros((1, 1, 40, 40))
    expert = ExpertOutput(found, found)
    outputs = StageOutputs(found, (expert,), (np.zeros((0, 4), np.int64),), found)
    known = np.zeros((40, 40), bool)
    known[:10] = True
    truth = ~known[None]
    case = held_out(outputs, truth, [0.0], known)
    assert case.truth.shape == (1, 400)
    assert not case.truth.any()


def of_two_experts(count: int, *, first: str, second: str) -> list[HeldOut]:
    """Examples in which two models' masks and maps are of a kind."""
    rng = np.random.default_rng(count)
    made = []
    for _ in range(count):
        truth = torch.from_numpy(rng.random((1, 8000)) < 0.3)
        sure = torch.where(truth, 2.0, -2.0).double()
        parts = [torch.from_numpy(rng.standard_normal((1, 8000)))]
        for kind in (first, second):
            for _ in range(2):
                noise = torch.from_numpy(rng.standard_normal((1, 8000)))
                of_kind = {
                    "right": sure + 1.5 * noise,
                    "clear": sure + 1.2 * noise,
                    "noise": noise,
                    "opposite": noise - sure / 4,
                }
                parts.append(of_kind[kind])
        made.append(HeldOut(log_odds(*parts), parts[0] > 0, truth))
    return made


def test_only_the_parts_of_some_promptable_models() -> None:
    (case,) = of_two_experts(1, first="right", second="noise")
    second = case.only(Kept((1,)))
    assert torch.equal(second.log_odds.parts, case.log_odds.parts[[0, 3, 4]])
    assert second.log_odds.agreement.shape == (3, 1)
    assert second.truth is case.truth
    both = case.only(Kept((0, 1))).log_odds
    assert torch.equal(both.parts, case.log_odds.parts)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [("right", "opposite", (0,)), ("opposite", "right", (1,))],
    ids=["the second does harm", "the first does harm"],
)
@pytest.mark.parametrize("count", [4])
def test_a_promptable_model_that_does_harm_is_dropped(
    first: str, second: str, kept: tuple[int, ...], count: int
) -> None:
    some = of_two_experts(count, first=first, second=second)
    assert helpful_parts(some, [TWO]) == Kept(kept, pixels=False)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_examples_drop_no_promptable_model(count: int) -> None:
    some = of_two_experts(count, first="right", second="opposite")
    assert helpful_parts(some, [TWO]) == BOTH


def test_examples_without_the_label_do_not_tell() -> None:
    some = of_two_experts(6, first="right", second="opposite")
    assert helpful_parts([*some[:3], *map(without_label, some[3:])], [TWO]) == BOTH


@pytest.mark.parametrize(
    ("rule", "kept"), [(CAREFUL, BOTH), (SPARING, SECOND)], ids=["all", "stack"]
)
def test_for_a_stack_a_model_that_hardly_helps_is_dropped(rule: KeepRule, kept: Kept) -> None:
    # the second model errs elsewhere than the first, so that both together are a little better
    some = of_two_experts(4, first="clear", second="clear")
    assert helpful_parts(some, [TWO], rule) == kept


def test_for_a_stack_a_model_that_clearly_helps_is_kept() -> None:
    some = of_two_experts(3, first="opposite", second="right")
    assert helpful_parts(some, [TWO], SPARING) == SECOND


def test_for_a_stack_labels_of_few_examples_do_not_count() -> None:
    some = of_two_experts(3, first="right", second="opposite")
    rare = [with_second_label(case, held=number == 0) for number, case in enumerate(some)]
    assert helpful_parts(rare, [TWO, TWO], SPARING) == Kept((0,), pixels=False)


def with_second_label(case: HeldOut, *, held: bool) -> HeldOut:
    """The example with a second label, equal to the first one or absent."""
    odds = LogOdds(torch.cat([case.log_odds.parts] * 2, dim=1), torch.ones(5, 2).double())
    truth = torch.cat([case.truth, case.truth & held])
    return HeldOut(odds, odds.icl > 0, truth)


def test_the_only_promptable_model_is_kept_whatever_it_does() -> None:
    second = Kept((1,))
    some = [case.only(second) for case in of_two_experts(6, first="right", second="opposite")]
    assert helpful_parts(some, [TWO.only(second)]) == Kept((0,), pixels=False)


def test_a_promptable_model_that_helps_one_of_two_labels_is_kept() -> None:
    some = []
    for a, b in zip(
        of_two_experts(6, first="right", second="opposite"),
        of_two_experts(6, first="noise", second="right"),
        strict=True,
    ):
        both = LogOdds(
            torch.cat([a.log_odds.parts, b.log_odds.parts], dim=1), torch.ones(5, 2).double()
        )
        some.append(HeldOut(both, both.icl > 0, torch.cat([a.truth, b.truth])))
    assert helpful_parts(some, [TWO, TWO]) == BOTH


def with_pixels(case: HeldOut, kind: str) -> HeldOut:
    """The example with a pixel classifier that is "right" or tells nothing."""
    sure = torch.where(case.truth, 2.0, -2.0).double()
    pixels = sure if kind == "right" else torch.zeros_like(sure)
    parts = torch.cat([case.log_odds.parts, pixels[None]])
    agreement = torch.ones(len(parts), 1).double()
    return replace(case, log_odds=LogOdds(parts, agreement))


@pytest.mark.parametrize(("kind", "kept"), [("right", True), ("nothing", False)])
def test_a_pixel_classifier_is_kept_only_where_it_helps(kind: str, kept: bool) -> None:
    some = of_two_experts(4, first="right", second="right")
    helpful = helpful_parts([with_pixels(case, kind) for case in some], [TWO.with_pixels(0)])
    assert helpful.pixels is kept


def test_a_pixel_classifier_that_is_right_replaces_promptable_models_but_one() -> None:
    some = of_two_experts(4, first="opposite", second="noise")
    cases_ = [with_pixels(case, "right") for case in some]
    helpful = helpful_parts(cases_, [TWO.with_pixels(0)])
    assert helpful.pixels
    assert len(helpful.experts) == 1
    chosen = choose_weights(
        [case.only(helpful) for case in cases_], 0, TWO.with_pixels(0).only(helpful)
    )
    assert chosen.of_pixels == max(chosen.parts)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_without_cross_validation_a_pixel_classifier_is_kept_if_its_default_weight_is_not_zero(
    weight: float,
) -> None:
    assert helpful_parts([], [TWO.with_pixels(0), TWO.with_pixels(weight)]).pixels is (weight > 0)


@pytest.mark.parametrize("count", [2, 3])
def test_few_examples_drop_no_pixel_classifier(count: int) -> None:
    some = of_two_experts(count, first="right", second="right")
    cases_ = [with_pixels(case, "nothing") for case in some]
    assert helpful_parts(cases_, [TWO.with_pixels(0)]).pixels
