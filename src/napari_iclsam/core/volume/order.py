"""The order in which the planes of a volume are computed."""

from __future__ import annotations

from collections.abc import Collection


def nearest_first(labelled: Collection[int], wanted: Collection[int]) -> tuple[int, ...]:
    """Order planes by their distance to the nearest labelled one.

    So the surest planes come first, and motion is followed outwards from the labelled ones.

    Parameters
    ----------
    labelled : collection of int
        At least one plane.
    wanted : collection of int
        Planes to be computed; labelled ones among them are left out.

    Returns
    -------
    tuple of int
        Of planes at the same distance, the lower one first.
    """
    open_planes = set(wanted) - set(labelled)
    return tuple(
        sorted(open_planes, key=lambda plane: (distance_to_labelled(plane, labelled), plane))
    )


def distance_to_labelled(plane: int, labelled: Collection[int]) -> int:
    """Return how many steps the nearest labelled plane is away; 0 if the plane is labelled."""
    return min(abs(plane - known) for known in labelled)
