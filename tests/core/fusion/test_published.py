"""Standardising, guidance, fusion and the label map against the formulae in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.fusion.published import (
    Weights,
    confidence_score,
    fuse,
    icl_guidance,
    icl_score,
    label_map,
    published_weights,
    sam_bias,
    sam_score,
    standardise,
)
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.settings import Settings

CENTRE = torch.zeros(1, 1, 1, 1)


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def std(x: Tensor) -> NDArray[np.float64]:
    """Sample standard deviation over the image."""
    return np.std(x.double().numpy(), axis=(-2, -1), ddof=1, keepdims=True)


@pytest.mark.parametrize("value", [0.0, 1.0, -7.5, 1e-20, 1e20, 0.1], ids=str)
def test_a_flat_map_is_standardised_to_zeros(value: float) -> None:
    maps = torch.cat([torch.full((1, 1, 8, 8), value), some(1, 1, 8, 8)])
    got = standardise(maps, CENTRE)
    assert not got[0].any()
    assert got[1].any()


@given(
    hnp.arrays(np.float32, (2, 1, 4, 5), elements=st.floats(-100, 100, width=32)),
    st.floats(-100, 100, width=32),
)
def test_standardising_is_finite_and_keeps_the_sign(
    values: NDArray[np.float32], centre: float
) -> None:
    x = torch.from_numpy(values)
    got = standardise(x, torch.full((1, 1, 1, 1), centre))
    assert torch.isfinite(got).all()
    assert (got * (x - centre) >= 0).all()


def test_standardising_divides_by_the_sample_s_deviation() -> None:
    x = some(3, 1, 6, 7)
    assert np.allclose(standardise(x, CENTRE + 0.3), (x.numpy() - 0.3) / std(x), atol=1e-5)


@pytest.mark.parametrize("pairs", [1, 2, 5, 16, 64])
def test_guidance_of_the_in_context_model_is_alpha_z(pairs: int) -> None:
    c = some(2, 1, 9, 7)
    z = (c.numpy() - c.numpy().mean(axis=(-2, -1), keepdims=True)) / std(c)
    got = icl_guidance(c, pairs, Settings(icl_guidance=0.3))
    assert np.allclose(got, 0.3 * math.exp(-0.1 * pairs) * z, atol=1e-5)


def test_guidance_of_sam_is_beta_s_on_the_grid_row_by_row() -> None:
    c, frame = some(2, 1, 32, 32), Frame(32, 32, 64)
    s = torch.from_numpy((c.numpy() - 0.5) / std(c)).float()
    got = sam_bias(c, frame, 8, Settings(sam_guidance=2.0))
    assert got.shape == (2, 64)
    assert np.allclose(got.reshape(2, 1, 8, 8), 2 * frame.image_to_grid(s, 8), atol=1e-4)


def test_a_flat_map_gives_no_guidance() -> None:
    flat = torch.full((1, 1, 12, 20), 0.5)
    assert not icl_guidance(flat, 1, Settings()).any()
    assert not sam_bias(flat, Frame(12, 20, 64), 8, Settings()).any()
    assert not confidence_score(flat).any()


@pytest.mark.parametrize(("pairs", "gamma"), [(1, 0.0476), (5, 0.1967), (16, 0.3991), (64, 0.4992)])
def test_the_published_weights_are_gamma_and_the_rest(pairs: int, gamma: float) -> None:
    weights = published_weights(pairs)
    assert weights.icl == pytest.approx(gamma, abs=1e-4)
    assert weights.icl + weights.sam == pytest.approx(1)
    assert (weights.confidence, weights.sharpness, weights.offset) == (0, 1, 0)


@pytest.mark.parametrize("pairs", [1, 8])
def test_the_fusion_is_the_published_formula(pairs: int) -> None:
    p, m = some(3, 1, 16, 16), 10 * some(3, 1, 16, 16, seed=1) - 4
    gamma = 0.5 - 0.5 * math.exp(-0.1 * pairs)
    expected = (1 - gamma) * m.numpy() / std(m) + gamma * (p.numpy() - 0.5) / std(p)
    got = fuse(icl_score(p, (16, 16)), sam_score(m), [published_weights(pairs)] * 3)
    assert np.allclose(got, expected, atol=1e-4)


def test_each_label_has_its_own_weights() -> None:
    a, b = some(2, 1, 4, 4), some(2, 1, 4, 4, seed=1)
    got = fuse(a, b, [Weights(1, 2), Weights(-1, 0.5)])
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


@given(hnp.arrays(np.float32, (3, 1, 4, 5), elements=st.floats(-2, 2, width=32)))
def test_a_pixel_has_the_label_of_its_largest_positive_score(values: NDArray[np.float32]) -> None:
    ids = (2, 5, 90)
    labels = label_map(torch.from_numpy(values), ids)
    assert (labels.dtype, labels.shape) == (np.int32, (4, 5))
    for (y, x), label in np.ndenumerate(labels):
        scores = values[:, 0, y, x]
        if label == 0:
            assert scores.max() <= 0
        else:
            assert scores[ids.index(label)] == scores.max() > 0
