"""A small network that tells classes of pixels by features, fitted in about a second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.adam import Adam

_HIDDEN = 64
"""Units of each of both hidden layers."""

_STEPS = 300
"""Steps of gradient descent."""

_BATCH = 512
"""Pixels of a step."""

_RATE = 5e-3
"""Peak learning rate."""

_WARMUP = 90
"""Steps until the peak is reached; the rate then falls linearly to zero."""

_NOISE = 0.5
"""Standard deviation of the noise on standardised features: images differ in more than few of them
show, and without noise the network is sure of what another image does not confirm."""

_FARTHEST = 4.0
"""Standardised features beyond this count as this: the network knows nothing that far away."""

_SMOOTHING = 0.02
"""Part of the target that all classes share, so that the network is never wholly sure."""


@dataclass(frozen=True, slots=True)
class PixelNetwork:
    """A network of two hidden layers for F features and C classes.

    Attributes
    ----------
    mean, spread : Tensor, (F,)
        Of the features it was fitted to.
    layers : tuple of (Tensor, Tensor)
        Weight (inputs, outputs) and bias (outputs,) of each layer.
    """

    mean: Tensor
    spread: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each class (n, C), given features (n, F)."""
        standard = self.standardise(torch.from_numpy(features))
        probabilities = torch.softmax(self.logits(standard), dim=1)
        return np.asarray(probabilities.numpy(), np.float32)

    def standardise(self, features: Tensor) -> Tensor:
        """Return features (n, F) with the mean 0 and the deviation 1, as far as they are known."""
        return ((features - self.mean) / self.spread).clamp(-_FARTHEST, _FARTHEST)

    def logits(self, standard: Tensor) -> Tensor:
        """Return the logits (n, C) of standardised features (n, F)."""
        values = standard
        for weight, bias in self.layers[:-1]:
            values = F.relu(torch.addmm(bias, values, weight))
        weight, bias = self.layers[-1]
        return torch.addmm(bias, values, weight)


def fit_pixel_network(
    features: NDArray[np.float32], target: NDArray[np.intp], seed: int
) -> PixelNetwork:
    """Fit a network to features (n, F) and classes (n,), by gradient descent on drawn pixels.

    What is drawn at random depends on the seed alone.
    """
    generator = torch.Generator().manual_seed(seed)
    # the caller may be in inference mode, whose tensors have no gradients
    with torch.inference_mode(False), torch.enable_grad():
        samples = torch.from_numpy(features)
        classes = torch.from_numpy(target)
        network = _start(samples, int(target.max()) + 1, generator)
        parameters = [part for layer in network.layers for part in layer]
        optimiser = Adam(parameters)
        standard = network.standardise(samples)
        for step in range(_STEPS):
            _descend(network, standard, classes, generator)
            optimiser.step(_learning_rate(step))
            for parameter in parameters:
                parameter.grad = None
        for parameter in parameters:
            parameter.requires_grad_(False)
    return network


def _start(samples: Tensor, classes: int, generator: torch.Generator) -> PixelNetwork:
    """Return a network with random weights."""
    sizes = (samples.shape[1], _HIDDEN, _HIDDEN, classes)
    layers = []
    for inputs, outputs in pairwise(sizes):
        limit = 1 / math.sqrt(inputs)
        uniform = torch.rand(inputs, outputs, generator=generator)
        weight = (2 * limit * uniform - limit).requires_grad_(True)
        layers.append((weight, torch.zeros(outputs, requires_grad=True)))
    # a feature that is the same everywhere has no deviation to divide by
    spread = samples.std(dim=0, correction=0) + 1e-4
    return PixelNetwork(samples.mean(dim=0), spread, tuple(layers))


def _descend(
    network: PixelNetwork, standard: Tensor, classes: Tensor, generator: torch.Generator
) -> None:
    """Compute the gradient of the loss on some of the pixels, standardised."""
    drawn = torch.randint(len(standard), (_BATCH,), generator=generator)
    chosen = standard[drawn]
    noise = torch.randn(chosen.shape, generator=generator)
    logits = network.logits(torch.add(chosen, noise, alpha=_NOISE))
    loss = F.cross_entropy(logits, classes[drawn], label_smoothing=_SMOOTHING)
    torch.autograd.backward([loss])


def _learning_rate(step: int) -> float:
    rising = (step + 1) / _WARMUP
    falling = (_STEPS - step) / (_STEPS - _WARMUP)
    return _RATE * min(rising, falling)
