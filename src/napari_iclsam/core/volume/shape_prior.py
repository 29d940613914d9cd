"""The shape of an object in a plane, from the labelled planes on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam.core.volume.labelled_planes import Axis, LabelledPlanes
from napari_iclsam.core.volume.motion import ABOVE, BELOW, PlaneMotion
from napari_iclsam.core.volume.overlap import dice_overlap
from napari_iclsam.core.volume.strengths import Strengths

_EDGE = 0.1
"""Width of the prior at a labelled plane, relative to the object's radius."""

_LEAST_WIDTH = 0.5
"""Pixels: no outline is drawn more exactly."""

_LEAST_AGREEMENT = 0.3
"""Part of the prior that counts where the masks of both sides do not overlap at all."""

_LIMIT = 4.0
"""Widths beyond which the prior is not surer."""


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance of pixels to the edge of a mask (H, W), in pixels, positive inside.

    What lies outside the plane counts as background, so that the distance is defined for a full
    plane. Without an object, the distance is minus the longer side everywhere.
    """
    if not mask.any():
        return np.full(mask.shape, -float(max(mask.shape)), np.float32)
    # the border counts as background, or a full plane would have no edge at all
    padded = np.pad(mask, 1)
    # half a pixel less: the edge lies between pixels, not at the center of one
    inside = ndimage.distance_transform_edt(padded) - 0.5
    outside = ndimage.distance_transform_edt(~padded) - 0.5
    distance = np.where(padded, inside, -outside)
    return np.asarray(distance[1:-1, 1:-1], dtype=np.float32)


def signed_distances(labelled: LabelledPlanes) -> dict[int, NDArray[np.float32]]:
    """Return the signed distance (H, W) in each labelled plane that holds the object."""
    return {plane: signed_distance(labelled.mask(plane)) for plane in labelled.holding}


@dataclass(frozen=True, slots=True, eq=False)
class ShapePrior:
    """Signed distances of labelled planes, carried along with the tissue to other planes.

    Attributes
    ----------
    labelled : LabelledPlanes
    axis : Axis
    distances : mapping of int to ndarray
        Of `signed_distances`.
    motion : PlaneMotion
    """

    labelled: LabelledPlanes
    axis: Axis
    distances: Mapping[int, NDArray[np.float32]]
    motion: PlaneMotion

    def log_odds(self, plane: int, strengths: Strengths) -> NDArray[np.float32]:
        """Return the prior (H, W): carried signed distance over a width that grows with the way.

        Between two planes that hold the object, both distances are interpolated linearly (Raya and
        Udupa 1990); as far as the carried masks do not overlap, the prior counts less. Beside one
        such plane, the object shrinks with the distance to it, since it may end. Where no labelled
        plane beside holds it, it would have to end and come again: the prior is against it, by as
        much as one width outside. In time it may well come again: there, the prior is 0.
        """
        below = self._held(self.labelled.below(plane))
        above = self._held(self.labelled.above(plane))
        if below is not None and above is not None:
            return self._between(plane, below, above, strengths)
        if below is not None:
            return self._beyond(plane, below, BELOW, strengths)
        if above is not None:
            return self._beyond(plane, above, ABOVE, strengths)
        against = 0.0 if self.axis.kind == "time" else strengths.shape
        return np.full(self.labelled.masks.shape[1:], -against, np.float32)

    def _held(self, plane: int | None) -> int | None:
        return plane if plane in self.distances else None

    def _between(
        self, plane: int, below: int, above: int, strengths: Strengths
    ) -> NDArray[np.float32]:
        lower = self.motion.carry(self.distances[below], plane, BELOW)
        upper = self.motion.carry(self.distances[above], plane, ABOVE)
        share = (plane - below) / (above - below)
        distance = (1 - share) * lower + share * upper
        away = min(plane - below, above - plane) * self.axis.step
        # where the two sides do not meet, one of them at least was carried wrongly
        overlap = dice_overlap(lower > 0, upper > 0)
        agreement = _LEAST_AGREEMENT + (1 - _LEAST_AGREEMENT) * overlap
        return self._scaled(distance, away, strengths.shape * agreement, strengths)

    def _beyond(
        self, plane: int, held: int, side: int, strengths: Strengths
    ) -> NDArray[np.float32]:
        away = abs(plane - held) * self.axis.step
        carried = self.motion.carry(self.distances[held], plane, side)
        distance = carried - np.float32(strengths.shrinkage * away)
        return self._scaled(distance, 0.5 * away, strengths.shape, strengths)

    def _scaled(
        self, distance: NDArray[np.float32], away: float, factor: float, strengths: Strengths
    ) -> NDArray[np.float32]:
        # two independent errors: of the outline in a labelled plane, and of the way from there
        width = np.hypot(_EDGE * self.labelled.radius(), strengths.drift * away)
        limited = np.clip(distance / max(width, _LEAST_WIDTH), -_LIMIT, _LIMIT)
        return np.asarray(factor * limited, dtype=np.float32)
