"""The command fit: examples and settings, tried and kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from napari_iclsam.commands.examples import on_one_scale, read_examples
from napari_iclsam.commands.inputs import Reading
from napari_iclsam.commands.model import Model
from napari_iclsam.commands.notes import say_notes
from napari_iclsam.commands.outputs import written_together
from napari_iclsam.commands.progress import follow
from napari_iclsam.commands.task_facts import TaskFacts
from napari_iclsam.core.task_file import SavedTask, write_task


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
        saved = SavedTask(support, model.settings, model.choice, examples.origin)
        with files.writing(output) as place:
            write_task(saved, place)
    names = ", ".join(map(support.name, support.ids))
    click.echo(f"{len(support)} examples of {names} -> {output}")
    TaskFacts.of(task).say_expectation()
