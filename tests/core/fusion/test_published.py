"""The published fusion against its formulae in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.fusion.published import (
    fuse,
    icl_score,
    sam_score,
)
from napari_iclsam.core.fusion.weights import FusionWeights, published_weights


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def std(x: Tensor) -> NDArray[np.float64]:
    """Sample standard deviation over the image."""
    return np.std(x.double().numpy(), axis=(-2, -1), ddof=1, keepdims=True)


@pytest.mark.parametrize(("pairs", "gamma"), [(1, 0.0476), (5, 0.1967), (16, 0.3991), (64, 0.4992)])
def test_the_published_weights_are_gamma_and_the_rest(pairs: int, gamma: float) -> None:
    weights = published_weights(pairs)
    icl, sam, confidence = weights.parts
    assert icl == pytest.approx(gamma, abs=1e-4)
    assert icl + sam == pytest.approx(1)
    assert confidence == 0
    assert (weights.inverse_temperature, weights.threshold_shift) == (1, 0)


@pytest.mark.parametrize("pairs", [1, 8])
def test_the_fusion_is_the_published_formula(pairs: int) -> None:
    p, m = some(3, 1, 16, 16), 10 * some(3, 1, 16, 16, seed=1) - 4
    gamma = 0.5 - 0.5 * math.exp(-0.1 * pairs)
    expected = (1 - gamma) * m.numpy() / std(m) + gamma * (p.numpy() - 0.5) / std(p)
    got = fuse(icl_score(p, (16, 16)), sam_score(m), [published_weights(pairs)] * 3)
    assert np.allclose(got, expected, atol=1e-4)


def test_each_label_has_its_own_weights() -> None:
    a, b = some(2, 1, 4, 4), some(2, 1, 4, 4, seed=1)
    got = fuse(a, b, [FusionWeights((1, 2, 0)), FusionWeights((-1, 0.5, 0))])
    assert torch.allclose(got[0], a[0] + 2 * b[0], atol=1e-6)
    assert torch.allclose(got[1], -a[1] + 0.5 * b[1], atol=1e-6)


def test_the_in_context_score_is_standardised_at_its_own_size_and_then_resized() -> None:
    p = some(1, 1, 8, 8)
    u = torch.from_numpy((p.numpy() - 0.5) / std(p)).float()
    expected = torch.nn.functional.interpolate(u, (24, 17), mode="bilinear", align_corners=False)
    assert torch.allclose(icl_score(p, (24, 17)), expected, atol=1e-5)


@pytest.mark.parametrize(("value", "sign"), [(0.9, 1), (0.1, -1), (0.5, 0)])
def test_a_flat_in_context_map_keeps_its_sign(value: float, sign: int) -> None:
    assert (icl_score(torch.full((1, 1, 8, 8), value), (5, 5)) == sign).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_flat_logits_of_sam_keep_their_sign(sign: int) -> None:
    assert (sam_score(torch.full((1, 1, 8, 8), 3.0 * sign)) == sign).all()
