"""The promptable model on its device: it embeds images and decodes prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_iclsam.core.encoder.autocast import computing_in
from napari_iclsam.core.encoder.cache import EmbeddingCache, embedding_key, on_device, split_batch
from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.models.features import Decoded, Features, Resampling
from napari_iclsam.models.prompts import Prompts

IMAGES_AT_ONCE = 4
"""Images embedded in one call on a graphics card: one at a time takes nearly three times as long,
more gain little."""

PROMPTS_AT_ONCE = 16
"""Prompts decoded in one call: more would fill the memory without being faster."""


class Promptable(Protocol):
    """What SAM and its relatives are to the method."""

    image_size: int
    grid: int

    @property
    def resampling(self) -> Resampling: ...  # noqa: D102

    def normalise(self, pixels: Tensor) -> Tensor: ...  # noqa: D102
    def encode(self, pixels: Tensor) -> Features: ...  # noqa: D102
    def decode(self, features: Features, prompts: Prompts) -> Decoded: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class PromptableRunner:
    """A promptable network, ready to run.

    Attributes
    ----------
    network : nn.Module
        A `Promptable`.
    cache : EmbeddingCache
    device : torch.device
    precision : str
        "float32", "bfloat16" or "float16": the encoder holds its weights in it.
    encoder_autocast : str
        The encoder computes in it, by autocast. Empty: as its weights are.
    checksum : str
        Of the weights: embeddings of other weights are not taken from the cache. Computed if empty.
    decoder_precision : str
        The decoder computes in it, by autocast. Empty: that of the encoder.
    """

    network: nn.Module
    cache: EmbeddingCache
    device: torch.device
    precision: str = "float32"
    checksum: str = ""
    decoder_precision: str = ""
    encoder_autocast: str = ""

    @property
    def promptable(self) -> Promptable:
        """The network, typed by what it can do."""
        return cast(Promptable, self.network)

    @property
    def images_at_once(self) -> int:
        """How many images are best embedded in one call."""
        return IMAGES_AT_ONCE if self.device.type == "cuda" else 1

    def frame(self, rgb: NDArray[np.uint8]) -> Frame:
        """Return where an image lies in the encoder's square input."""
        return Frame(
            rgb.shape[0],
            rgb.shape[1],
            self.promptable.image_size,
        )

    def embed(self, rgb: NDArray[np.uint8]) -> Embedding:
        """Embed an 8-bit RGB image (H, W, 3), or take its embedding from the cache."""
        return self.embed_batch([rgb])[0]

    def embed_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Embedding]:
        """Embed images in one call, or take their embeddings from the cache; see `embed`."""
        encoder = self._encoder_key()
        precision = self.encoder_autocast or self.precision
        keys = [embedding_key(rgb, encoder, precision) for rgb in images]
        found = {key: self.cache.get(key) for key in keys}
        # by key, so that planes that are equal are embedded once
        by_key = dict(zip(keys, images, strict=True))
        missing = {key: rgb for key, rgb in by_key.items() if found[key] is None}
        found |= self._encode(missing)
        embedded = []
        for key, rgb in zip(keys, images, strict=True):
            features = on_device(cast(Features, found[key]), self.device)
            embedded.append(Embedding(features, self.frame(rgb)))
        return embedded

    def decode(self, embedding: Embedding, prompts: Prompts) -> Tensor:
        """Return the mask logits of N prompts of one image over the square input.

        They are (N, 4 grid, 4 grid), float32.
        """
        dtype: torch.dtype = getattr(torch, self.decoder_precision or self.precision)
        parts = []
        for start in range(0, len(prompts), PROMPTS_AT_ONCE):
            part = prompts.part(start, start + PROMPTS_AT_ONCE)
            # the decoder's weights are float32 whatever the precision: autocast alone lowers it
            with computing_in(dtype, self.device):
                decoded = self.promptable.decode(embedding.features, part)
            # maxima and sums follow, in which half precision would lose digits
            parts.append(decoded.logits.float())
        return torch.cat(parts)

    def _encode(self, images: dict[str, NDArray[np.uint8]]) -> dict[str, Features]:
        """Embed images by their keys, in one call, and keep the features in the cache."""
        if not images:
            return {}
        squares = torch.cat([self._square(rgb) for rgb in images.values()])
        dtype: torch.dtype = getattr(torch, self.encoder_autocast or "float32")
        with computing_in(dtype, self.device):
            features_of_all = split_batch(self.promptable.encode(squares))
        encoded = dict(zip(images, features_of_all, strict=True))
        for key, features in encoded.items():
            self.cache.put(key, features)
        return encoded

    def _square(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Make the encoder's input of an image, (1, 3, s, s)."""
        frame = self.frame(rgb)
        pixels = frame.to_square(rgb, self.promptable.resampling)
        # padded after normalising: SAM was trained with padding that is zero then
        return frame.pad(self.promptable.normalise(pixels.to(self.device)))

    def _encoder_key(self) -> str:
        """Name this encoder by its weights, their preprocessing and the size of its input."""
        # networks without a file, as in tests, have no checksum to be given
        checksum = self.checksum or _checksum(self.network)
        preprocessing = getattr(self.network, "preprocessing", "")
        return f"{checksum}/{preprocessing}/{self.promptable.image_size}"


def _checksum(module: nn.Module) -> str:
    """Return the SHA-256 of a module's tensors, for one that was not read from a file."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        # as bytes, since NumPy has no bfloat16
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()
