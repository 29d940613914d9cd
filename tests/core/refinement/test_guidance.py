"""Guidance by the confidence map against the formulae in numpy."""

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

from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.refinement.guidance import (
    attention_bias,
    confidence_score,
    in_context_guidance,
    standardise,
)

CENTRE = torch.zeros(1, 1, 1, 1)


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def std(x: Tensor) -> NDArray[np.float64]:
    """Sample standard deviation over the image."""
    return np.std(x.double().numpy(), axis=(-2, -1), ddof=1, keepdims=True)


@pytest.mark.parametrize("value", [0.0, 1.0, -7.5, 1e-20, 1e20, 0.1], ids=str)
def test_a_flat_map_is_standardised_to_zeros(value: float) -> None:
    values = torch.cat([torch.full((1, 1, 8, 8), value), some(1, 1, 8, 8)])
    got = standardise(values, CENTRE)
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
    got = in_context_guidance(c, pairs, alpha0=0.3)
    assert np.allclose(got, 0.3 * math.exp(-0.1 * pairs) * z, atol=1e-5)


def test_guidance_of_sam_is_beta_s_on_the_grid_row_by_row() -> None:
    c, frame = some(2, 1, 32, 32), Frame(32, 32, 64)
    s = torch.from_numpy((c.numpy() - 0.5) / std(c)).float()
    got = attention_bias(c, frame, 8, beta=2.0)
    assert got.shape == (2, 64)
    assert np.allclose(got.reshape(2, 1, 8, 8), 2 * frame.image_to_grid(s, 8), atol=1e-4)


def test_a_flat_map_gives_no_guidance() -> None:
    flat = torch.full((1, 1, 12, 20), 0.5)
    assert not in_context_guidance(flat, 1, alpha0=0.3).any()
    assert not attention_bias(flat, Frame(12, 20, 64), 8, beta=2.0).any()
    assert not confidence_score(flat).any()
