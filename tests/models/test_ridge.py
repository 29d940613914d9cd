"""Ridge similarity: against scikit-learn's ridge regression, balanced, differentiable."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from napari_iclsam.models.ridge import fit_ridge


def test_the_classifier_is_a_ridge_regression_in_which_both_classes_have_the_same_weight() -> None:
    torch.manual_seed(0)
    cells, inside = torch.randn(2, 200, 6, dtype=torch.float64), (torch.rand(2, 200) < 0.1).double()
    inside[:, 0] = 1
    classifier = fit_ridge(cells, inside, 1 - inside, ridge=0.5)
    for n in range(2):
        weight = (inside[n] / inside[n].sum() + (1 - inside[n]) / (1 - inside[n]).sum()) / 2
        centred = cells[n] - (weight[:, None] * cells[n]).sum(dim=0)
        strength = 0.5 * float((weight[:, None] * centred.square()).sum() / 6)
        reference = Ridge(alpha=strength).fit(
            cells[n].numpy(), (2 * inside[n] - 1).numpy(), weight.numpy()
        )
        np.testing.assert_allclose(
            classifier.similarity(cells)[n, :, 0].numpy(),
            reference.predict(cells[n].numpy()),
            atol=1e-4,
        )


def test_a_classifier_of_the_first_features_ignores_the_others() -> None:
    torch.manual_seed(1)
    cells, inside = torch.randn(1, 50, 5), torch.rand(1, 50)
    both = fit_ridge(cells, inside, 1 - inside, 0.1, used=(3, 5))
    alone = fit_ridge(cells[..., :3], inside, 1 - inside, 0.1)
    assert torch.allclose(
        both.similarity(cells)[..., 0], alone.similarity(cells[..., :3])[..., 0], atol=1e-5
    )
    assert torch.allclose(
        both.similarity(cells)[..., 1],
        fit_ridge(cells, inside, 1 - inside, 0.1).similarity(cells)[..., 0],
    )


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_tasks_of_many_features_are_fitted_alike_together_and_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    cells = torch.randn(3, 400, 200, generator=generator)
    inside = (torch.arange(400) < 100).float().expand(3, -1)
    together = fit_ridge(cells, inside, 1 - inside, 0.01).weights
    for n in range(3):
        one = slice(n, n + 1)
        alone = fit_ridge(cells[one], inside[one], 1 - inside[one], 0.01).weights
        torch.testing.assert_close(together[one], alone, rtol=1e-4, atol=1e-5)


def test_one_side_without_cells_and_constant_features_give_finite_values_and_gradients() -> None:
    cells = torch.ones(1, 9, 4, requires_grad=True)
    value = fit_ridge(cells, torch.zeros(1, 9), torch.ones(1, 9), 0.1).similarity(cells)
    value.sum().backward()
    assert cells.grad is not None
    assert torch.isfinite(value).all()
    assert torch.isfinite(cells.grad).all()
