"""Grey values that tell an object from what lies around it, learnt from the labelled planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam.core.volume.labelled_planes import LabelledPlanes
from napari_iclsam.core.volume.motion import ReadGrey

_BINS = 64
_BIN_WIDTH = 4
_SMOOTHING = 1.5
_FLOOR = 1e-3
APPEARANCE_LIMIT = 2.0
"""Log-odds beyond which grey values are never surer."""

_REACH = 3.0
"""Least width, in pixels, of the ring around an object that counts as its background."""


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """Log-likelihood ratio of grey values.

    Attributes
    ----------
    table : ndarray, (64,), float32
        Of grey values 4 n to 4 n + 3: log p(value | object) - log p(value | around it).
    typical : float
        Mean log-odds in the object in its labelled planes.
    """

    table: NDArray[np.float32]
    typical: float

    def log_odds(self, grey: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return log-odds (H, W) of grey values, a little smoothed against noise, within +-2."""
        # single pixels are noise more often than objects
        values = ndimage.gaussian_filter(self.table[grey // _BIN_WIDTH], 0.7)
        return np.asarray(np.clip(values, -APPEARANCE_LIMIT, APPEARANCE_LIMIT), dtype=np.float32)


def learn_appearance(labelled: LabelledPlanes, read_grey: ReadGrey) -> Appearance:
    """Learn the grey values of an object and of its surroundings (a ring as wide as its radius)."""
    inside = np.zeros(_BINS)
    around = np.zeros(_BINS)
    # tissue far off never competes with the object: only what it might be taken for counts
    reach = max(_REACH, labelled.radius())
    for plane in labelled.holding:
        mask = labelled.mask(plane)
        bins = read_grey(plane) // _BIN_WIDTH
        distance = ndimage.distance_transform_edt(~mask)
        ring = (distance > 0) & (distance <= reach)
        # shares and not counts: each plane has one vote, however large the object is in it
        inside += _shares(bins[mask])
        around += _shares(bins[ring])
    table = _log_density(inside) - _log_density(around)
    appearance = Appearance(table.astype(np.float32), 0.0)
    found = []
    for plane in labelled.holding:
        log_odds = appearance.log_odds(read_grey(plane))
        found.append(log_odds[labelled.mask(plane)].mean())
    return Appearance(
        appearance.table,
        float(np.mean(found)) if found else 0.0,
    )


def _shares(bins: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the share of values in each bin; zeros if there are none."""
    counts = np.bincount(bins, minlength=_BINS)
    return np.asarray(counts / max(len(bins), 1))


def _log_density(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth a histogram and take logarithms."""
    # a grey value that was never seen is unlikely, not impossible
    smooth = ndimage.gaussian_filter1d(counts, _SMOOTHING) + _FLOOR
    return np.asarray(np.log(smooth / smooth.sum()))
