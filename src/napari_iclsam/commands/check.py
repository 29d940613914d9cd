"""The command check: each example segmented by the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from napari_iclsam.commands.examples import on_one_scale, read_examples
from napari_iclsam.commands.inputs import Reading
from napari_iclsam.commands.model import Model
from napari_iclsam.commands.notes import say_notes
from napari_iclsam.commands.outputs import written_together
from napari_iclsam.commands.progress import follow
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.quality.leave_one_out import Check, leave_one_out


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
