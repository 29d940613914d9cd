"""The support set as the networks take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.encoder.embedding import EmbeddedImage, Embedding
from napari_iclsam.core.images.intensity import to_rgb8
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.images.unknown import has_unknown, without_unknown
from napari_iclsam.core.images.windows import Window, ct_window, in_window, stack_in_window

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
    window : Window, optional
        The one scale of grey values of images that are CT. It is that of queries in Hounsfield
        units, too.
    """

    support: SupportSet
    images: tuple[NDArray[np.uint8], ...]
    embeddings: tuple[tuple[Embedding, ...], ...] = ()
    window: Window | None = None

    @classmethod
    def of(cls, support: SupportSet, *, shared_scale: bool) -> Examples:
        """Return a support set with its images in 8 bits; embeddings come later.

        Parameters
        ----------
        support : SupportSet
        shared_scale : bool
            Whether images that are CT are seen on one scale.
        """
        window = ct_window(support.images) if shared_scale else None
        images = tuple(to_rgb8(in_window(image, window)) for image in support.images)
        return cls(support, images, window=window)

    def __len__(self) -> int:
        return len(self.support)

    def subset(self, pairs: Sequence[int]) -> Examples:
        """Return some of the pairs."""
        # before anything is embedded, as for a preview, there are none to choose from
        embeddings = tuple(self.embeddings[pair] for pair in pairs) if self.embeddings else ()
        images = tuple(self.images[pair] for pair in pairs)
        return replace(
            self, support=self.support.subset(pairs), images=images, embeddings=embeddings
        )

    def seen(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Return a query as the models see it, (H, W, 3)."""
        return to_rgb8(in_window(image, self.window))

    def seen_stack(self, volume: ArrayLike, axis: int, planes: Sequence[int]) -> ArrayLike:
        """Return a stack of queries on the scale of the examples, if some planes are like them."""
        return stack_in_window(volume, axis, planes, self.window)

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
