"""Resize images by averages over areas, bit for bit as OpenCV does. Knows no network.

LiteMedSAM was trained on images that ``cv2.resize`` made with ``INTER_AREA``: each pixel of the
result is the mean over the part of the image that it covers. Neither Pillow's box filter nor
PyTorch's "area" weighs pixels that are covered in part. The order of the sums and the rounding are
OpenCV's as well, because a difference of one grey value shows in the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_IGNORED = 1e-3
"""Smaller parts of a pixel do not count in OpenCV."""

_FIXED_POINT = 2048
"""OpenCV enlarges 8-bit images with weights that are multiples of 1 / 2048."""


@dataclass(frozen=True, slots=True)
class _Line:
    """Which pixels of a line each pixel of its resized copy is made of.

    Attributes
    ----------
    pixels : ndarray, (n, taps), int64
        Indices into the line.
    weights : ndarray, (n, taps), float32 or int64
        One for each of these pixels.
    """

    pixels: NDArray[np.int64]
    weights: NDArray[Any]


def resize_by_area(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an image by averages over areas.

    Parameters
    ----------
    rgb : ndarray, (H, W, 3), uint8
    size : tuple of int
        Height and width of the result; either both at most those of the image, or both at least.

    Returns
    -------
    ndarray, (h, w, 3), uint8
    """
    height, width = size
    factors = (rgb.shape[0] / height, rgb.shape[1] / width)
    if factors == (1, 1):
        return rgb
    if min(factors) < 1:
        return _enlarged(rgb, size)
    if factors[0].is_integer() and factors[1].is_integer():
        return _block_means(rgb, size)
    return _shrunk(rgb, size)


def _block_means(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Average blocks of whole pixels."""
    height, width = size
    rows = rgb.shape[0] // height
    columns = rgb.shape[1] // width
    blocks = rgb.reshape(height, rows, width, columns, -1)
    sums: NDArray[np.int64] = blocks.sum(axis=(1, 3), dtype=np.int64)
    if (rows, columns) == (2, 2):
        # the only blocks of which OpenCV rounds halves up
        rounded = (sums + 2) // 4
        return rounded.astype(np.uint8)
    means = sums.astype(np.float32) * np.float32(1 / (rows * columns))
    return np.asarray(np.rint(means)).astype(np.uint8)


def _shrunk(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Average areas that cover pixels in part: along rows first, then along columns, in float32."""
    height, width = size
    narrow = _weighted_sum(
        rgb,
        _overlaps(rgb.shape[1], width),
        axis=1,
    )
    means = _weighted_sum(
        narrow,
        _overlaps(rgb.shape[0], height),
        axis=0,
    )
    return np.asarray(np.rint(means)).astype(np.uint8)


def _overlaps(length: int, new: int) -> _Line:
    """Weigh the pixels of a line by how much of each lies under a pixel of its smaller copy."""
    scale = length / new
    start = np.arange(new)[:, None] * scale
    end = start + scale
    first = np.floor(start).astype(np.int64)
    pixels = first + np.arange(int(scale) + 3)
    overlap = np.minimum(end, pixels + 1) - np.maximum(start, pixels)
    # OpenCV drops them as well, and results are to be equal bit for bit
    overlap[overlap <= _IGNORED] = 0
    covered = np.minimum(scale, length - start)
    weights = (overlap / covered).astype(np.float32)
    return _Line(pixels.clip(max=length - 1), weights)


def _enlarged(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Average areas smaller than a pixel, each in two pixels at most, in fixed point."""
    height, width = size
    wide = _weighted_sum(
        rgb,
        _halves(rgb.shape[1], width),
        axis=1,
    )
    rows = _halves(rgb.shape[0], height)
    # shifted in three steps, as OpenCV does: the rounding follows from it
    upper = wide[rows.pixels[:, 0]] >> 4
    lower = wide[rows.pixels[:, 1]] >> 4
    first = (upper * rows.weights[:, 0, None, None]) >> 16
    second = (lower * rows.weights[:, 1, None, None]) >> 16
    means: NDArray[np.int64] = (first + second + 2) >> 2
    return means.astype(np.uint8)


def _halves(length: int, new: int) -> _Line:
    """Weigh the two pixels of a line in which a pixel of its larger copy may lie."""
    enlargement = new / length
    index = np.arange(new)
    first = np.floor(index * (length / new)).astype(np.int64)
    beyond = ((index + 1) - (first + 1) * enlargement).astype(np.float32)
    fraction = beyond - np.floor(beyond)
    share = np.where(beyond > 0, fraction, 0).astype(np.float32)
    # behind the last pixel there is no second one
    share[first >= length - 1] = 0
    weights = np.stack([1 - share, share], axis=1) * np.float32(_FIXED_POINT)
    pixels = np.stack([first, first + 1], axis=1)
    pixels = pixels.clip(max=length - 1)
    return _Line(pixels, np.rint(weights).astype(np.int64))


def _weighted_sum(image: NDArray[Any], line: _Line, axis: int) -> NDArray[Any]:
    """Sum weighted pixels along an axis, tap after tap: float sums depend on their order."""
    along = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    total: NDArray[Any] = np.zeros((), line.weights.dtype)
    for tap in range(line.pixels.shape[1]):
        values = np.take(
            image,
            line.pixels[:, tap],
            axis=axis,
        )
        total = total + values * line.weights[:, tap].reshape(along)
    return total
