"""Ridge similarity: how much a cell resembles an object, by a regression of features.

Bertinetto et al., "Meta-learning with differentiable closed-form solvers", ICLR 2019: the solution
is differentiable, so that a network can be trained to give features that such a regression tells
apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_TINY = 1e-6
"""Added where a class without cells or a feature without variance would give a zero."""


@dataclass(frozen=True, slots=True)
class RidgeClassifier:
    """Linear classifiers of cells, for each of B tasks.

    Their values are about 1 on the object and about -1 on the rest.

    Attributes
    ----------
    mean : Tensor, (B, C), float32
        Of the features, halfway between object and rest.
    weights : Tensor, (B, C, K), float32
        Of K classifiers, which use the first few or all features.
    """

    mean: Tensor
    weights: Tensor

    def similarity(self, cells: Tensor) -> Tensor:
        """Evaluate the classifiers: (B, n, C) -> (B, n, K), float32.

        Cells (1, n, C) are those of all tasks.
        """
        # Half precision would lose the difference from the mean.
        with torch.autocast(cells.device.type, enabled=False):
            # Of two thin products this is the faster one.
            values = (self.weights.mT @ cells.float().mT).mT
            of_mean = self.mean[:, None] @ self.weights
            value: Tensor = values - of_mean
        return value


def fit_ridge(
    cells: Tensor, inside: Tensor, around: Tensor, ridge: float, used: Sequence[int] = ()
) -> RidgeClassifier:
    """Fit 1 inside and -1 around by a ridge regression in which both classes have the same weight.

    Parameters
    ----------
    cells : Tensor, (B, n, C)
        Features of n cells.
    inside, around : Tensor, (B, n)
        Weights, at least 0, of the cells of the object and of the rest.
    ridge : float
        Weight of the squared norm, relative to the mean variance of the features.
    used : Sequence[int]
        For each classifier, how many of the features it uses, from the first on. By default one
        classifier uses all.
    """
    # Half precision is too coarse for the covariance and its inverse.
    with torch.autocast(cells.device.type, enabled=False):
        cells = cells.float()
        # A small object has as much say as all that surrounds it.
        object_weight = _half(inside)
        rest_weight = _half(around)
        weight = object_weight + rest_weight
        mean = (weight[:, None] @ cells)[:, 0]
        centered = cells - mean[:, None]
        covariance = centered.mT @ (weight[..., None] * centered)
        target = centered.mT @ (object_weight - rest_weight)[..., None]
        solutions = []
        for count in used or (cells.shape[2],):
            part = covariance[:, :count, :count]
            solution = _solve(part, target[:, :count], ridge)
            unused = cells.shape[2] - count
            # Zeros for what is not used, so that all classifiers are evaluated in one product.
            solutions.append(F.pad(solution, (0, 0, 0, unused)))
    return RidgeClassifier(mean, torch.cat(solutions, dim=2))


def _half(weight: Tensor) -> Tensor:
    """Scale the weights (B, n) of one class to a sum of one half."""
    weight = weight.float()
    total = weight.sum(dim=1, keepdim=True)
    return weight / (2 * total + _TINY)


def _solve(covariance: Tensor, target: Tensor, ridge: float) -> Tensor:
    """Solve the regularised normal equations: (B, c, c) and (B, c, 1) -> (B, c, 1)."""
    diagonal = covariance.diagonal(dim1=1, dim2=2)
    variance = diagonal.mean(dim=1)[:, None, None]
    features = covariance.shape[1]
    identity = torch.eye(features, device=covariance.device)
    # Relative to the variance: the scale of the features must not matter.
    penalty = (ridge * variance + _TINY) * identity
    # `torch.linalg.solve` fails, or is wrong, for batches of large matrices with several threads
    # (PyTorch issue 142815). A covariance with a penalty is positive definite;
    # of features that are not finite, the values are not, either, so nothing is checked.
    factor = torch.linalg.cholesky_ex(covariance + penalty).L
    return torch.cholesky_solve(target, factor)
