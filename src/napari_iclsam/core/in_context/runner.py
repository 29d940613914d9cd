"""The in-context model on its device: it encodes support sets and segments queries with them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.encoder.autocast import computing_in
from napari_iclsam.core.images.geometry import resize, resize_mask
from napari_iclsam.core.images.intensity import unit_channels
from napari_iclsam.core.recipe import Recipe
from napari_iclsam.models.two_scales import TwoScalesContext
from napari_iclsam.models.universeg import SupportFeatures

TASKS_AT_ONCE = 2
"""In-context tasks of one call on a processor: four of 512 x 512 at once take a tenth longer."""

SMALL_TASKS = 2**17
"""Pixels of one call of several tasks.

Four tasks of 128 x 128 one by one take half as long again.
"""

_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""Axes mirrored in each copy of test-time augmentation; the first copy is the image itself."""

Context = SupportFeatures | TwoScalesContext
"""What an in-context network computes of a support set alone, in tensors (tasks, ...)."""


class InContextNetwork(Protocol):
    """What the in-context networks share: see `napari_iclsam.models.universeg.UniverSeg`."""

    image_sizes: tuple[int, ...]
    image_channels: int

    def encode_support(self, images: Tensor, masks: Tensor) -> Context: ...  # noqa: D102
    def __call__(self, query: Tensor, support: Any, guidance: Tensor | None = None) -> Tensor: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class InContextRunner:
    """An in-context network, ready to run.

    Attributes
    ----------
    network : nn.Module
        An `InContextNetwork`.
    device : torch.device
    dtype : torch.dtype
        In which the network computes (autocast).
    recipe : Recipe
    """

    network: InContextNetwork
    device: torch.device
    dtype: torch.dtype
    recipe: Recipe

    def input_of(self, rgb: NDArray[np.uint8], side: int, *, rescale: bool = True) -> Tensor:
        """Make the network's input of an 8-bit RGB image, (1, C, s, s); see `in_context_input`."""
        channels = unit_channels(
            rgb,
            self.network.image_channels,
            self.recipe.channel,
        )
        pixels = torch.from_numpy(channels).to(self.device)
        return in_context_input(
            pixels,
            side,
            antialias=self.recipe.antialias,
            rescale=rescale,
        )

    def encode_support(
        self, images: Tensor, masks: Sequence[Sequence[NDArray[np.bool_]]]
    ) -> tuple[Context, ...]:
        """Encode the support sets of T tasks, once for each mirrored copy.

        Parameters
        ----------
        images : Tensor, (T, K, C, s, s) or (1, K, C, s, s)
            Of each task, or of all.
        masks : sequence of sequence of ndarray, (H, W), bool
            Of each task and pair, of any size; resized to s x s.
        """
        size = (images.shape[-2], images.shape[-1])
        resized = []
        for task in masks:
            of_task = [resize_mask(mask, size) for mask in task]
            resized.append(torch.cat(of_task))
        targets = torch.stack(resized).to(images.device)
        contexts = []
        for axes in self._copies:
            contexts.append(self.encode(images.flip(axes), targets.flip(axes)))
        return tuple(contexts)

    def encode(self, images: Tensor, masks: Tensor) -> Context:
        """Encode support images (T or 1, K, C, s, s), masks (T, K, 1, s, s), not mirrored."""
        with computing_in(self.dtype, self.device):
            return self.network.encode_support(images, masks)

    def segment(self, contexts: Sequence[Context], images: Tensor, guidance: Tensor) -> Tensor:
        """Segment one query for each of T tasks, or one for all.

        Parameters
        ----------
        contexts : sequence of Context
            Of `encode_support`, one for each mirrored copy.
        images : Tensor, (T, C, s, s) or (1, C, s, s)
        guidance : Tensor, (T, 1, h, w)

        Returns
        -------
        Tensor, (T, 1, s, s), float32
            Logits, the mean over the mirrored copies.
        """
        logits = []
        for axes, context in zip(self._copies, contexts, strict=True):
            mirrored = self.logits(
                context,
                images.flip(axes),
                guidance.flip(axes),
            )
            # mirrored back, so that the copies lie on each other
            logits.append(mirrored.flip(axes))
        return torch.stack(logits).mean(dim=0)

    def logits(self, context: Context, images: Tensor, guidance: Tensor | None) -> Tensor:
        """Return the logits (T, 1, s, s) of T tasks, float32, a few tasks in one call.

        Images are (T, C, s, s), or (1, C, s, s) for all tasks; guidance is (T, 1, h, w).
        """
        tasks = len(images) if guidance is None else len(guidance)
        at_once = self._tasks_at_once(images)
        parts = []
        for start in range(0, tasks, at_once):
            chosen = slice(start, start + at_once)
            some = context if tasks <= at_once else select_tasks(context, chosen)
            guided = None if guidance is None else guidance[chosen]
            queries = images if len(images) == 1 else images[chosen]
            with computing_in(self.dtype, self.device):
                # the mean over stages and copies would lose digits in half precision
                parts.append(self.network(queries, some, guided).float())
        return torch.cat(parts)

    def _tasks_at_once(self, images: Tensor) -> int:
        if self.device.type != "cpu":
            # it pays on a processor alone to take few tasks at once
            return sys.maxsize
        pixels = images.shape[-2] * images.shape[-1]
        return max(TASKS_AT_ONCE, SMALL_TASKS // pixels)

    @property
    def _copies(self) -> tuple[tuple[int, ...], ...]:
        return _FLIPS if self.recipe.tta_flips else _FLIPS[:1]


def in_context_input(channels: Tensor, side: int, *, antialias: bool, rescale: bool) -> Tensor:
    """Make an in-context model's input: (1, C, s, s), scaled to [0, 1] by its extremes.

    Parameters
    ----------
    channels : Tensor, (C, H, W), float32
        Of `unit_channels`.
    side : int
        Of the input, s.
    antialias : bool
        Average over what a pixel of the smaller image covers, instead of reading single pixels.
    rescale : bool
        Scale to [0, 1] again after resizing. The published code does so for support images and not
        for queries.
    """
    values = _to_unit_range(channels[None])
    if antialias:
        values = F.interpolate(
            values,
            (side, side),
            mode="bilinear",
            antialias=True,
        )
    else:
        values = resize(values, (side, side))
    return _to_unit_range(values) if rescale else values


def select_tasks(context: Context, tasks: Sequence[int] | slice) -> Context:
    """Return some of the tasks of a context."""
    indices = tasks if isinstance(tasks, slice) else list(tasks)
    return cast(Context, _select(context, indices))


def _select(part: Any, tasks: list[int] | slice) -> Any:
    if isinstance(part, Tensor):
        return part[tasks]
    # by field, since the contexts of both networks are nested in different ways
    selected = {}
    for field in fields(part):
        selected[field.name] = _select(getattr(part, field.name), tasks)
    return replace(part, **selected)


def _to_unit_range(values: Tensor) -> Tensor:
    """Scale by the smallest and largest value to [0, 1]; zeros if they are equal."""
    low = values.min()
    high = values.max()
    # a blank part of an image, as a crop may show one
    if not high > low:
        return torch.zeros_like(values)
    return (values - low) / (high - low)
