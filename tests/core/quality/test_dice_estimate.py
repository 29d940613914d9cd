"""The estimated Dice of a result, and its correction by held-out examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam import ICLSAM, Settings
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.fusion.log_odds import LogOdds
from napari_iclsam.core.networks import Networks
from napari_iclsam.core.quality.dice_estimate import (
    OVERCONFIDENCE,
    OVERCONFIDENCE_OF_MEAN,
    correction_of,
    estimate_dice,
)

Scene = Callable[..., tuple[NDArray[np.uint8], NDArray[np.int64]]]


def log_odds(icl: Tensor) -> LogOdds:
    nothing = torch.zeros_like(icl)
    return LogOdds(torch.stack([icl, nothing, nothing]), torch.ones(3, len(icl)))


def square(inside: float, outside: float) -> Tensor:
    """Log-odds of a square, (1, 1, 64, 64)."""
    odds = torch.full((1, 1, 64, 64), float(outside))
    odds[..., 20:40, 20:40] = inside
    return odds


def test_the_surer_the_model_the_better_the_estimate() -> None:
    odds = (square(0.2, -1), square(1, -2), square(2, -4), square(6, -7))
    (estimates,) = zip(*(estimate_dice(log_odds(o), [0.0]) for o in odds), strict=True)
    assert list(estimates) == sorted(estimates)
    assert estimates[0] < 0.5
    assert estimates[-1] > 0.8


@given(hnp.arrays(np.float32, (2, 1, 9, 7), elements=st.floats(-7, 7, width=32)), st.floats(-5, 5))
def test_an_estimate_is_a_dice_and_labels_do_not_know_each_other(
    odds: NDArray[np.float32], correct_by: float
) -> None:
    both = log_odds(torch.from_numpy(odds))
    estimates = estimate_dice(both, [correct_by, 0.0])
    assert all(0 < dice < 1 for dice in estimates)
    assert estimates[1:] == pytest.approx(estimate_dice(log_odds(both.icl[1:]), [0.0]))


def test_it_depends_on_the_shares_of_pixels_and_not_on_their_number() -> None:
    odds = square(1, -3)
    small, large = odds[..., ::4, ::4], odds.repeat_interleave(2, -1).repeat_interleave(2, -2)
    wanted = estimate_dice(log_odds(odds), [0.0])
    assert estimate_dice(log_odds(large), [0.0]) == pytest.approx(wanted, abs=1e-3)
    assert estimate_dice(log_odds(small), [0.0]) == pytest.approx(wanted, abs=0.05)


class TestCorrection:
    def test_examples_that_reach_less_than_was_estimated_lower_the_estimates_of_others(
        self,
    ) -> None:
        odds = log_odds(square(2, -4))
        plain = estimate_dice(odds, [0.0])[0]
        corrected = [
            estimate_dice(odds, [correction_of([odds] * n, 0, [0.2] * n)])[0] for n in (1, 4, 100)
        ]
        assert plain > corrected[0] > corrected[1] > corrected[2]
        assert corrected[2] == pytest.approx(0.2, abs=0.03)

    def test_those_that_reach_what_was_estimated_change_nothing(self) -> None:
        odds = log_odds(torch.cat([square(0, -1), square(2, -4)]))
        wanted = estimate_dice(odds, [0.0, 0.0])
        assert correction_of([odds] * 3, 1, [wanted[1]] * 3) == pytest.approx(0, abs=1e-5)
        assert correction_of([odds] * 3, 0, [wanted[1]] * 3) > 0.1

    def test_it_is_measured_from_the_same_overconfidence(self) -> None:
        odds = log_odds(square(2, -4))
        wanted = estimate_dice(odds, [0.0], OVERCONFIDENCE_OF_MEAN)
        assert wanted > estimate_dice(odds, [0.0])
        correction = correction_of([odds] * 3, 0, wanted * 3, OVERCONFIDENCE_OF_MEAN)
        assert correction == pytest.approx(0, abs=1e-5)

    def test_without_examples_nothing_changes(self) -> None:
        assert correction_of([], 0, []) == 0

    def test_a_complete_failure_is_no_more_than_a_failure(self) -> None:
        assert np.isfinite(correction_of([log_odds(square(2, -4))], 0, [0.0]))
        assert np.isfinite(correction_of([log_odds(square(2, -4))], 0, [1.0]))


class TestOverconfidence:
    @pytest.mark.parametrize(
        ("guidance", "wanted"), [(0.3, OVERCONFIDENCE_OF_MEAN), (0.0, OVERCONFIDENCE)]
    )
    def test_is_less_with_the_similarity_by_features(
        self, networks: Networks, scene: Scene, guidance: float, wanted: float
    ) -> None:
        settings = Settings(icl_guidance=guidance, fine_tune=False)
        segmenter = ICLSAM(networks=networks, cache=EmbeddingCache(None), settings=settings)
        image, labels = scene(seed=0)
        task = segmenter.fit([image], [labels])
        assert task.fusion.overconfidence == wanted

    def test_of_a_stack_is_that_of_the_model_alone(self, networks: Networks, scene: Scene) -> None:
        settings = Settings(fine_tune=False)
        segmenter = ICLSAM(networks=networks, cache=EmbeddingCache(None), settings=settings)
        images, labels = zip(*(scene(seed=seed) for seed in range(3)), strict=True)
        painted = np.stack(labels)
        painted[1] = 0
        stack_task = segmenter.fit_stack(np.stack(images), painted)
        assert stack_task.task.fusion.overconfidence == OVERCONFIDENCE


class TestPredictions:
    def predict(
        self, networks: Networks, scene: Scene, settings: Settings
    ) -> tuple[set[int], dict[int, float]]:
        segmenter = ICLSAM(networks=networks, cache=EmbeddingCache(None), settings=settings)
        images, labels = zip(*(scene(seed=seed) for seed in range(2)), strict=True)
        prediction = segmenter.fit(images, labels).predict(scene(seed=3)[0])
        return set(np.unique(prediction.labels).tolist()) - {0}, dict(prediction.estimated_dice)

    @pytest.mark.parametrize("cross_validate", [True, False])
    def test_carry_an_estimate_of_each_label_that_was_found(
        self, networks: Networks, scene: Scene, cross_validate: bool
    ) -> None:
        found, estimates = self.predict(
            networks, scene, Settings(cross_validate=cross_validate, fine_tune=False)
        )
        assert found
        assert set(estimates) == found
        assert all(0 < dice < 1 for dice in estimates.values())

    def test_are_corrected_by_the_examples(self, networks: Networks, scene: Scene) -> None:
        some, others = (
            self.predict(networks, scene, Settings(cross_validate=c, fine_tune=False))[1]
            for c in (True, False)
        )
        assert some != others

    @pytest.mark.parametrize(
        "settings", [{"mode": "paper"}, {"use_sam": False}], ids=["paper mode", "without SAM"]
    )
    def test_carry_none_where_none_is_known(
        self, networks: Networks, scene: Scene, settings: dict[str, Any]
    ) -> None:
        found, estimates = self.predict(networks, scene, Settings(**settings))
        assert found
        assert not estimates
