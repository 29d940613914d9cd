"""What is said of a fitted task: models with licenses, how well examples segment each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import click

from napari_iclsam.core.metrics import StageScores
from napari_iclsam.core.prediction import Provenance
from napari_iclsam.core.quality.leave_one_out import Check
from napari_iclsam.core.task import Task


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What users are told of a task; small enough to be sent from one process to another.

    Attributes
    ----------
    provenance : Provenance
    cross_validated : mapping of int to StageScores
        By label; empty without cross-validation.
    names : mapping of int to str
        What the labels are called.
    """

    provenance: Provenance
    cross_validated: Mapping[int, StageScores]
    names: Mapping[int, str]

    @classmethod
    def of(cls, task: Task) -> TaskFacts:
        """Return the facts of a task."""
        names = {label: task.support.name(label) for label in task.support.ids}
        return cls(task.provenance, dict(task.cross_validated), names)

    def say_models(self) -> None:
        """Say which models were used under which license."""
        made = self.provenance
        models = []
        for role, name in made.models.items():
            # A checkpoint of the user's own says nothing of its license.
            terms = made.licenses[role] or "license unknown"
            models.append(f"{name} ({terms})")
        click.echo(f"Models: {', '.join(models)} on {made.device}.")

    def say_expectation(self) -> None:
        """Say how well the examples segmented each other, where fitting has tried it."""
        # A single example has no other to be segmented by.
        if not self.cross_validated:
            return
        names = {label: self.names[label] for label in self.cross_validated}
        lines = ["The examples segmented each other:"]
        for sentence in Check(self.cross_validated, names).sentences():
            lines.append(f"  {sentence}")
        click.echo("\n".join(lines))
