"""The shape of an object between two labelled planes, by interpolation of signed distances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam.core.volume.labelled_planes import Axis, LabelledPlanes
from napari_iclsam.core.volume.overlap import dice_overlap
from napari_iclsam.core.volume.strengths import Strengths

_EDGE = 0.2
"""Width of the prior at a labelled plane, relative to the object's radius."""

_LIMIT = 3.0
"""Log-odds beyond which the shape prior is never sure."""


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


def interpolated_distance(labelled: LabelledPlanes, plane: int) -> NDArray[np.float32] | None:
    """Interpolate signed distances linearly (Raya and Udupa 1990).

    None unless the nearest labelled planes on both sides hold the object.
    """
    below = labelled.below(plane)
    above = labelled.above(plane)
    held = labelled.holding
    if below is None or above is None:
        return None
    if below not in held or above not in held:
        return None
    share = (plane - below) / (above - below)
    lower = signed_distance(labelled.mask(below))
    upper = signed_distance(labelled.mask(above))
    return np.asarray((1 - share) * lower + share * upper, dtype=np.float32)


def shape_log_odds(
    labelled: LabelledPlanes, plane: int, axis: Axis, strengths: Strengths
) -> NDArray[np.float32]:
    """Return the shape prior (H, W) in log-odds.

    It is the signed distance over a width that grows with the distance to labelled planes.

    It counts as far as the two labelled masks overlap: interpolation between masks side by side is
    meaningless. It is 0 where the object is not enclosed by two labelled planes that hold it.
    """
    distance = interpolated_distance(labelled, plane)
    if distance is None:
        return np.zeros(labelled.masks.shape[1:], np.float32)
    below = labelled.below(plane)
    above = labelled.above(plane)
    assert below is not None
    assert above is not None
    away = min(plane - below, above - plane) * axis.step
    # two independent errors: of the outline in a labelled plane, and of the way from there
    width = np.hypot(_EDGE * labelled.radius(), strengths.drift * away)
    # between masks side by side an interpolated object would vanish halfway
    agreement = dice_overlap(labelled.mask(below), labelled.mask(above))
    # half a pixel at least: no outline is drawn more exactly
    prior = np.clip(distance / max(width, 0.5), -_LIMIT, _LIMIT)
    return np.asarray(strengths.shape * agreement * prior, dtype=np.float32)
