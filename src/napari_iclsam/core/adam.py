"""Adam (Kingma and Ba, ICLR 2015) without PyTorch's compiler."""

from __future__ import annotations

import torch
from torch import Tensor

_MEAN_DECAY = 0.9
_SQUARE_DECAY = 0.999
_EPSILON = 1e-8


class Adam:
    """Adam on a list of parameters.

    That of `torch.optim` loads PyTorch's compiler, which beside Mesa's software renderer has ended
    the process.

    Parameters
    ----------
    parameters : list of Tensor
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self._parameters = parameters
        self._steps = 0
        self._mean = [torch.zeros_like(parameter) for parameter in parameters]
        self._square = [torch.zeros_like(parameter) for parameter in parameters]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change the parameters by their gradients; one without a gradient stays as it is."""
        self._steps += 1
        # both means start at zero and are too small at first
        mean_bias = 1 - _MEAN_DECAY**self._steps
        square_bias = 1 - _SQUARE_DECAY**self._steps
        for parameter, mean, square in zip(self._parameters, self._mean, self._square, strict=True):
            if parameter.grad is None:
                continue
            mean.lerp_(parameter.grad, 1 - _MEAN_DECAY)
            square.lerp_(parameter.grad.square(), 1 - _SQUARE_DECAY)
            spread = (square / square_bias).sqrt_().add_(_EPSILON)
            parameter.addcdiv_(mean, spread, value=-rate / mean_bias)
