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
    of_stack : bool
        Whether the examples are planes of the stack that is segmented.
    """

    provenance: Provenance
    cross_validated: Mapping[int, StageScores]
    names: Mapping[int, str]
    of_stack: bool = False

    @classmethod
    def of(cls, task: Task) -> TaskFacts:
        """Return the facts of a task."""
        names = {label: task.support.name(label) for label in task.support.ids}
        of_stack = task.context.runners.recipe.sparing
        return cls(task.provenance, dict(task.cross_validated), names, of_stack)

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
        if self.of_stack:
            scores = [f"{names[i]} {s.fused:.2f}" for i, s in self.cross_validated.items()]
            click.echo(
                "The labelled planes segmented each other as images of their own, Dice: "
                f"{', '.join(scores)}. Neighboring planes tell more."
            )
            return
        lines = ["The examples segmented each other:"]
        for sentence in Check(self.cross_validated, names).sentences():
            lines.append(f"  {sentence}")
        click.echo("\n".join(lines))
