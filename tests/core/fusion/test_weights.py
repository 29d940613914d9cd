"""The fusion weights that hold before any are cross-validated."""

from __future__ import annotations

import pytest

from napari_iclsam.core.fusion.weights import (
    STARTER_WEIGHTS,
    FusionWeights,
    Kept,
    default_weights,
    published_weights,
)


@pytest.mark.parametrize("pairs", [1, 8])
def test_one_promptable_model_has_the_weights_of_its_kind(pairs: int) -> None:
    assert default_weights(["starter"], pairs) == STARTER_WEIGHTS
    assert default_weights(["published"], pairs) == published_weights(pairs)


@pytest.mark.parametrize("kinds", [["published", "starter"], ["published"] * 2, ["starter"] * 3])
def test_several_share_half_of_the_weight_and_are_gated(kinds: list[str]) -> None:
    weights = default_weights(kinds, 4)  # type: ignore[arg-type]
    count = len(kinds)
    assert weights.experts == count
    assert weights.gate_by_agreement
    assert sum(weights.parts) == pytest.approx(1)
    assert weights.parts[0] == 0.5
    assert [weights.of_expert(n) for n in range(count)] == [(0.5 / count, 0.0)] * count
    assert (weights.inverse_temperature, weights.threshold_shift) == (1, 0)


def test_one_example_believes_the_map_of_a_published_model_as_much_as_its_mask() -> None:
    weights = default_weights(["published", "starter"], 1)
    assert weights == FusionWeights((0.5, 0.1, 0.1, 0.3, 0.0), gate_by_agreement=True)
    assert default_weights(["starter", "published"], 1).of_expert(0) == (0.3, 0.0)
    assert default_weights(["published"] * 2, 1) == default_weights(["published"] * 2, 4)


def test_with_one_example_models_of_a_kind_share_its_weight() -> None:
    weights = default_weights(["published", "starter", "published"], 1)
    assert sum(weights.parts) == pytest.approx(1)
    assert weights.of_expert(0) == weights.of_expert(2) == (0.05, 0.05)


def test_only_the_weights_of_some_promptable_models() -> None:
    weights = FusionWeights((0.1, 0.2, 0.3, 0.4, 0.5), 0.7, 1.5, gate_by_agreement=True)
    second = FusionWeights((0.1, 0.4, 0.5), 0.7, 1.5, gate_by_agreement=True)
    assert weights.only(Kept((1,))) == second
    assert weights.only(Kept((0, 1))) == weights
    assert weights.of_expert(0) == (0.2, 0.3)


def test_the_weight_of_the_pixel_classifier_is_the_last() -> None:
    weights = FusionWeights((0.1, 0.2, 0.3, 0.4, 0.5)).with_pixels(0.6)
    assert (weights.has_pixels, weights.of_pixels, weights.experts) == (True, 0.6, 2)
    assert weights.only(Kept((1,))) == FusionWeights((0.1, 0.4, 0.5, 0.6))
    without = weights.only(Kept((1,), pixels=False))
    assert without == FusionWeights((0.1, 0.4, 0.5))
    assert (without.has_pixels, without.of_pixels) == (False, 0)


def test_common_parts_are_those_that_both_keep() -> None:
    assert Kept((0, 2)).common(Kept((1, 2), pixels=False)) == Kept((2,), pixels=False)
    assert Kept((0, 1, 2)).without_expert(1) == Kept((0, 2))
