"""The planes in which a person has marked one label, or declared that it is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

AxisKind = Literal["space", "time"]
"""In time an object may vanish and return; in space it is mostly in one piece."""

Spacing = tuple[float, float, float]
"""Distance of planes, rows and columns, in any one unit."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The axis along which planes are stacked.

    Attributes
    ----------
    count : int
        Planes of the volume.
    step : float
        Distance of two planes, in pixels of a plane.
    kind : {"space", "time"}
    """

    count: int
    step: float = 1.0
    kind: AxisKind = "space"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"A volume needs at least one plane; got {self.count}.")
        if not (np.isfinite(self.step) and self.step > 0):
            raise ValueError(f"The distance of planes must be a positive number; got {self.step}.")


def axis_of_spacing(count: int, spacing: Spacing, kind: AxisKind = "space") -> Axis:
    """Make an axis from physical spacing (plane, row, column) in any one unit."""
    plane, row, column = (float(value) for value in spacing)
    if min(plane, row, column) <= 0:
        raise ValueError(f"The spacing must be positive in all three directions; got {spacing}.")
    # the geometric mean, since pixels need not be square
    return Axis(
        count,
        plane / float(np.sqrt(row * column)),
        kind,
    )


_REACH_OF_ONE = 2.5
"""Radii that an object goes on beyond the only plane that holds it."""

_REACH_OF_NEIGHBORS = 0.5
"""The same beyond several neighboring planes."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPlanes:
    """Masks of one label in the planes that a person has labelled.

    Attributes
    ----------
    planes : tuple of int
        Ascending, without repetition.
    masks : ndarray, (K, H, W), bool
        All False in a plane that was labelled without this label, or declared empty.
    """

    planes: tuple[int, ...]
    masks: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if not self.planes or list(self.planes) != sorted(set(self.planes)):
            raise ValueError(
                "Labelled planes must be one or more, ascending, without repetition; "
                f"got {self.planes}."
            )
        if self.masks.ndim != 3 or len(self.masks) != len(self.planes):
            raise ValueError(
                f"Expected one mask (H, W) for each of {len(self.planes)} labelled planes; "
                f"got an array of shape {self.masks.shape}."
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a plane."""
        return self.masks.shape[1], self.masks.shape[2]

    @property
    def holding(self) -> tuple[int, ...]:
        """The labelled planes that hold the object."""
        return tuple(plane for plane in self.planes if self.mask(plane).any())

    def mask(self, plane: int) -> NDArray[np.bool_]:
        """Return the mask (H, W) of a labelled plane."""
        return np.asarray(self.masks[self.planes.index(plane)])

    def without(self, plane: int) -> LabelledPlanes:
        """Return the other labelled planes, for leaving one out."""
        kept = [index for index, known in enumerate(self.planes) if known != plane]
        return LabelledPlanes(
            tuple(self.planes[index] for index in kept),
            self.masks[kept],
        )

    def below(self, plane: int) -> int | None:
        """Return the nearest labelled plane before a plane."""
        return max((known for known in self.planes if known < plane), default=None)

    def above(self, plane: int) -> int | None:
        """Return the nearest labelled plane after a plane."""
        return min((known for known in self.planes if known > plane), default=None)

    def encloses(self, plane: int) -> bool:
        """Return whether the nearest labelled planes on both sides hold the object."""
        held = self.holding
        return self.below(plane) in held and self.above(plane) in held

    def radius(self) -> float:
        """Return the radius, in pixels, of a disk of the object's mean area."""
        held = self.holding
        if not held:
            return 0.0
        areas = [float(np.count_nonzero(self.mask(known))) for known in held]
        return float(np.sqrt(np.mean(areas) / np.pi))

    def reach(self, step: float, plane: int) -> float:
        """Return how far from labelled planes the object may be expected, in pixels.

        A person spreads labelled planes over the object: beyond the outermost it goes on for half
        the distance of the last two, more or less. Neighboring planes, and one plane alone, say
        nothing of that; then the object's own size does.

        Parameters
        ----------
        step : float
            Distance of two planes, in pixels of a plane.
        plane : int
            Where it is asked for.
        """
        radius = max(self.radius(), 0.5)
        held = self.holding
        if len(held) < 2:
            return _REACH_OF_ONE * radius
        # of planes side by side, the first speaks for all
        gaps = [after - before for before, after in pairwise(held) if after - before > 1]
        if not gaps:
            return max(step, _REACH_OF_NEIGHBORS * radius)
        if plane > held[-1]:
            return _last_gap(gaps) * step
        if plane < held[0]:
            return _last_gap(gaps[::-1]) * step
        return max(gaps) * step


def _last_gap(gaps: Sequence[int]) -> int:
    """Return the distance of the last two planes, before another one was put between them."""
    largest = max(gaps)
    if sum(gaps[-2:]) <= largest:
        return largest
    return gaps[-1]
