"""Likeness in closed form: how much a cell looks like the object of an example, by a ridge regression on features.

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


@dataclass(frozen=True, slots=True)
class Rule:
    """Linear rules for each of B tasks: about 1 on cells like the object, about -1 on those like the rest.

    Attributes
    ----------
    mean : Tensor, (B, C), float32
        Of the features, halfway between object and rest.
    weights : Tensor, (B, C, K), float32
        Of K rules, which use the first few or all features.
    """

    mean: Tensor
    weights: Tensor

    def apply(self, cells: Tensor) -> Tensor:
        """Evaluate them: (B, n, C) -> (B, n, K), float32."""
        with torch.autocast(cells.device.type, enabled=False):
            value: Tensor = (cells.float() - self.mean[:, None]) @ self.weights
        return value


def fit_rule(
    cells: Tensor, inside: Tensor, around: Tensor, ridge: float, used: Sequence[int] = ()
) -> Rule:
    """Fit 1 inside and -1 around by a ridge regression, each side counting as much as the other.

    Parameters
    ----------
    cells : Tensor, (B, n, C)
        Features of n cells.
    inside, around : Tensor, (B, n)
        Weights, at least 0, of the cells that stand for the object and for the rest.
    ridge : float
        Weight of the squared norm, relative to the mean variance of the features.
    used : Sequence[int]
        For each rule, how many of the features it uses, from the first on. By default one rule uses
        all.
    """
    with torch.autocast(cells.device.type, enabled=False):
        cells = cells.float()
        object_, rest = (
            w.float() / (2 * w.float().sum(dim=1, keepdim=True) + 1e-6) for w in (inside, around)
        )
        mean = ((object_ + rest)[:, None] @ cells)[:, 0]
        centred = cells - mean[:, None]
        covariance = centred.mT @ ((object_ + rest)[..., None] * centred)
        target = centred.mT @ (object_ - rest)[..., None]
        rules = []
        for count in used or (cells.shape[2],):
            part = covariance[:, :count, :count]
            size = part.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
            penalty = (ridge * size + 1e-6) * torch.eye(count, device=cells.device)
            solution = torch.linalg.solve(part + penalty, target[:, :count])
            rules.append(F.pad(solution, (0, 0, 0, cells.shape[2] - count)))
    return Rule(mean, torch.cat(rules, dim=2))
