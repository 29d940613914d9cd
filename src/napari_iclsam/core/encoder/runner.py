"""The two networks of a run on their device: they embed, segment in context and decode prompts, image by image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from napari_iclsam.core.encoder.cache import Embedding, EmbeddingCache, embedding_key, on_device, parted
from napari_iclsam.core.encoder.device import Precision, choose_device, choose_precision
from napari_iclsam.core.images.geometry import Frame, resize
from napari_iclsam.core.images.intensity import unit_channels
from napari_iclsam.core.settings import Channel
from napari_iclsam.models.build import Built, build_icl, build_sam, describe
from napari_iclsam.models.features import Decoded, Features
from napari_iclsam.models.starter_icl import TwoScalesContext
from napari_iclsam.models.universeg import SupportFeatures
from napari_iclsam.weights.catalogue import CATALOGUE

_LARGE = frozenset({"vit_b", "vit_l", "vit_h"})

IMAGES_AT_ONCE = 4
"""Images embedded in one call on a graphics card: one at a time takes nearly three times as long, more gain little."""

PROMPTS_AT_ONCE = 16
"""Prompts decoded in one call: more would fill the memory without being faster."""

TASKS_AT_ONCE = 2
"""In-context tasks of one call on a processor: four of 512 x 512 at once take a tenth longer."""

SMALL_TASKS = 2**17
"""Pixels of one call that may be more tasks: four of 128 x 128 one by one take half as long again."""


class Promptable(Protocol):
    """What SAM and its relatives are to the pipeline."""

    image_size: int
    grid: int

    def normalise(self, pixels: Tensor) -> Tensor: ...  # noqa: D102
    def encode(self, pixels: Tensor) -> Features: ...  # noqa: D102
    def decode(  # noqa: D102
        self,
        features: Features,
        boxes: Tensor | None = None,
        *,
        masks: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Decoded: ...


Context = SupportFeatures | TwoScalesContext
"""What an in-context network computes of a support set alone."""


class InContext(Protocol):
    """What the in-context networks have in common: see `napari_iclsam.models.universeg.UniverSeg`."""

    image_sizes: tuple[int, ...]
    image_channels: int

    def encode_support(self, images: Tensor, masks: Tensor) -> Context: ...  # noqa: D102
    def __call__(self, query: Tensor, support: Any, guidance: Tensor | None = None) -> Tensor: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Networks:
    """A promptable and an in-context network, ready to run.

    Attributes
    ----------
    sam : nn.Module
        A `Promptable`.
    icl : nn.Module
        An `InContext`.
    device : torch.device
    precision : str
        Of SAM: "float32", "bfloat16" or "float16". (The encoder holds its weights in it, the decoder uses autocast.)
    icl_dtype : torch.dtype
        In which the in-context network computes (autocast).
    names, hashes, licences : mapping of str to str
        By role, "sam" and "icl".
    """

    sam: nn.Module
    icl: InContext
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "float32"
    icl_dtype: torch.dtype = torch.float32
    names: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)

    @property
    def promptable(self) -> Promptable:
        """The promptable network, typed by what it can do."""
        return cast(Promptable, self.sam)

    def frame(self, rgb: NDArray[np.uint8]) -> Frame:
        """Return where an image lies in the encoder's square input."""
        return Frame(rgb.shape[0], rgb.shape[1], self.promptable.image_size)

    @property
    def images_at_once(self) -> int:
        """How many images are best embedded in one call."""
        return IMAGES_AT_ONCE if self.device.type == "cuda" else 1

    def embed(self, rgb: NDArray[np.uint8], cache: EmbeddingCache) -> Embedding:
        """Embed an 8-bit RGB image (H, W, 3), or take its embedding from the cache."""
        return self.embed_all([rgb], cache)[0]

    def embed_all(self, images: Sequence[NDArray[np.uint8]], cache: EmbeddingCache) -> list[Embedding]:
        """Embed images, in one call, or take their embeddings from the cache; see `embed`."""
        encoder, frames = self._encoder_key(), [self.frame(rgb) for rgb in images]
        keys = [embedding_key(rgb, encoder, self.precision) for rgb in images]
        found = {key: cache.get(key) for key in keys}
        missing = {key: n for n, key in enumerate(keys) if found[key] is None}
        if missing:
            squares = torch.cat([self._square(images[n], frames[n]) for n in missing.values()])
            for key, features in zip(missing, parted(self.promptable.encode(squares)), strict=True):
                cache.put(key, features)
                found[key] = features
        return [
            Embedding(on_device(cast(Features, found[key]), self.device), frame)
            for key, frame in zip(keys, frames, strict=True)
        ]

    def _square(self, rgb: NDArray[np.uint8], frame: Frame) -> Tensor:
        """Make the encoder's input of an image, (1, 3, s, s)."""
        return frame.pad(self.promptable.normalise(frame.to_square(rgb).to(self.device)))

    def _encoder_key(self) -> str:
        """Tell this encoder from others: by its weights, their preprocessing and the size of its input."""
        weights = self.hashes.get("sam") or _digest(self.sam)
        return f"{weights}/{getattr(self.sam, 'preprocessing', '')}/{self.promptable.image_size}"

    def icl_image(self, rgb: NDArray[np.uint8], side: int, channel: Channel, *, smooth: bool, stretch: bool) -> Tensor:
        """Make the in-context model's input of an image, (1, C, s, s); see `icl_image`."""
        channels = unit_channels(rgb, self.icl.image_channels, channel)
        return icl_image(torch.from_numpy(channels).to(self.device), side, smooth=smooth, stretch=stretch)

    def encode_support(self, images: Tensor, masks: Tensor) -> Context:
        """Give a support set to the in-context model; see `UniverSeg.encode_support`."""
        with self._computing_in(self.icl_dtype):
            return self.icl.encode_support(images, masks)

    def segment_in_context(self, query: Tensor, context: Context, guidance: Tensor | None) -> Tensor:
        """Return the in-context model's logits of a query for each of T tasks, float32; see `UniverSeg.forward`."""
        at_once = len(query)
        if self.device.type == "cpu":
            at_once = max(TASKS_AT_ONCE, SMALL_TASKS // (query.shape[-2] * query.shape[-1]))
        logits = []
        for start in range(0, len(query), at_once):
            part = slice(start, start + at_once)
            with self._computing_in(self.icl_dtype):
                guided = None if guidance is None else guidance[part]
                asked = context if len(query) <= at_once else some_tasks(context, part)
                logits.append(self.icl(query[part], asked, guided).float())
        return torch.cat(logits)

    def _computing_in(self, dtype: torch.dtype) -> torch.autocast:
        half = dtype != torch.float32
        return torch.autocast(self.device.type, dtype=dtype if half else None, enabled=half)

    def decode(self, embedding: Embedding, boxes: Tensor, bias: Tensor | None, masks: Tensor | None) -> Tensor:
        """Return SAM's logits over the square input for N boxes of one image, (N, 256, 256).

        Parameters
        ----------
        embedding : Embedding
        boxes : Tensor, (N, 4)
            In pixels of the square input.
        bias : Tensor, (N, grid * grid), optional
        masks : Tensor, (N, 1, 256, 256), optional
        """
        parts = []
        for start in range(0, len(boxes), PROMPTS_AT_ONCE):
            part = slice(start, start + PROMPTS_AT_ONCE)
            with self._computing_in(getattr(torch, self.precision)):
                decoded = self.promptable.decode(
                    embedding.features,
                    boxes[part],
                    masks=None if masks is None else masks[part],
                    bias=None if bias is None else bias[part],
                )
            parts.append(decoded.logits.float())
        return torch.cat(parts)


def some_tasks(context: Context, tasks: Sequence[int] | slice) -> Context:
    """Return some of the tasks of a context, all of whose tensors have the tasks first."""
    return cast(Context, _some(context, tasks if isinstance(tasks, slice) else list(tasks)))


def _some(part: Any, tasks: list[int] | slice) -> Any:
    if isinstance(part, Tensor):
        return part[tasks]
    return replace(part, **{inner.name: _some(getattr(part, inner.name), tasks) for inner in fields(part)})


def icl_image(channels: Tensor, side: int, *, smooth: bool, stretch: bool) -> Tensor:
    """Make an in-context model's input: (1, C, s, s), scaled to [0, 1] by its extremes.

    Parameters
    ----------
    channels : Tensor, (C, H, W), float32
        Of `unit_channels`.
    side : int
        Of the input, s.
    smooth : bool
        Average over what a pixel of the smaller image covers, instead of reading single pixels.
    stretch : bool
        Scale again after resizing. The published code does so for support images and not for queries.
    """
    values, size = _to_unit(channels[None]), (side, side)
    values = F.interpolate(values, size, mode="bilinear", antialias=True) if smooth else resize(values, size)
    return _to_unit(values) if stretch else values


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """Names of networks, known to exist, that are loaded when they are needed."""

    sam: str
    icl: str
    device: torch.device
    dtype: torch.dtype
    icl_dtype: torch.dtype

    @classmethod
    def of(cls, sam: str, icl: str, device: str, precision: Precision = "float32") -> NetworkSource:
        """Check the names.

        Raises
        ------
        ValueError
            If a name, the device or the precision is unknown.
        """
        weights, there = describe(sam, "sam"), choose_device(device)
        describe(icl, "icl")
        large = weights.architecture in _LARGE
        dtypes = (choose_precision(precision, there, large=heavy) for heavy in (large, True))
        return cls(sam, icl, there, *dtypes)

    def load(self) -> Networks:
        """Read both networks from disk.

        Raises
        ------
        FileNotFoundError
            If the weights are not on this computer.
        """
        here = self.device.type == "cpu"
        sam, icl = build_sam(self.sam, self.dtype, here=here), build_icl(self.icl, here=here)
        built = {"sam": sam, "icl": icl}
        return Networks(
            sam.module.to(self.device),
            cast(InContext, icl.module.to(self.device)),
            self.device,
            str(sam.dtype).removeprefix("torch."),
            self.icl_dtype,
            names={"sam": _lasting(self.sam, sam), "icl": _lasting(self.icl, icl)},
            hashes={role: one.sha256 for role, one in built.items()},
            licences={role: one.weights.licence for role, one in built.items()},
        )


def _lasting(name: str, built: Built) -> str:
    """Return a name under which a network is found again, whatever the working folder: a file's whole path."""
    if built.weights.name in CATALOGUE:
        return built.weights.name
    prefix = "" if Path(name).expanduser().is_file() else name.partition(":")[0] + ":"
    return prefix + str(built.path.resolve())


def _digest(module: nn.Module) -> str:
    """Return the SHA-256 of a module's tensors, for one that was not read from a file."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _to_unit(values: Tensor) -> Tensor:
    """Scale by the smallest and largest value to [0, 1]; zeros if they are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)
