"""How the planes of a volume lie on each other: displacements, by optical flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import optical_flow_ilk

from napari_iclsam.core.volume.working_grid import enlarge_plane, reduce_plane

ReadGrey = Callable[[int], NDArray[np.uint8]]
"""Returns the grey values (H, W) of a plane, on the volume's one scale."""

Carry = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Returns values (H, W) of one plane, carried to another."""

_LONGEST = 128
"""Pixels of the longer side of a region above which it is reduced: displacements are smooth."""

_SMALLEST = 16
"""Pixels of the shorter side below which the flow is not computed: its windows are as large."""

_MARGIN = 0.5
"""Part of the longer side of the objects' box that is added around it: so far they may move."""

_LEAST_MARGIN = 16

_WINDOW = 5
"""Radius of the windows in which the displacement is constant, in pixels."""

_WARPS = 3

_SMOOTHING = 1.0
"""Standard deviation, in pixels, of the filter against noise."""

_RECENT = 64
"""Flows between neighbors that are kept, at most 8 MiB: planes are segmented from the labelled ones
outwards, on all their sides by turns."""

BELOW = -1
ABOVE = 1


@dataclass(frozen=True, slots=True)
class MotionGrid:
    """The part of the planes whose motion counts, and how far it is reduced.

    Attributes
    ----------
    rows, columns : slice
    factor : int
    """

    rows: slice
    columns: slice
    factor: int

    @classmethod
    def around(cls, masks: NDArray[np.bool_]) -> MotionGrid:
        """Return the grid around all objects in the masks (K, H, W) of labelled planes."""
        held = masks.any(axis=0)
        box = ndimage.find_objects(held.astype(np.uint8))
        rows, columns = box[0] if box else (slice(0, held.shape[0]), slice(0, held.shape[1]))
        side = max(rows.stop - rows.start, columns.stop - columns.start)
        margin = max(_LEAST_MARGIN, round(_MARGIN * side))
        rows = _widened(rows, margin, held.shape[0])
        columns = _widened(columns, margin, held.shape[1])
        longest = max(rows.stop - rows.start, columns.stop - columns.start)
        return cls(rows, columns, -(-longest // _LONGEST))

    def reduced(self, grey: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return grey values (h, w) on the grid, from 0 to 1, smoothed against noise."""
        inside = reduce_plane(grey[self.rows, self.columns], self.factor)
        return np.asarray(ndimage.gaussian_filter(inside / 255, _SMOOTHING), dtype=np.float32)

    def enlarged(self, factor: int) -> MotionGrid:
        """Return the grid in planes of so many times the size."""
        rows = slice(factor * self.rows.start, factor * self.rows.stop)
        columns = slice(factor * self.columns.start, factor * self.columns.stop)
        return MotionGrid(rows, columns, factor * self.factor)

    def carry(
        self, values: NDArray[np.float32], displacement: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Return values (H, W) of another plane where the displacement (2, h, w) leads to.

        Pixels outside the grid keep the value of their own place.
        """
        inside = values[self.rows, self.columns]
        places = np.indices(inside.shape, dtype=np.float32)
        for axis in range(2):
            reduced = displacement[axis].astype(np.float32)
            places[axis] += self.factor * enlarge_plane(reduced, self.factor, inside.shape)
        carried = values.copy()
        carried[self.rows, self.columns] = ndimage.map_coordinates(
            inside, places, order=1, mode="nearest"
        )
        return carried


class PlaneMotion:
    """Displacements from planes to the nearest labelled ones, computed as they are needed.

    Registration of neighboring planes, one after the other, follows an object where interpolation
    in place does not (Penney et al. 2004). It is an iterative Lucas-Kanade flow (Le Besnerais and
    Champagnat 2005).

    Parameters
    ----------
    grid : MotionGrid
    labelled : sequence of int
        Planes that displacements lead to.
    count : int
        Planes of the volume.
    read_grey : callable
        On the working grid.
    factor : int
        By which planes are larger than on the working grid.
    """

    def __init__(
        self,
        grid: MotionGrid,
        labelled: Sequence[int],
        count: int,
        read_grey: ReadGrey,
        factor: int = 1,
    ) -> None:
        self.grid = grid
        self._full_grid = grid.enlarged(factor)
        self._labelled = frozenset(labelled)
        self._count = count
        self.read_grey = read_grey
        self._grey: dict[int, NDArray[np.float32]] = {}
        # half precision: at most a sixteenth of a pixel is lost, and there are many planes
        self._known: dict[tuple[int, int], NDArray[np.float16]] = {}
        # between neighbors: an interpolated plane needs once more what its displacement was made of
        self._flows: dict[tuple[int, int], NDArray[np.float32]] = {}

    def carry(self, values: NDArray[np.float32], plane: int, side: int) -> NDArray[np.float32]:
        """Return values (H, W) of the nearest labelled plane of one side, carried to a plane.

        Parameters
        ----------
        values : ndarray, (H, W), float32
        plane : int
            Not labelled.
        side : int
            `BELOW` or `ABOVE`, where a labelled plane lies.
        """
        return self.grid.carry(values, self._displacement(plane, side))

    def from_beside(self, plane: int, side: int) -> Carry:
        """Return what carries values (H, W), full size, to a plane from the one beside it.

        Parameters
        ----------
        plane : int
        side : int
            `BELOW` or `ABOVE`: where the values come from.
        """
        flow = self._flow(plane, side)
        return partial(self._full_grid.carry, displacement=flow)

    def _displacement(self, plane: int, side: int) -> NDArray[np.float16]:
        """Return the displacement (2, h, w) to the labelled plane, in pixels of the grid."""
        chain = []
        at = plane
        while at not in self._labelled and (at, side) not in self._known:
            chain.append(at)
            at += side
            if not 0 <= at < self._count:
                raise ValueError(f"No labelled plane lies on this side of plane {plane}.")
        # from the labelled plane outwards: each step adds to what is known of the one before
        for at in reversed(chain):
            flow = self._flow(at, side)
            inward = self._known.get((at + side, side))
            total = flow if inward is None else _composed(flow, inward)
            self._known[at, side] = total.astype(np.float16)
        return self._known[plane, side]

    def _flow(self, plane: int, side: int) -> NDArray[np.float32]:
        """Return where pixels of a plane lie in the one beside it, (2, h, w)."""
        flow = self._flows.get((plane, side))
        if flow is None:
            flow = _flow(self.reduced(plane), self.reduced(plane + side))
            self._flows[plane, side] = flow
        if len(self._flows) > _RECENT:
            del self._flows[next(iter(self._flows))]
        return flow

    def reduced(self, plane: int) -> NDArray[np.float32]:
        """Return the grey values (h, w) of a plane in which motion is looked for, from 0 to 1."""
        if plane not in self._grey:
            self._grey[plane] = self.grid.reduced(self.read_grey(plane))
        return self._grey[plane]


def _widened(part: slice, margin: int, length: int) -> slice:
    return slice(max(part.start - margin, 0), min(part.stop + margin, length))


def _flow(target: NDArray[np.float32], source: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return where pixels of the target lie in the source, from their own place, (2, h, w)."""
    still = np.zeros((2, *target.shape), np.float32)
    # a blank plane tells nothing of motion: what is in it stays where it is
    if min(target.shape) < _SMALLEST or np.ptp(target) == 0 or np.ptp(source) == 0:
        return still
    flow = optical_flow_ilk(target, source, radius=_WINDOW, num_warp=_WARPS, gaussian=True)
    return np.nan_to_num(np.asarray(flow, dtype=np.float32))


def _composed(first: NDArray[np.float32], second: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the displacement by one step and then by another."""
    places = np.indices(first.shape[1:], dtype=np.float32) + first
    total = first.copy()
    for axis in range(2):
        further = second[axis].astype(np.float32)
        total[axis] += ndimage.map_coordinates(further, places, order=1, mode="nearest")
    return total
