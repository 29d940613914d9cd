"""Objects of neighboring planes joined: over a stack or over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.metrics import shared_pixels
from napari_iclsam.core.objects.instances import Instances, Separation, find_instances

_OVERLAP = 0.5
"""Objects are one if they share this part of the smaller one's area."""

_GAP = 1
"""So many planes may lie between two planes in which an object is seen."""


def link_planes(planes: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Give objects of neighboring planes that lie on each other one id.

    Parameters
    ----------
    planes : ndarray, (Z, H, W), integer
        Ids of each plane by itself; 0 is background.

    Returns
    -------
    ndarray, (Z, H, W), int32
        1 to n, without gaps. An object has one successor a plane, the one that overlaps most.
    """
    linked = np.zeros(planes.shape, np.int32)
    count = 0
    for number, plane in enumerate(planes):
        known: dict[int, int] = {}
        # the plane beside first: an object that vanished for a plane may only take what is left
        for back in range(1, min(number, _GAP + 1) + 1):
            inherit(known, plane, linked[number - back])
        for own in np.unique(plane[plane > 0]).tolist():
            if own not in known:
                count += 1
                known[own] = count
        _renumber(plane, known, linked[number])
    return linked


def stack_instances(
    labels: NDArray[np.integer[Any]],
    axis: int = 0,
    separations: Mapping[int, Separation] | None = None,
) -> Instances:
    """Find the objects of a stack: those of each plane, joined where they lie on each other.

    Parameters
    ----------
    labels : ndarray, (Z, Y, X), integer
        0 is background.
    axis : int
        The axis that planes are stacked along.
    separations : mapping of int to Separation, optional
        See `find_instances`.
    """
    planes = np.moveaxis(labels, axis, 0)
    ids = np.zeros(planes.shape, np.int32)
    for number, plane in enumerate(planes):
        ids[number] = find_instances(plane, separations).ids
    linked = np.zeros(planes.shape, np.int32)
    labels_of = [np.zeros(1, np.int32)]
    count = 0
    # label by label: objects of two labels are never one
    for label in np.unique(planes[planes != 0]).tolist():
        is_label = planes == label
        own = link_planes(np.where(is_label, ids, 0))
        linked[is_label] = own[is_label] + count
        found_count = int(own.max(initial=0))
        labels_of.append(np.full(found_count, label, np.int32))
        count += found_count
    return Instances(np.moveaxis(linked, 0, axis), np.concatenate(labels_of))


def inherit(
    known: dict[int, int], plane: NDArray[np.integer[Any]], before: NDArray[np.int32]
) -> None:
    """Let objects of a plane take the ids of an earlier one, largest overlap first."""
    shared = shared_pixels(plane, before)
    smaller = np.minimum(shared.first_sizes, shared.second_sizes)
    overlap = shared.pixels / smaller
    # a set: looked up among the values, many objects would take quadratic time
    taken = set(known.values())
    for index in np.argsort(-overlap, kind="stable"):
        own = int(shared.first[index])
        earlier = int(shared.second[index])
        is_free = own not in known and earlier not in taken
        if overlap[index] >= _OVERLAP and is_free:
            known[own] = earlier
            taken.add(earlier)


def _renumber(
    plane: NDArray[np.integer[Any]], numbers: dict[int, int], target: NDArray[np.int32]
) -> None:
    """Write a plane with other ids into a target."""
    values, index = np.unique(plane, return_inverse=True)
    renumbered = np.array([numbers.get(int(value), 0) for value in values], np.int32)
    target[:] = renumbered[index].reshape(plane.shape)
