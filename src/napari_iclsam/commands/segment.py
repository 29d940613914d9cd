"""The commands segment, fit, predict and check."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from napari_iclsam.commands.examples import (
    ReadExamples,
    on_one_scale,
    on_scale_of_stack,
    read_examples,
)
from napari_iclsam.commands.inputs import Reading
from napari_iclsam.commands.model import Model
from napari_iclsam.commands.outputs import PendingFiles, output_paths, written_together
from napari_iclsam.commands.progress import follow
from napari_iclsam.commands.queries import Query, labels_as_stored, read_again, read_query
from napari_iclsam.commands.report import Outcome, write_report
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.quality.leave_one_out import Check, leave_one_out
from napari_iclsam.core.recipe import resolve
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.stack_task import LabelledStack, Spacing, StackTask
from napari_iclsam.core.task import Task
from napari_iclsam.core.task_file import SavedTask, read_task, write_task
from napari_iclsam.files import check_writable_as, write_labels

_BLANK = "It has one value everywhere: nothing was looked for, and the result is empty."


@dataclass(frozen=True, slots=True)
class Destination:
    """Where labels and report go."""

    output: Path
    report: Path | None
    overwrite: bool


def segment(
    pairs: Sequence[tuple[Path, Path]],
    queries: Sequence[Path],
    reading: Reading,
    model: Model,
    destination: Destination,
) -> None:
    """Segment images by examples in files."""
    examples = on_one_scale(read_examples(pairs, reading), reading.window)
    if resolve(model.settings).use_neighbors:
        examples = on_scale_of_stack(examples, queries)
    job = _Job(examples, reading, destination, [path for pair in pairs for path in pair])
    _segment(model.segmenter(), job, queries, pairs)


def predict(
    task: Path, queries: Sequence[Path], reading: Reading, device: str, destination: Destination
) -> None:
    """Segment images by the examples of a task file."""
    saved = read_task(task)
    model = Model(replace(saved.models, device=device), saved.settings)
    examples = on_one_scale(ReadExamples(saved.support, of_task=True), reading.window)
    _segment(model.segmenter(), _Job(examples, reading, destination, [task]), queries, ())


def fit(
    pairs: Sequence[tuple[Path, Path]],
    reading: Reading,
    model: Model,
    output: Path,
    *,
    overwrite: bool,
) -> None:
    """Save examples, settings and names of models as a task file, after trying them."""
    if output.suffix != ".iclsam":
        raise ValueError(f"A task file is called NAME.iclsam; got {output}.")
    examples = read_examples(pairs, reading)
    segmenter = model.segmenter()
    # Without a window the examples keep their bits: CT is recognised when the task is used.
    if reading.window is not None:
        examples = on_one_scale(examples, reading.window)
    support = examples.support
    say_notes(examples.notes)
    # A place that cannot be written to is found out before fitting, which takes long.
    with written_together([output], overwrite=overwrite) as files:
        task = follow(segmenter.fit_steps(support), "Fitting")
        # The names as they were given: a colleague's "starter" may be a newer one.
        saved = SavedTask(support, model.settings, model.choice)
        with files.writing(output) as place:
            write_task(saved, place)
    names = ", ".join(map(support.name, support.ids))
    click.echo(f"{len(support)} examples of {names} -> {output}")
    _say_expectation(task)


def check(
    pairs: Sequence[tuple[Path, Path]],
    reading: Reading,
    model: Model,
    report: Path | None,
    *,
    overwrite: bool,
) -> None:
    """Segment each example by the others and say how well it went."""
    examples = on_one_scale(read_examples(pairs, reading), reading.window)
    segmenter = model.segmenter()
    support = examples.support
    say_notes(examples.notes)
    targets = [report] if report else []
    with written_together(targets, overwrite=overwrite) as files:
        outcome = follow(leave_one_out(segmenter.fit_support, support), "Checking")
        if report:
            with files.writing(report) as place:
                _write_check(place, outcome, support)
    _show_check(outcome)


def _write_check(path: Path, outcome: Check, support: SupportSet) -> None:
    scores = {}
    for label, score in outcome.scores.items():
        scores[support.name(label)] = asdict(score)
    found = {"scores": scores, "sentences": outcome.sentences()}
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What to segment by, how to read, where to write, and which files must not be written over."""

    examples: ReadExamples
    reading: Reading
    destination: Destination
    read: Sequence[Path]


def _segment(
    segmenter: ICLSAM, job: _Job, paths: Sequence[Path], pairs: Sequence[tuple[Path, Path]]
) -> None:
    """Segment all queries; each result appears when it is done, and stays if a later one fails."""
    queries = _checked(paths, job)
    outputs = _checked_outputs(queries, job)
    report = job.destination.report
    targets = [*outputs, report] if report else outputs
    overwrite = job.destination.overwrite
    outcomes: list[Outcome] = []
    say_notes(job.examples.notes)
    with written_together(targets, overwrite=overwrite) as files, _saying_what_is_kept(files):
        task = follow(segmenter.fit_steps(job.examples.support), "Reading the examples")
        for query, output in zip(queries, outputs, strict=True):
            outcome = run(task, query, output, job)
            _publish(outcome, files)
            outcomes.append(outcome)
        if report:
            with files.writing(report) as place:
                write_report(place, outcomes, pairs, job.examples.notes)
    # Said at the end, where progress bars no longer draw over it.
    for outcome in outcomes:
        click.echo("\n".join(outcome.lines()))
    say_models(task)
    _say_expectation(task)


