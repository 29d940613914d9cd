"""Planes of a stack that are interpolated between two segmented ones, where these agree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.volume.label_context import IMAGE_LIMIT
from napari_iclsam.core.volume.motion import ABOVE, BELOW, PlaneMotion
from napari_iclsam.core.volume.overlap import dice_overlap

_LEAST_AGREEMENT = 0.7
"""Dice of the masks of both planes beside, carried, from which on a plane is interpolated."""

_GREY_STEP = 1 / 255
"""The least difference of grey values that tells anything."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageAnswer:
    """What the 2-D method says of a plane, label by label.

    Attributes
    ----------
    log_odds : mapping of int to ndarray, (H, W), float32
    estimated_dice : mapping of int to float
        Empty for a labelled plane.
    """

    log_odds: Mapping[int, NDArray[np.float32]]
    estimated_dice: Mapping[int, float]

    @classmethod
    def of_masks(cls, masks: Mapping[int, NDArray[np.bool_]]) -> ImageAnswer:
        """Return the answer that a labelled plane gives, (H, W) each, as sure as it may be."""
        odds = {label: np.where(mask, IMAGE_LIMIT, -IMAGE_LIMIT) for label, mask in masks.items()}
        return cls({label: one.astype(np.float32) for label, one in odds.items()}, {})


def every_second(planes: Collection[int], labelled: Collection[int]) -> frozenset[int]:
    """Choose planes to interpolate: those beside each are segmented, one of both may be labelled.

    They are counted from the labelled plane below, or else from the one above.

    Parameters
    ----------
    planes : collection of int
        Unlabelled planes that are wanted.
    labelled : collection of int
        One at least.
    """
    wanted, given = frozenset(planes), frozenset(labelled)
    chosen = set()
    for plane in wanted:
        start = max((one for one in given if one < plane), default=min(given))
        beside = {plane - 1, plane + 1}
        is_between = beside <= wanted | given and not beside <= given
        if is_between and (plane - start) % 2 == 1:
            chosen.add(plane)
    return frozenset(chosen)


class PlaneInterpolation:
    """The planes to interpolate, and what is known of those beside them.

    Parameters
    ----------
    planes : iterable of int
        No two of them beside each other.
    motion : PlaneMotion
    """

    def __init__(self, planes: Iterable[int], motion: PlaneMotion) -> None:
        self._waiting = set(planes)
        self._motion = motion
        self._known: dict[int, ImageAnswer] = {}

    def is_needed(self, plane: int) -> bool:
        """Return whether a plane beside this one waits for what is known of it."""
        return plane - 1 in self._waiting or plane + 1 in self._waiting

    def add(self, plane: int, answer: ImageAnswer) -> list[int]:
        """Keep what is known of a plane; return those beside that can be interpolated now."""
        if not self.is_needed(plane):
            return []
        self._known[plane] = answer
        return [
            beside
            for beside in (plane - 1, plane + 1)
            if beside in self._waiting and {beside - 1, beside + 1} <= self._known.keys()
        ]

    def interpolate(self, plane: int) -> ImageAnswer | None:
        """Return the mean of what both planes beside say, carried along with the tissue.

        None where the plane does not show what lies between them, or their masks of a label differ:
        the plane has to be segmented.

        Parameters
        ----------
        plane : int
            One that `add` returned; each is asked for once.
        """
        found = self._mean(plane) if self._lies_between(plane) else None
        self._forget(plane)
        return found

    def _lies_between(self, plane: int) -> bool:
        """Return whether a plane shows what lies between its neighbors.

        Its grey values must not differ from their mean more than they differ from each other. Of
        noise alone, or of tissue that moves however fast, they differ less: by .87 times as much.
        """
        below = self._motion.reduced(plane + BELOW)
        above = self._motion.reduced(plane + ABOVE)
        from_mean = self._motion.reduced(plane) - (below + above) / 2
        return _norm(from_mean) <= _norm(below - above) + _GREY_STEP

    def _mean(self, plane: int) -> ImageAnswer | None:
        """Return the mean of both neighbors, carried to a plane; None where they differ."""
        below = self._carried(plane, BELOW)
        above = self._carried(plane, ABOVE)
        if not all(_agree(below[label], above[label]) for label in below):
            return None
        mean = {label: np.float32(0.5) * (below[label] + above[label]) for label in below}
        return ImageAnswer(mean, self._estimates(plane))

    def _estimates(self, plane: int) -> dict[int, float]:
        """Return the mean estimated Dice of the planes beside, labelled ones left out."""
        beside = [self._known[plane + side] for side in (BELOW, ABOVE)]
        segmented = [one.estimated_dice for one in beside if one.estimated_dice]
        labels = segmented[0] if segmented else ()
        return {
            label: float(np.mean([one.get(label, 0.0) for one in segmented])) for label in labels
        }

    def _carried(self, plane: int, side: int) -> dict[int, NDArray[np.float32]]:
        """Return the log-odds of the plane on one side where the tissue of a plane came from."""
        known = self._known[plane + side]
        carry = self._motion.from_beside(plane, side)
        return {label: carry(odds) for label, odds in known.log_odds.items()}

    def _forget(self, plane: int) -> None:
        self._waiting.discard(plane)
        for beside in (plane - 1, plane + 1):
            if not self.is_needed(beside):
                del self._known[beside]


def _norm(difference: NDArray[np.floating]) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(difference**2)))


def _agree(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """Return whether two masks, where log-odds are positive, are alike; empty ones are."""
    masks = first > 0, second > 0
    if not (masks[0].any() or masks[1].any()):
        return True
    return dice_overlap(*masks) >= _LEAST_AGREEMENT
