"""What a run notes at its end: the expected quality, and what is to be known of its slices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_iclsam._qt.run.request import Request
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.prediction import Prediction

if TYPE_CHECKING:
    from napari_iclsam.core.task import Task


@dataclass(frozen=True, slots=True)
class SliceNotes:
    """What is to be known of the slices of a run, by number of job and slice.

    Attributes
    ----------
    absences : dict of tuple to set of int
        The labels that were not found in a slice.
    interpolated : set of tuple
        The slices that no model saw.
    """

    absences: dict[tuple[int, int], set[int]] = field(default_factory=dict)
    interpolated: set[tuple[int, int]] = field(default_factory=set)

    def take(self, job: int, number: int, prediction: Prediction) -> None:
        """Take in an answer for a slice, in the place of an earlier one."""
        labels = prediction.probabilities
        absent = {label for label in labels if not (prediction.labels == label).any()}
        self.absences[job, number] = absent
        if prediction.interpolated:
            self.interpolated.add((job, number))


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


def interpolated_slices(notes: SliceNotes) -> list[str]:
    """Return a sentence on the slices that were interpolated; none if all were segmented."""
    count = len(notes.interpolated)
    return [f"{count} of them interpolated."] if count else []


def absent_labels(support: SupportSet, notes: SliceNotes) -> list[str]:
    """Return a sentence on the labels that were found in no slice."""
    absences = notes.absences.values()
    absent = []
    for label in support.ids:
        if absences and all(label in missing for missing in absences):
            absent.append(support.name(label))
    return [f"Nothing found of: {', '.join(absent)}."] if absent else []
