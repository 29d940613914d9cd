"""What a run notes at its end: the expected quality, and labels that were found nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_iclsam._qt.run.request import Request
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.prediction import Prediction

if TYPE_CHECKING:
    from napari_iclsam.core.task import Task

Absences = dict[tuple[int, int], set[int]]
"""By job and number of a slice: the labels that were not found in it."""


def absent_in(prediction: Prediction) -> set[int]:
    """Return the labels that are not in a slice."""
    return {label for label in prediction.probabilities if not (prediction.labels == label).any()}


def expected_overlap(task: Task) -> dict[str, float]:
    """Return how well the examples segmented each other: by name of a label, the Dice."""
    return {task.support.name(label): score.fused for label, score in task.cross_validated.items()}


def expectation(task: Task) -> str:
    """Return what is expected of the labels.

    Slices of a stack segmented each other as images of their own; what is expected of each slice
    beside its neighbors is told with the slice.
    """
    of_stack = task.context.runners.recipe.sparing
    return "Expected overlap, without neighboring slices:" if of_stack else "Expected overlap:"


def seen_in_tiles(task: Task, request: Request) -> list[str]:
    """Return a sentence on the tiles in which images are seen; none if they are seen whole."""
    tiles = set()
    for job in request.jobs:
        tile = task.support.tile_shape(task.context.runners.recipe.tile, job.slices.shape[1:3])
        if tile is not None:
            tiles.add(f"{tile[0]} × {tile[1]}")
    return [f"Seen in tiles of {' and '.join(sorted(tiles))} pixels."] if tiles else []


def absent_labels(support: SupportSet, absences: Absences) -> list[str]:
    """Return a sentence on the labels that were found in no slice."""
    absent = []
    for label in support.ids:
        if absences and all(label in missing for missing in absences.values()):
            absent.append(support.name(label))
    return [f"Nothing found of: {', '.join(absent)}."] if absent else []
