"""The embedding of an image: the encoder's features, and where the image lies in its input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.models.features import Features


@dataclass(frozen=True, slots=True)
class Embedding:
    """What SAM's encoder computes of one image.

    Attributes
    ----------
    features : Features
        B = 1, float32, on the device that computes.
    frame : Frame
        Where the image lies in the encoder's square input.
    """

    features: Features
    frame: Frame

    @property
    def cells(self) -> Tensor:
        """The features of the cells that lie on the image, without padding: (F, rows, columns)."""
        # what the encoder computes of zeros beside the image says nothing of the image
        return self.frame.crop_grid(self.features.embedding[0])


@dataclass(frozen=True, slots=True)
class EmbeddedImage:
    """An 8-bit RGB image and its embeddings.

    Attributes
    ----------
    rgb : ndarray, (H, W, 3), uint8
    embeddings : tuple of Embedding
        One a promptable model.
    """

    rgb: NDArray[np.uint8]
    embeddings: tuple[Embedding, ...]

    @property
    def embedding(self) -> Embedding:
        """The embedding of the first promptable model."""
        return self.embeddings[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]
