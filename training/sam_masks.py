"""Mask prompts as the in-context model makes them: each view of a pair is segmented by the other.

It knows the training sets too well, so it is made to err as it does elsewhere: half of the time the
grey values of the example follow another curve than those of the query, and half of the masks are
shifted towards too much or too little.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from training.sam_batches import Batch, View
from training.sam_prompts import Prompt
from training.train_icl import load_weights

_LIMIT = 8.0
_SHIFT = 1.5
"""Standard deviation of what is added to logits."""

_CURVE = 0.4
"""Standard deviation of the logarithm of the exponent of the example's grey values."""

_MARGIN = 0.1
"""Of the box's extent: so far beyond its sides a mask prompt reaches, as in the pipeline."""


class InContextMasks:
    """Gives prompts the masks of starter-icl, which sees the views at half their size.

    Parameters
    ----------
    weights : Path
        What `training.train_icl` exported.
    device : torch.device
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        self._network = load_weights(weights).network.to(device).eval()
        self._device = device

    def replaced(self, batch: Batch, chance: float, rng: np.random.Generator) -> Batch:
        """Replace a share of the mask prompts.

        Where the model finds nothing in the box, the prompt stays as it is.
        """
        known: dict[tuple[int, tuple[int, ...]], NDArray[np.float32]] = {}
        prompts = list(batch.prompts)
        for n, (owner, prompt) in enumerate(zip(batch.owners, batch.prompts, strict=True)):
            if not prompt.has_mask or rng.random() >= chance:
                continue
            key = (owner, prompt.value)
            if key not in known:
                found = self._segment(batch.views[owner], batch.views[owner ^ 1], prompt.value, rng)
                known[key] = found + np.float32(rng.normal(0, _SHIFT) if rng.random() < 0.5 else 0)
            mask = _within(known[key], prompt)
            if (mask > 0).any():
                prompts[n] = replace(prompt, mask=mask)
        return replace(batch, prompts=prompts)

    @torch.inference_mode()
    def _segment(
        self, query: View, support: View, values: tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return logits (S / 2, S / 2) of labels of a view, with the other view as example."""
        mask = torch.from_numpy(np.isin(support.labels, values).astype(np.float32))[None, None]
        curve = float(np.exp(rng.normal(0, _CURVE))) if rng.random() < 0.5 else 1.0
        images = torch.stack([_unit(query), _unit(support) ** curve]).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16):
            context = self._network.encode_support(
                images[1:, None], F.avg_pool2d(mask, 2)[None].to(self._device)
            )
            logits = self._network(images[:1], context)
        found: NDArray[np.float32] = logits[0, 0].float().clamp(-_LIMIT, _LIMIT).cpu().numpy()
        return found


def _unit(view: View) -> Tensor:
    """Return a view as the in-context model takes it.

    Half the size, scaled to [0, 1] by its extremes.
    """
    pixels = F.avg_pool2d(view.pixels, 2)
    low, high = pixels.min(), pixels.max()
    return (pixels - low) / (high - low).clamp_min(1e-6)


def _within(logits: NDArray[np.float32], prompt: Prompt) -> NDArray[np.float32]:
    """Return logits that are negative beyond the prompt's box, if it shows one."""
    if not prompt.has_box:
        return logits
    x0, y0, x1, y1 = prompt.box / 2
    right, down = _MARGIN * (x1 - x0) + 1, _MARGIN * (y1 - y0) + 1
    y, x = np.mgrid[: logits.shape[0], : logits.shape[1]] + 0.5
    inside = (x >= x0 - right) & (x <= x1 + right) & (y >= y0 - down) & (y <= y1 + down)
    return np.where(inside, logits, np.float32(-_LIMIT))
