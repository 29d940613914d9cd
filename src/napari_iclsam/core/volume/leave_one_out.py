"""Strengths learnt by leaving labelled planes out and predicting them from the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_iclsam.core.volume.label_context import (
    LabelContext,
    PlaneEvidence,
    ReadEvidence,
    sweep_planes,
)
from napari_iclsam.core.volume.overlap import dice_overlap
from napari_iclsam.core.volume.strengths import Strengths, candidates, choose_strengths

_MOST = 4
"""At most so many labelled planes are left out."""


def learn_strengths(
    context: LabelContext, read: ReadEvidence, read_held_out: ReadEvidence
) -> Strengths:
    """Choose the strengths under which labelled planes are predicted well by their neighbours.

    Planes between two other labelled ones are left out, one after the other; the planes up to both
    neighbours are read for each candidate. Without such planes the defaults stay.

    Parameters
    ----------
    context : LabelContext
    read : ReadEvidence
        Of unlabelled planes.
    read_held_out : ReadEvidence
        Of a labelled plane, by a 2-D method that has not seen it.
    """
    planes = _planes_to_leave_out(context)
    scores: dict[Strengths, list[float]] = {}
    for strengths in candidates(context.strengths):
        tried = replace(context, strengths=strengths)
        reached = []
        for plane in planes:
            reached.append(_score_left_out(tried, plane, read, read_held_out))
        scores[strengths] = reached
    return choose_strengths(scores)


def _planes_to_leave_out(context: LabelContext) -> list[int]:
    """Return inner labelled planes that hold the object and have unlabelled neighbours."""
    labelled = context.labelled
    found = []
    for before, plane, after in zip(
        labelled.planes, labelled.planes[1:], labelled.planes[2:], strict=False
    ):
        # with both neighbours labelled as well there is nothing to carry along
        if plane in labelled.holding and after - before > 2:
            found.append(plane)
    count = min(len(found), _MOST)
    chosen = np.linspace(0, len(found) - 1, count).round().astype(int)
    return [found[index] for index in chosen]


def _score_left_out(
    context: LabelContext, plane: int, read: ReadEvidence, read_held_out: ReadEvidence
) -> float:
    """Return the Dice of a labelled plane that is predicted by the others."""
    rest = context.labelled.without(plane)
    below = rest.below(plane)
    above = rest.above(plane)
    assert below is not None
    assert above is not None

    def read_any(index: int) -> PlaneEvidence:
        # the 2-D method was fitted to this plane: its usual evidence would be too good
        return read_held_out(index) if index == plane else read(index)

    left = replace(context, labelled=rest)
    total = left.own_log_odds(plane, read_any(plane))
    # from both sides to the plane: sweeps start at labelled planes, what lies beyond them tells
    # nothing
    upwards = range(below, plane + 1)
    downwards = range(above, plane - 1, -1)
    for planes in (upwards, downwards):
        for message in sweep_planes(left, planes, read_any):
            last = message.log_odds
        assert last is not None
        total = total + last
    return dice_overlap(total > 0, context.labelled.mask(plane))
