"""The commands segment and predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from napari_iclsam.commands.batch import plan_batch, run_batch
from napari_iclsam.commands.examples import (
    ReadExamples,
    on_one_scale,
    on_scale_of_stack,
    read_examples,
)
from napari_iclsam.commands.found_images import FoundImages, find_images
from napari_iclsam.commands.inputs import Reading
from napari_iclsam.commands.job import Job, Workers
from napari_iclsam.commands.model import Model
from napari_iclsam.commands.notes import say_notes
from napari_iclsam.commands.outputs import Destination, is_folder
from napari_iclsam.commands.query_run import ObjectWishes, Work
from napari_iclsam.commands.records import results_recorded, task_checksum
from napari_iclsam.commands.runners import runner_of
from napari_iclsam.commands.segment_one import segment_one
from napari_iclsam.core.task_file import read_task


def segment(
    pairs: Sequence[tuple[Path, Path]],
    queries: Sequence[Path],
    reading: Reading,
    model: Model,
    destination: Destination,
    workers: Workers,
) -> int:
    """Segment images by examples in files; return the exit status."""
    found = _find(queries, [labels for _, labels in pairs], destination)
    examples = on_one_scale(read_examples(pairs, reading), reading.window)
    if model.uses_neighbors:
        examples = on_scale_of_stack(examples, found.paths)
    work = Work(examples, reading, _wishes(destination))
    job = Job(work, model, destination, workers, pairs)
    return _segment(job, found)


def predict(
    task: Path,
    queries: Sequence[Path],
    reading: Reading,
    device: str,
    destination: Destination,
    workers: Workers,
) -> int:
    """Segment images by the examples of a task file; return the exit status."""
    found = _find(queries, [], destination)
    saved = read_task(task)
    model = Model(replace(saved.models, device=device), saved.settings)
    examples = on_one_scale(ReadExamples.of_saved(saved), reading.window)
    reading = reading.along_axis_of(saved.origin.axis)
    work = Work(examples, reading, _wishes(destination))
    job = Job(work, model, destination, workers, (), task)
    return _segment(job, found)


def _wishes(destination: Destination) -> ObjectWishes:
    return ObjectWishes(destination.objects, destination.measure is not None)


def _find(queries: Sequence[Path], labels: Sequence[Path], destination: Destination) -> FoundImages:
    """Return the images to segment: none of a folder is a label of an example, or a result."""
    folder = destination.output if is_folder(destination.output) else destination.output.parent
    return find_images(queries, [*labels, *results_recorded(folder)])


def _segment(job: Job, found: FoundImages) -> int:
    destination = job.destination
    asked = destination.resume or destination.summary or job.workers.scheduler
    is_batch = found.is_batch or bool(asked)
    if not is_batch:
        segment_one(job, found.paths[0])
        return 0
    task = task_checksum(job.work, job.model)
    plan = plan_batch(found.paths, job.read, task, destination)
    notes = job.work.examples.notes
    say_notes(notes)
    if found.skipped:
        click.echo(f"Note: {found.skipped} files are no images and are left alone.", err=True)
    return run_batch(plan, runner_of(job, plan), destination, job.pairs, notes)
