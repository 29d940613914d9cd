"""The commands segment, fit, predict and check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from napari_iclsam.commands.inputs import Query, read_again, read_query, read_support
from napari_iclsam.commands.outputs import output_paths, written_together
from napari_iclsam.commands.progress import follow
from napari_iclsam.commands.report import Outcome, write_report
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.quality.leave_one_out import Check, leave_one_out
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.task import Task
from napari_iclsam.core.task_file import SavedTask, read_task, write_task
from napari_iclsam.files import check_writable_as, write_labels


@dataclass(frozen=True, slots=True)
class Model:
    """Which models compute where, and how."""

    choice: ModelChoice
    settings: Settings

    def segmenter(self) -> ICLSAM:
        """Return what segments; the networks are loaded later."""
        return ICLSAM(
            self.choice.sam, icl=self.choice.icl, device=self.choice.device, settings=self.settings
        )


@dataclass(frozen=True, slots=True)
class Destination:
    """Where labels and report go."""

    output: Path
    report: Path | None
    overwrite: bool


def segment(
    pairs: Sequence[tuple[Path, Path]],
    queries: Sequence[Path],
    axis: int,
    model: Model,
    destination: Destination,
) -> None:
    """Segment images by examples in files."""
    support = read_support(pairs, axis)
    _segment(model.segmenter(), support, _checked(queries, axis), destination, pairs)


def predict(
    task: Path, queries: Sequence[Path], axis: int, device: str, destination: Destination
) -> None:
    """Segment images by the examples of a task file."""
    saved = read_task(task)
    model = Model(replace(saved.models, device=device), saved.settings)
    _segment(model.segmenter(), saved.support, _checked(queries, axis), destination, ())


def fit(
    pairs: Sequence[tuple[Path, Path]], axis: int, model: Model, output: Path, *, overwrite: bool
) -> None:
    """Save examples, settings and names of models as a task file, after trying that they can be used."""
    if output.suffix != ".iclsam":
        raise ValueError(f"A task file is called NAME.iclsam; got {output}.")
    support, segmenter = read_support(pairs, axis), model.segmenter()
    with written_together([output], overwrite=overwrite) as places:
        task = follow(segmenter.fit_steps(support), "Fitting")
        saved = SavedTask(support, model.settings, model.choice)  # the names as they were given
        write_task(saved, places[output])
    click.echo(
        f"{len(support)} examples of {', '.join(map(support.name, support.ids))} -> {output}"
    )
    _say_expectation(task)


def check(
    pairs: Sequence[tuple[Path, Path]],
    axis: int,
    model: Model,
    report: Path | None,
    *,
    overwrite: bool,
) -> None:
    """Segment each example by the others and say how well it went."""
    support, segmenter = read_support(pairs, axis), model.segmenter()
    with written_together([report] if report else [], overwrite=overwrite) as places:
        outcome = follow(leave_one_out(segmenter.fit_support, support), "Checking")
        if report:
            found = {support.name(label): asdict(score) for label, score in outcome.scores.items()}
            text = json.dumps({"scores": found, "sentences": outcome.sentences()}, indent=2)
            places[report].write_text(text + "\n", encoding="utf-8")
    _show_check(outcome)


def _segment(
    segmenter: ICLSAM,
    support: SupportSet,
    queries: Sequence[Query],
    destination: Destination,
    pairs: Sequence[tuple[Path, Path]],
) -> None:
    outputs = output_paths(destination.output, [query.path for query in queries])
    _spare_inputs(
        outputs, [query.path for query in queries] + [path for pair in pairs for path in pair]
    )
    for output, query in zip(outputs, queries, strict=True):
        check_writable_as(output, max(support.ids), stack=query.axis is not None)
    reports = [destination.report] if destination.report else []
    outcomes: list[Outcome] = []
    with written_together([*outputs, *reports], overwrite=destination.overwrite) as places:
        task = follow(segmenter.fit_steps(support), "Reading the examples")
        for query, output in zip(queries, outputs, strict=True):
            outcomes.append(run(task, query, output))
            write_labels(places[output], outcomes[-1].labels, query.space)
        for report in reports:
            write_report(places[report], outcomes, pairs)
    for outcome in outcomes:
        click.echo("\n".join(outcome.lines()))
    say_models(task)
    _say_expectation(task)


def run(task: Task, query: Query, output: Path) -> Outcome:
    """Segment one query."""
    names = {label: task.support.name(label) for label in task.support.ids}
    outcome = Outcome(query, output, names, np.zeros(query.shape, np.int32))
    image = read_again(query).array
    if query.axis is None:
        outcome.add(follow(task.steps(image), query.path.name))
        return outcome

    def keep(step: Progress) -> None:
        if step.prediction is not None:
            outcome.add(step.prediction, step.plane)

    follow(task.stack_steps(image, query.axis), query.path.name, keep)
    return outcome


def _checked(queries: Sequence[Path], axis: int) -> list[Query]:
    return [read_query(path, axis) for path in queries]


def _spare_inputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    read = {path.resolve() for path in inputs}
    for output in outputs:
        if output.resolve() in read:
            raise ValueError(f"{output} is one of the images read: name another file as --output.")


def say_models(task: Task) -> None:
    """Say which models were used under which license."""
    made = task.provenance
    models = [
        f"{name} ({made.licenses[role] or 'license unknown'})" for role, name in made.models.items()
    ]
    click.echo(f"Models: {', '.join(models)} on {made.device}.")


def _say_expectation(task: Task) -> None:
    """Say how well the examples segmented each other, where fitting has tried it."""
    if task.cross_validated:
        names = {label: task.support.name(label) for label in task.cross_validated}
        sentences = Check(task.cross_validated, names).sentences()
        click.echo(
            "The examples segmented each other:\n"
            + "\n".join(f"  {sentence}" for sentence in sentences)
        )


def _show_check(outcome: Check) -> None:
    table = Table(
        "label",
        "ICL alone",
        "SAM alone",
        "fused",
        "examples",
        title="Dice, one example left out at a time",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for label, score in outcome.scores.items():
        numbers = (f"{value:.3f}" for value in (score.icl, score.sam, score.fused))
        table.add_row(outcome.names[label], *numbers, str(score.examples))
    Console().print(table)
    click.echo("\n".join(outcome.sentences()))
