"""One image segmented: what is wrong with it is said before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from napari_iclsam.commands.job import Job
from napari_iclsam.commands.notes import say_notes
from napari_iclsam.commands.object_results import StoredResult, result_steps, table_path
from napari_iclsam.commands.outputs import (
    PendingFiles,
    output_paths,
    spare_inputs,
    written_together,
)
from napari_iclsam.commands.progress import follow
from napari_iclsam.commands.queries import Query, read_query
from napari_iclsam.commands.query_run import Place, query_steps
from napari_iclsam.commands.report import Outcome, write_report
from napari_iclsam.commands.scratch_folder import folder_beside
from napari_iclsam.commands.task_facts import TaskFacts
from napari_iclsam.files import check_writable_as, home_of, write_labels


def segment_one(job: Job, path: Path) -> None:
    """Segment one image: what is wrong with it is said before anything is computed."""
    query = read_query(path, job.work.reading, job.work.examples)
    output = _checked_output(query, job)
    report = job.destination.report
    table = table_path(job.destination.measure, path)
    targets = [target for target in (output, report, table) if target is not None]
    examples = job.work.examples
    say_notes(examples.notes)
    segmenter = job.model.segmenter()
    overwrite = job.destination.overwrite
    with (
        written_together(targets, overwrite=overwrite) as files,
        _saying_what_is_kept(files),
        folder_beside(home_of(output)) as scratch,
    ):
        of_stack = query.axis is not None and examples.stack_of(query.path) is not None
        steps = segmenter.fit_steps(examples.support, sparing=of_stack)
        task = follow(steps, "Reading the examples")
        place = Place(output, scratch)
        outcome = follow(query_steps(task, query, place, job.work), path.name)
        result = follow(result_steps(outcome, job.work, scratch), path.name)
        _publish(outcome, result, files)
        if table and result.table is not None:
            with files.writing(table) as table_place:
                result.table.write_csv(table_place)
        if report:
            _write_report(report, outcome, job, files)
        # pixels are counted in labels that may lie in the scratch folder
        said = outcome.lines()
    # Said at the end, where progress bars no longer draw over it.
    click.echo("\n".join(said))
    facts = TaskFacts.of(task)
    facts.say_models()
    facts.say_expectation()


def _write_report(report: Path, outcome: Outcome, job: Job, files: PendingFiles) -> None:
    with files.writing(report) as place:
        write_report(place, [outcome.to_dict()], job.pairs, job.work.examples.notes)


def _publish(outcome: Outcome, result: StoredResult, files: PendingFiles) -> None:
    """Write the labels of a query; they are there from now on, whatever happens to the report."""
    with files.writing(outcome.output) as place:
        write_labels(place, result.labels, outcome.query.space, result.styles)
    files.publish(outcome.output)


def _checked_output(query: Query, job: Job) -> Path:
    """Return where the labels of a query go, if they can be written there."""
    (output,) = output_paths(job.destination.output, [query.path])
    spare_inputs([output], [query.path, *job.read])
    highest = max(job.work.examples.support.ids)
    check_writable_as(output, highest, stack=query.axis is not None, space=query.space)
    return output


@contextmanager
def _saying_what_is_kept(files: PendingFiles) -> Iterator[None]:
    """If the block does not end well, say whether the result is complete."""
    try:
        yield
    # Also when the user stops it, which is no Exception.
    except BaseException:
        if files.published:
            kept = ", ".join(map(str, files.published))
            click.echo(f"Done before that, and kept: {kept}.", err=True)
        raise
