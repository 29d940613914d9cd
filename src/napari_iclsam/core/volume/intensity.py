"""One scale of grey values for all planes of a volume."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.intensity import in_field_of_view

CLIPPED = (0.1, 99.9)
"""Percentiles of the sampled values that become black and white."""

_SAMPLED_PLANES = 24
_SAMPLED_PIXELS = 20_000

_PADDING_SHARE = 0.01
"""The lowest value is padding only if at least so large a share of all values equals it."""

_PADDING_GAP = 0.25
"""Padding lies farther below all other values than this share of their range."""


@dataclass(frozen=True, slots=True)
class GreyScale:
    """Values of the volume that become black and white.

    Attributes
    ----------
    low, high : float
        Equal if the volume is constant.
    """

    low: float
    high: float

    def to_uint8(self, plane: NDArray[Any]) -> NDArray[np.uint8]:
        """Scale a plane (H, W) or (H, W, C) to 8 bits; values outside the scale are clipped."""
        if not self.high > self.low:
            return np.zeros(plane.shape, np.uint8)
        if plane.dtype == np.uint8 and (self.low, self.high) == (0, 255):
            return plane
        above = plane.astype(np.float64) - self.low
        share = above / (self.high - self.low)
        clipped = np.clip(share, 0, 1)
        return np.asarray(clipped * 255 + 0.5).astype(np.uint8)


def sampled_planes(count: int, labelled: Iterable[int] = ()) -> tuple[int, ...]:
    """Return planes for `estimate_grey_scale`: some evenly spread, and the labelled ones."""
    sampled = min(count, _SAMPLED_PLANES)
    spread = np.linspace(0, count - 1, sampled).round().astype(int)
    return tuple(sorted({int(plane) for plane in spread} | set(labelled)))


def estimate_grey_scale(planes: Iterable[NDArray[Any]]) -> GreyScale:
    """Find one scale of grey values, robust against padding, blank planes and hot pixels.

    Constant planes do not count. Values of padding outside the field of view (of a CT scanner,
    -2000, -3024 or 3071) lie far below or above all others and do not count. Values that are not
    finite do not count.

    Parameters
    ----------
    planes : iterable of ndarray, (H, W) or (H, W, C)
        A sample of planes (see `sampled_planes`), read one at a time.

    Returns
    -------
    GreyScale
        (0, 255) for 8-bit planes, which are used as they are.
    """
    samples = []
    for plane in planes:
        # such planes have a common scale already
        if plane.dtype == np.uint8:
            return GreyScale(0.0, 255.0)
        values = _thinned(plane)
        # blank planes, at the ends of a scan, would pull the percentiles to their one value
        if len(values) and values.min() < values.max():
            samples.append(values)
    if not samples:
        return GreyScale(0.0, 0.0)
    values = _without_padding(np.concatenate(samples))
    low, high = np.percentile(values, CLIPPED)
    if not high > low:  # almost all values equal: what there is lies in the extremes
        low = values.min()
        high = values.max()
    return GreyScale(float(low), float(high))


def _thinned(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Return evenly spread finite values of a plane, flat."""
    # percentiles need no more, and whole planes of a large volume would fill the memory
    step = max(1, plane.size // _SAMPLED_PIXELS)
    if plane.ndim == 2 and np.isfinite(plane).all():
        # padding of any value, also above all others (3071), and of few pixels
        # in floating point: booleans cannot be subtracted, and bytes would wrap around
        plane = plane[in_field_of_view(plane.astype(np.float64))]
    values = plane.ravel()[::step].astype(np.float64)
    return np.asarray(values[np.isfinite(values)])


def _without_padding(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop the lowest value if it is frequent and far below the others."""
    lowest = values.min()
    others = values[values > lowest]
    share = 1 - len(others) / len(values)
    if share < _PADDING_SHARE or not len(others):
        return values
    # not the largest: one hot pixel would make any gap look small
    spread = np.percentile(others, 99) - others.min()
    # of two values in all, the lowest is the background
    if others.min() - lowest > _PADDING_GAP * spread > 0:
        return np.asarray(others)
    return values
