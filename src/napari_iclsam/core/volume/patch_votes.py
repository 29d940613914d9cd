"""Patch-based label fusion: pixels take the label of labelled pixels whose surroundings look alike.

The labelled planes on both sides are carried to a plane along with the tissue. What registration
leaves over, a search around each pixel finds (Coupé et al. 2011, Rousseau et al. 2011).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from napari_iclsam.core.volume.labelled_planes import LabelledPlanes
from napari_iclsam.core.volume.motion import ABOVE, BELOW, PlaneMotion

_SEARCH = 2
"""Pixels, up or down and left or right, in which something alike is looked for."""

_PATCH = 3
"""Side of the surroundings that are compared, in pixels."""

_BLUR = 0.5
"""Standard deviation, in pixels, of the filter against noise."""

_NOISE = 4.0
"""Root mean square of grey values by which patches may differ and still be as good as equal."""

_WAY = 3.0
"""Pixels to something alike at which a vote counts for exp(-1/2)."""

_LIMIT = 3.0
"""Log-odds beyond which votes are not surer."""

_TINY = 1e-3
"""Added to the shares of both sides: nothing is impossible."""


@dataclass(frozen=True, slots=True, eq=False)
class _PlaneWeights:
    """How much the pixels of the labelled planes beside a plane count in it.

    Attributes
    ----------
    plane : int
    sources : tuple of (int, int)
        Labelled planes, each with the side on which it lies.
    values : ndarray, (sources, offsets, h, w), float32
        On the part of the planes whose motion is known. Their sum over sources and offsets is 1.
    """

    plane: int
    sources: tuple[tuple[int, int], ...]
    values: NDArray[np.float32]


class PatchVotes:
    """Votes of the labelled planes on both sides, shared by all labels of a stack.

    Parameters
    ----------
    motion : PlaneMotion
    """

    def __init__(self, motion: PlaneMotion) -> None:
        self.motion = motion
        # of the last plane alone: all its labels are asked for, one after the other
        self._known: _PlaneWeights | None = None

    def log_odds(self, labelled: LabelledPlanes, plane: int) -> NDArray[np.float32]:
        """Return the log-odds (H, W) of a label by the share of the votes that it has.

        They are 0 if neither of the labelled planes beside holds it: such planes do not say that an
        object cannot come again.

        Parameters
        ----------
        labelled : LabelledPlanes
            On the working grid.
        plane : int
            Not labelled.
        """
        weights = self._weights_of(labelled, plane)
        size = labelled.masks.shape[1:]
        if not any(source in labelled.holding for source, _ in weights.sources):
            return np.zeros(size, np.float32)
        grid = self.motion.grid
        inside = np.zeros(weights.values.shape[2:], np.float32)
        for (source, side), of_source in zip(weights.sources, weights.values, strict=True):
            mask = labelled.mask(source).astype(np.float32)
            carried = self.motion.carry(mask, plane, side)[grid.rows, grid.columns]
            for weight, moved in zip(of_source, _moved(carried), strict=True):
                inside += weight * moved
        share = np.zeros(size, np.float32)
        share[grid.rows, grid.columns] = np.clip(inside, 0, 1)
        log_odds = np.log((share + _TINY) / (1 - share + _TINY))
        return np.asarray(np.clip(log_odds, -_LIMIT, _LIMIT), dtype=np.float32)

    def _weights_of(self, labelled: LabelledPlanes, plane: int) -> _PlaneWeights:
        sides = ((labelled.below(plane), BELOW), (labelled.above(plane), ABOVE))
        sources = tuple((source, side) for source, side in sides if source is not None)
        known = self._known
        if known is None or (known.plane, known.sources) != (plane, sources):
            known = _PlaneWeights(plane, sources, self._weigh(plane, sources))
            self._known = known
        return known

    def _weigh(self, plane: int, sources: tuple[tuple[int, int], ...]) -> NDArray[np.float32]:
        """Return how much each source and offset counts, by likeness and by the way to it."""
        grid = self.motion.grid
        here = self._smoothed(plane)[grid.rows, grid.columns]
        differences = []
        for source, side in sources:
            carried = self.motion.carry(self._smoothed(source), plane, side)
            differences.append(_patch_differences(here, carried[grid.rows, grid.columns]))
        stacked = np.stack(differences)
        # relative to the best of the pixel: some tissue is nowhere found again as it is
        scale = stacked.min(axis=(0, 1)) + _NOISE**2
        exponents = -stacked / scale
        ways = [(row**2 + column**2) / (2 * _WAY**2) for row, column in _offsets()]
        exponents -= np.array(ways, np.float32)[:, None, None]
        # a plane twice as far away has half the say
        far = [np.log(abs(plane - source)) for source, _ in sources]
        exponents -= np.array(far, np.float32)[:, None, None, None]
        weights = special.softmax(exponents, axis=(0, 1))
        return np.asarray(weights, dtype=np.float32)

    def _smoothed(self, plane: int) -> NDArray[np.float32]:
        grey = self.motion.read_grey(plane).astype(np.float32)
        return np.asarray(ndimage.gaussian_filter(grey, _BLUR), dtype=np.float32)


def vote_agreement(mask: NDArray[np.bool_], log_odds: NDArray[np.float32]) -> float:
    """Return the Dice of a mask (H, W) and the share of the votes; 0 of an empty mask or no votes.

    Parameters
    ----------
    mask : ndarray, (H, W), bool
    log_odds : ndarray, (H, W), float32
        Of `PatchVotes.log_odds`.
    """
    if not (mask.any() and log_odds.any()):
        return 0.0
    # what nearly nobody votes for is background, of which there is much
    share = np.where(log_odds > -_LIMIT, special.expit(log_odds), 0.0)
    both = float(share[mask].sum())
    return 2 * both / float(np.count_nonzero(mask) + share.sum())


def _patch_differences(
    here: NDArray[np.float32], there: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean square difference of patches at each offset, (offsets, h, w).

    Pixels at the border are repeated.
    """
    height, width = here.shape
    # in patches, the pixels around those at the border count, too
    here = np.pad(here, _PATCH // 2, mode="edge")
    there = np.pad(there, _PATCH // 2, mode="edge")
    means = np.empty((len(_offsets()), height, width), np.float32)
    for mean, moved in zip(means, _moved(there), strict=True):
        squares = np.square(here - moved)
        # rows, then columns: of three values each, a sum is quicker than any filter
        of_rows = sum(squares[row : row + height] for row in range(_PATCH))
        of_patches = sum(of_rows[:, column : column + width] for column in range(_PATCH))
        np.multiply(of_patches, 1 / _PATCH**2, out=mean)
    return means


def _offsets() -> list[tuple[int, int]]:
    steps = range(-_SEARCH, _SEARCH + 1)
    return [(row, column) for row in steps for column in steps]


def _moved(values: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield values (h, w) moved by each offset; those at the border are repeated."""
    height, width = values.shape
    padded = np.pad(values, _SEARCH, mode="edge")
    for row, column in _offsets():
        top = _SEARCH + row
        left = _SEARCH + column
        yield padded[top : top + height, left : left + width]
