"""Where an object lies, given where it lies in the plane beside and both planes' grey values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

_PATCH = 3
"""Side of the patches that are compared, in pixels."""

_LEAST = 0.02
"""Propagation is never surer than this probability, nor than one minus it."""

_RELEVANT = 0.05
"""Probability below which a pixel counts as background when the region to be searched is found."""


_TOLERANCE = 0.7
"""Difference of patches that counts as a match, relative to the noise of grey values."""

_UNMATCHED = 1e-6
"""Weight of the same place in the source, beside patches that match (1 if they are equal)."""


@dataclass(frozen=True, slots=True)
class Matching:
    """How patches of two planes are compared.

    Attributes
    ----------
    noise : float
        Difference of grey values (of 255) of the same tissue in two planes; see `estimate_noise`.
    radius : int
        Search radius in pixels.
    """

    noise: float
    radius: int


def search_radius(step: float) -> int:
    """Return the search radius in pixels; objects move farther between thick planes."""
    # limited, since time grows with the square of the radius
    return int(np.clip(round(1 + step), 2, 4))


def estimate_noise(pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> float:
    """Return the noise of grey values, from differences of planes side by side.

    It is 1.4826 median |difference| / sqrt(2), over pixels that differ; at least 1.
    """
    differences = []
    for one, other in pairs:
        # in int16: a difference of uint8 would wrap around
        difference = np.abs(one.astype(np.int16) - other.astype(np.int16))
        # padding and saturated pixels are equal in both planes and would hide the noise
        differences.append(difference[difference > 0])
    values = np.concatenate(differences) if differences else np.zeros(0)
    if not len(values):
        return 1.0
    median = float(np.median(values))
    return max(1.0, 1.4826 * median / float(np.sqrt(2)))


def propagate(
    probability: NDArray[np.float32],
    source: NDArray[np.uint8],
    target: NDArray[np.uint8],
    matching: Matching,
) -> NDArray[np.float32]:
    """Carry a probability map to the plane beside, by non-local label fusion.

    After Coupe et al. 2011 and Rousseau et al. 2011, with the plane beside as the atlas.

    Each pixel of the target gets the mean of the source's probabilities within the search radius,
    weighted by exp(-c / (2 (0.7 noise)^2) - d^2 / (2 (radius / 1.5)^2)): c the mean squared
    difference of the patches, d their distance. So an object is followed sideways without a model
    of its motion.

    Parameters
    ----------
    probability : ndarray, (H, W), float32
        Of the source plane.
    source, target : ndarray, (H, W), uint8
        Grey values.
    matching : Matching

    Returns
    -------
    ndarray, (H, W), float32
        Log-odds.
    """
    log_odds = np.full(probability.shape, special.logit(_LEAST), np.float32)
    # objects are small in their planes: searching all of it would take many times as long
    region = _region_to_search(probability, matching.radius + _PATCH)
    if region is None:
        return log_odds
    fused = _fuse_shifted(
        probability[region],
        source[region].astype(np.float32),
        target[region].astype(np.float32),
        matching,
    )
    # limited, so that a plane's own evidence can still turn the decision
    log_odds[region] = special.logit(np.clip(fused, _LEAST, 1 - _LEAST))
    return log_odds


def _fuse_shifted(
    probability: NDArray[np.float32],
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    matching: Matching,
) -> NDArray[np.float32]:
    """Return the weighted mean over all shifts within the search radius."""
    # Where nothing matches, as in a blank plane, the object stays where it is.
    total = _UNMATCHED * probability
    weights = np.full_like(probability, _UNMATCHED)
    radius = matching.radius
    tolerance = 2 * (_TOLERANCE * matching.noise) ** 2
    nearness = 2 * (radius / 1.5) ** 2 if radius else 1.0
    for row in range(-radius, radius + 1):
        for column in range(-radius, radius + 1):
            difference = (target - _shifted(source, row, column)) ** 2
            cost = ndimage.uniform_filter(difference, _PATCH, mode="nearest")
            weight = np.exp(-cost / tolerance - (row**2 + column**2) / nearness)
            total += weight * _shifted(probability, row, column)
            weights += weight
    return total / weights


def _shifted(plane: NDArray[np.float32], row: int, column: int) -> NDArray[np.float32]:
    """Return the plane whose pixel (y, x) is (y + row, x + column) here, borders repeated."""
    height, width = plane.shape
    rows = np.arange(height) + row
    rows = rows.clip(0, height - 1)
    columns = np.arange(width) + column
    columns = columns.clip(0, width - 1)
    return np.asarray(plane[np.ix_(rows, columns)])


def _region_to_search(probability: NDArray[np.float32], margin: int) -> tuple[slice, slice] | None:
    """Return the box, with a margin, around pixels that may be the object; None without any."""
    rows, columns = np.nonzero(probability > _RELEVANT)
    if not len(rows):
        return None
    height, width = probability.shape
    top = max(int(rows.min()) - margin, 0)
    bottom = min(int(rows.max()) + margin + 1, height)
    left = max(int(columns.min()) - margin, 0)
    right = min(int(columns.max()) + margin + 1, width)
    return slice(top, bottom), slice(left, right)
