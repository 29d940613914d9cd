"""How the weights start and move: initialisation, orthogonalised momentum, loss, running average."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def keep_variance(network: nn.Module) -> None:
    """Start every convolution so that activations keep their scale: the cross convolutions are linear, others are not.

    Biases start at zero. (The library's default shrinks the signal threefold at each of fourteen layers in a row.)
    """
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                gain = 1.0 if "cross" in name or "out_conv" in name else 2.0
                fan = module.weight[0].numel()
                nn.init.normal_(module.weight, std=(gain / fan) ** 0.5)
                assert module.bias is not None
                module.bias.zero_()


def orthogonalise(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices (N, r, c), r <= c, near 1: five steps of a quintic Newton-Schulz iteration.

    Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks". Half precision is enough.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.float()


class Muon(torch.optim.Optimizer):
    """Momentum of convolution weights, as matrices (out, in * 9), orthogonalised; updates of the size of Adam's.

    Parameters
    ----------
    params : iterable of Tensor
        Weights with at least two dimensions.
    lr, momentum, weight_decay : float
        Rate (comparable with Adam's), momentum (Nesterov's), decoupled decay.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(weight.shape, []).append(weight)
            for shape, weights in alike.items():
                updates = orthogonalise(torch.stack([self._direction(w, group["momentum"]) for w in weights]))
                scale = 0.2 * max(updates.shape[1:]) ** 0.5
                for weight, update in zip(weights, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(update.reshape(shape), alpha=-group["lr"] * scale)

    def _direction(self, weight: Tensor, momentum: float) -> Tensor:
        """Return Nesterov's direction of a weight as a matrix, after taking its gradient into the average."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        average = state["momentum"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(average, momentum).flatten(1)


def optimisers(network: nn.Module, kind: str, rate: float, decay: float) -> list[torch.optim.Optimizer]:
    """Return the optimisers of a network: Muon for the wide convolutions and AdamW for the rest, or AdamW for all."""
    wide = [p for name, p in network.named_parameters() if p.ndim == 4 and p[0].numel() >= 128]
    if kind == "adamw":
        wide = []
    elif kind != "muon":
        raise ValueError(f"expected the optimiser 'muon' or 'adamw', got {kind!r}")
    chosen = {id(p) for p in wide}
    rest = [p for p in network.parameters() if id(p) not in chosen]
    adam = torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=decay)
    return [adam, Muon(wide, lr=rate, weight_decay=decay)] if wide else [adam]


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return soft Dice loss plus binary cross-entropy, each a mean over the batch."""
    probability = logits.sigmoid().flatten(1)
    truth = target.flatten(1)
    overlap = (probability * truth).sum(dim=1)
    dice = (2 * overlap + 1) / (probability.sum(dim=1) + truth.sum(dim=1) + 1)
    return (1 - dice).mean() + F.binary_cross_entropy_with_logits(logits, target)


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Return the Dice of each image of a batch (1 where both are empty)."""
    found, truth = logits.flatten(1) > 0, target.flatten(1) > 0.5
    total = found.sum(dim=1) + truth.sum(dim=1)
    return torch.where(total > 0, 2 * (found & truth).sum(dim=1) / total.clamp_min(1), 1.0)