def _publish(outcome: Outcome, files: PendingFiles) -> None:
    """Write the labels of a query; they are there from now on, whatever happens to the others."""
    query = outcome.query
    labels = labels_as_stored(query, outcome.labels)
    with files.writing(outcome.output) as place:
        write_labels(place, labels, query.space)
    files.publish(outcome.output)


def run(task: Task, query: Query, output: Path, job: _Job) -> Outcome:
    """Segment one query."""
    names = {label: task.support.name(label) for label in task.support.ids}
    outcome = Outcome(query, output, names, np.zeros(query.shape, np.int32))
    for note in query.notes:
        outcome.notes[note] = []
    if query.is_blank:
        outcome.notes[_BLANK] = []
        return outcome
    # Read when its turn comes: the stacks of a batch would not fit into memory together.
    image = read_again(query, job.reading, job.examples)
    if query.axis is None:
        outcome.add(follow(task.steps(image), query.path.name))
        return outcome
    source = job.examples.stack_of(query.path)
    # The published method segments each plane by itself, whatever is known of its neighbors. Planes
    # and examples that were scaled one by one cannot be compared.
    comparable = task.context.runners.recipe.use_neighbors and image.dtype == np.uint8
    if source is not None and comparable:
        spacing = _spacing_of(query)
        stack = StackTask(task, LabelledStack(image, query.axis, source.pairs, spacing))
        return _run_labelled_stack(stack, query, outcome)
    steps = task.stack_steps(image, query.axis)
    return _run_plane_by_plane(steps, query, outcome)


def _run_plane_by_plane(
    steps: Generator[Progress, None, object], query: Query, outcome: Outcome
) -> Outcome:
    def keep(step: Progress) -> None:
        if step.prediction is not None:
            outcome.add(step.prediction, step.plane)

    follow(steps, query.path.name, keep)
    return outcome


def _run_labelled_stack(stack: StackTask, query: Query, outcome: Outcome) -> Outcome:
    """Segment the stack that the examples are planes of; labelled planes stay as they are."""

    def keep(step: Progress) -> None:
        # Each plane comes twice; what is noted of its first answer may not hold of the last.
        if step.stage == "done" and step.prediction is not None:
            outcome.add(replace(step.prediction, notes=()), step.plane)
        elif step.prediction is not None:
            outcome.settle(step.prediction, step.plane)

    follow(stack.steps(), query.path.name, keep)
    return outcome


def _spacing_of(query: Query) -> Spacing | None:
    """Return the distance of planes, rows and columns, if the file says them."""
    # After a turn the file's spacing no longer belongs to the axes of the planes.
    if query.axis is None or not query.placement.turn.is_identity:
        return None
    values = [value or 0.0 for value in query.space.spacing]
    if len(values) != 3 or min(values) <= 0:
        return None
    along = values.pop(query.axis)
    return along, values[0], values[1]


def _checked(paths: Sequence[Path], job: _Job) -> list[Query]:
    """Read all queries before anything is computed; a blank picture does not stop a batch."""
    is_batch = len(paths) > 1
    queries = []
    for path in paths:
        query = read_query(path, job.reading, job.examples, blank_allowed=is_batch)
        queries.append(query)
    return queries


def _checked_outputs(queries: Sequence[Query], job: _Job) -> list[Path]:
    """Return where the labels of each query go, if they can be written there."""
    paths = [query.path for query in queries]
    outputs = output_paths(job.destination.output, paths)
    _spare_inputs(outputs, [*paths, *job.read])
    highest = max(job.examples.support.ids)
    for output, query in zip(outputs, queries, strict=True):
        check_writable_as(output, highest, stack=query.axis is not None)
    return outputs


@contextmanager
def _saying_what_is_kept(files: PendingFiles) -> Iterator[None]:
    """If the block does not end well, say which results are complete."""
    try:
        yield
    # Also when the user stops it, which is no Exception.
    except BaseException:
        if files.published:
            kept = ", ".join(map(str, files.published))
            click.echo(f"Done before that, and kept: {kept}.", err=True)
        raise


def _spare_inputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    # --overwrite is meant for results: no option gives up an image.
    read = {path.resolve() for path in inputs}
    for output in outputs:
        if output.resolve() in read:
            raise ValueError(f"{output} is one of the images read: name another file as --output.")


def say_notes(notes: Sequence[str]) -> None:
    """Say at once what was noticed about the examples, each thing once, apart from the results."""
    for note in dict.fromkeys(notes):
        click.echo(f"Note: {note}", err=True)


def say_models(task: Task) -> None:
    """Say which models were used under which license."""
    made = task.provenance
    models = []
    for role, name in made.models.items():
        # A checkpoint of the user's own says nothing of its license.
        terms = made.licenses[role] or "license unknown"
        models.append(f"{name} ({terms})")
    click.echo(f"Models: {', '.join(models)} on {made.device}.")


def _say_expectation(task: Task) -> None:
    """Say how well the examples segmented each other, where fitting has tried it."""
    # A single example has no other to be segmented by.
    if not task.cross_validated:
        return
    names = {label: task.support.name(label) for label in task.cross_validated}
    lines = ["The examples segmented each other:"]
    for sentence in Check(task.cross_validated, names).sentences():
        lines.append(f"  {sentence}")
    click.echo("\n".join(lines))


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
        table.add_row(
            outcome.names[label],
            f"{score.icl:.3f}",
            f"{score.sam:.3f}",
            f"{score.fused:.3f}",
            str(score.examples),
        )
    Console().print(table)
    click.echo("\n".join(outcome.sentences()))
