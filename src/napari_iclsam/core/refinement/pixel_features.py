"""Features of a pixel: intensity, edges and ridges at several scales."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SIGMAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Standard deviations of the Gaussians in pixels."""

_NOISE = 0.02
"""Added to the standard deviation of a channel in [0, 1], so that noise is not amplified where an
image is almost constant."""


def count_channels(rgb: NDArray[np.uint8]) -> int:
    """Return how many channels of an image (H, W, 3) differ: 1 of a grey image, 3 of others."""
    return 1 if (rgb == rgb[..., :1]).all() else 3


def select_channels(rgb: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """Return the three channels of an image (H, W, 3), or their mean.

    Parameters
    ----------
    rgb : ndarray, (H, W, 3), uint8
    count : int
        1 for the mean, 3 for all.

    Returns
    -------
    ndarray, (``count``, H, W), float32
        In [0, 1].
    """
    values = np.moveaxis(rgb, -1, 0).astype(np.float32)
    channels: NDArray[np.float32] = values / np.float32(255)
    if count == 1:
        return np.asarray(channels.mean(axis=0, keepdims=True), np.float32)
    return channels


def feature_maps(channels: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the features of all pixels map by map.

    For each channel and each scale, these are the smoothed intensity, the magnitude of its
    gradient, and the larger and the smaller eigenvalue of its Hessian matrix, close to those of
    `skimage.feature.multiscale_basic_features`. The same four follow for the standardised channel:
    images differ in brightness, contrast and stain, which a classifier fitted to few of them would
    otherwise take for a property of the objects.

    Parameters
    ----------
    channels : ndarray, (C, H, W), float32
        Of `select_channels`.

    Yields
    ------
    ndarray, (H, W), float32
    """
    for channel in channels:
        # of the image itself and not of the support: brightness differs from image to image
        mean = channel.mean()
        spread = channel.std() + np.float32(_NOISE)
        for sigma in SIGMAS:
            smooth = ndimage.gaussian_filter(channel, sigma, mode="nearest")
            derivatives = _derivatives(smooth)
            yield smooth
            yield from derivatives
            yield (smooth - mean) / spread
            for values in derivatives:
                yield values / spread


def _derivatives(smooth: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the gradient's magnitude and the Hessian's two eigenvalues, larger first."""
    down = _slope(smooth, 0)
    right = _slope(smooth, 1)
    rows = _slope(down, 0)
    mixed = _slope(down, 1)
    columns = _slope(right, 1)
    # the eigenvalues of ((rows, mixed), (mixed, columns))
    center = (rows + columns) * np.float32(0.5)
    radius = np.hypot((rows - columns) * np.float32(0.5), mixed)
    return [np.hypot(down, right), center + radius, center - radius]


def _slope(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the central difference of values (H, W) along an axis; edges are repeated."""
    margin = [(0, 0), (0, 0)]
    margin[axis] = (1, 1)
    padded = np.pad(values, margin, mode="edge")
    after = padded[2:] if axis == 0 else padded[:, 2:]
    before = padded[:-2] if axis == 0 else padded[:, :-2]
    return (after - before) * np.float32(0.5)
