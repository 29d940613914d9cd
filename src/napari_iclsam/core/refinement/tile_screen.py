"""Tiles that hold nothing, told by the pixel classifier, which is fast, before all else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.refinement.pixel_classifier import PixelClassifier

_STEP = 2
"""One of so many rows and columns is looked at: objects are wider, and it takes half the time."""

_TOP = 5
"""A tile is judged by the log-odds that so many of these pixels exceed: noise has single peaks."""

_LIMIT = -1.5
"""Log-odds below which no object is to be expected: a probability of 0.18. Tiles with nuclei or
cells on development mosaics have more than 0, patches of background mostly less than -2."""

_MARGIN = 3.0
"""Log-odds by which a tile with objects may fall below the examples, which were seen in fitting."""


@dataclass(frozen=True, slots=True)
class TileScreen:
    """Tells tiles that hold nothing.

    Attributes
    ----------
    classifier : PixelClassifier
    limits : ndarray, (L,), float32
        Log-odds of each label below which a tile does not hold it.
    """

    classifier: PixelClassifier
    limits: NDArray[np.float32]

    def is_empty(self, rgb: NDArray[np.uint8]) -> bool:
        """Return whether a tile (H, W, 3) holds none of the labels."""
        return bool((_evidence(self.classifier, rgb) < self.limits).all())


def fit_tile_screen(
    classifier: PixelClassifier,
    images: Sequence[NDArray[np.uint8]],
    masks: Sequence[NDArray[np.bool_]],
) -> TileScreen:
    """Choose the limits so that examples with objects lie far above.

    Parameters
    ----------
    classifier : PixelClassifier
        Fitted to the examples.
    images : sequence of ndarray, (H, W, 3), uint8
    masks : sequence of ndarray, (L, H, W), bool
    """
    limits = np.full(len(masks[0]), _LIMIT, np.float32)
    for rgb, of_labels in zip(images, masks, strict=True):
        holds = of_labels.any(axis=(1, 2))
        lowest = _evidence(classifier, rgb) - _MARGIN
        limits = np.where(holds, np.minimum(limits, lowest), limits)
    return TileScreen(classifier, limits)


def _evidence(classifier: PixelClassifier, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the log-odds of each label that some pixels of a tile exceed, (L,)."""
    flat = classifier.sampled_log_odds(rgb, _STEP)
    place = max(0, flat.shape[1] - _TOP)
    return np.asarray(np.partition(flat, place, axis=1)[:, place])
