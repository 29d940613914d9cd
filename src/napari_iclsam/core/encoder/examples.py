"""The support set as the networks take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.encoder.embedding import EmbeddedImage, Embedding
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.images.unknown import has_unknown, without_unknown

Masks = list[NDArray[np.bool_]]
"""Of one label, (H, W) each, pair by pair."""


@dataclass(frozen=True, slots=True)
class Examples:
    """A support set of K pairs, its images in 8 bits and their embeddings.

    Attributes
    ----------
    support : SupportSet
    images : tuple of ndarray, (H, W, 3), uint8
    embeddings : tuple of tuple of Embedding
        Of each pair, one a promptable model. Empty where none are needed.
    """

    support: SupportSet
    images: tuple[NDArray[np.uint8], ...]
    embeddings: tuple[tuple[Embedding, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.support)

    def subset(self, pairs: Sequence[int]) -> Examples:
        """Return some of the pairs."""
        return Examples(
            self.support.subset(pairs),
            tuple(self.images[pair] for pair in pairs),
            # before anything is embedded, as for a preview, there are none to choose from
            tuple(self.embeddings[pair] for pair in pairs) if self.embeddings else (),
        )

    def of_expert(self, expert: int) -> tuple[Embedding, ...]:
        """Return the embedding of each pair by one promptable model."""
        return tuple(of_pair[expert] for of_pair in self.embeddings)

    def with_experts(self, chosen: Sequence[int]) -> Examples:
        """Return the examples with the embeddings of some of the promptable models."""
        embeddings = []
        for of_pair in self.embeddings:
            embeddings.append(tuple(of_pair[expert] for expert in chosen))
        return replace(self, embeddings=tuple(embeddings))

    def embedded(self, pair: int) -> EmbeddedImage:
        """Return the image of one pair with its embedding."""
        return EmbeddedImage(
            self.images[pair],
            self.embeddings[pair],
        )

    def without_unknown(self) -> Examples:
        """Return the examples for a model that knows an object and background, and nothing else.

        Narrow rims of unknown pixels are divided between what lies on both sides; wide areas are
        hidden. Embeddings stay those of the whole images.
        """
        if not any(map(has_unknown, self.support.labels)):
            return self
        images = []
        for rgb, labels in zip(self.images, self.support.labels, strict=True):
            images.append(without_unknown(rgb, labels))
        support = replace(self.support, labels=self.support.decided_labels())
        return replace(self, support=support, images=tuple(images))

    def known(self) -> list[NDArray[np.bool_]]:
        """Return the pixels of each pair that are an object or background, (H, W)."""
        return [self.support.known(pair) for pair in range(len(self.support))]

    def masks(self, pair: int) -> NDArray[np.bool_]:
        """Return the mask of each label in one pair, (L, H, W)."""
        # labels that the pair does not hold as well: all pairs have the same L
        return np.stack([self.support.mask(pair, label) for label in self.support.ids])

    def all_masks(self) -> list[NDArray[np.bool_]]:
        """Return the masks of each pair, (L, H, W)."""
        return [self.masks(pair) for pair in range(len(self.support))]

    def masks_by_label(self) -> list[Masks]:
        """Return the mask of each pair, (H, W), label by label."""
        return [self.masks_of(label) for label in self.support.ids]

    def masks_of(self, label: int) -> Masks:
        """Return the mask of each pair, (H, W), of one label."""
        return [self.support.mask(pair, label) for pair in range(len(self.support))]
