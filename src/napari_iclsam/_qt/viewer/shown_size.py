"""Labels that are not shown as large as their image, although they have its pixels."""

from __future__ import annotations

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_iclsam._qt.viewer.layers import misfit, shape

_SAME = 0.02
"""Relative difference of sizes that rounded pixel sizes may cause."""


def remark_on_size(image: Layer | None, labels: Layer | None) -> str:
    """Return that labels are shown larger or smaller than their image; empty if they are not.

    Pixels are paired by their numbers. Of labels without the image's pixel size, the slice on
    screen is then another one than that of the image.
    """
    if image is None or labels is None or misfit(image, labels):
        return ""
    ours, theirs = _size(image)[-labels.ndim :], _size(labels)
    if np.allclose(ours, theirs, rtol=_SAME, atol=0):
        return ""
    return (
        f"Labels '{labels.name}' are shown in the size {_in_words(theirs)}, image '{image.name}' "
        f"in {_in_words(ours)}: they are paired pixel by pixel, not as you see them. Give the "
        "labels the image's pixel size (layer.scale)."
    )


def _size(layer: Layer) -> NDArray[np.float64]:
    """Return how far a layer extends along each axis of the world; 0 if it has one pixel there."""
    first, last = np.asarray(layer.extent.world)
    count = np.asarray(shape(layer))
    # napari's extent is that of the pixels' centers
    return np.asarray((last - first) * count / np.maximum(count - 1, 1))


def _in_words(size: NDArray[np.float64]) -> str:
    return " × ".join(f"{length:.4g}" for length in size)
