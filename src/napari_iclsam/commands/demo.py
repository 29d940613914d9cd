"""The command demo: a sample segmented from its examples, compared with the truth, drawn, and shown in napari."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from napari_iclsam import samples
from napari_iclsam.commands.outputs import written_together
from napari_iclsam.commands.picture import Column, write_picture
from napari_iclsam.commands.progress import follow
from napari_iclsam.commands.segment import Model, say_models
from napari_iclsam.core.images.support import LabelStyle, SupportSet
from napari_iclsam.core.metrics import dice
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.task import Task
from napari_iclsam.files import Nifti, Space, write_labels

_PLANES = 16
"""Planes that are segmented unless all are wanted: enough to see, quick enough to wait for."""

_DRAWN = 5
"""Columns of the picture."""

_VIEWER = """
import sys, napari
viewer = napari.Viewer()
viewer.open_sample("napari-iclsam", sys.argv[1])
viewer.window.add_plugin_dock_widget("napari-iclsam", "ICL-SAM")
napari.run()
"""
"""napari in a process of its own: here nothing of it is imported."""


def demo(
    name: str, output: Path, model: Model, *, every: bool, headless: bool, overwrite: bool
) -> None:
    """Segment a sample from its examples, print Dice of each label, write labels and a picture, open napari.

    Parameters
    ----------
    name : {"brain", "cells"}
    output : Path
        Folder.
    model : Model
    every : bool
        Segment every plane instead of at most `_PLANES`, evenly spread.
    headless : bool
        Open no window.
    overwrite : bool
    """
    sample = {"brain": samples.brain, "cells": samples.cells}[name]
    labels_path = output / f"{name}_labels{'.nii.gz' if name == 'brain' else '.tif'}"
    picture_path = output / f"{name}.png"
    with written_together([labels_path, picture_path], overwrite=overwrite) as places:
        what = sample()
        others = [n for n in range(len(what.image)) if n not in what.examples]
        wanted = others if every else _spread(others, _PLANES)
        click.echo(f"{what.title} ({what.source})")
        click.echo(
            f"{len(what.examples)} labelled planes; segmenting {len(wanted)} of {len(others)} others."
        )
        start = time.perf_counter()
        task = follow(model.segmenter().fit_steps(_support(what)), "Reading the examples")
        result = _segment(task, what, wanted)
        seconds = time.perf_counter() - start
        write_labels(places[labels_path], result, _space(what))
        write_picture(places[picture_path], _columns(what, wanted, result), what.names)
    _show_dice(what, wanted, result)
    click.echo(f"{seconds:.0f} seconds, models loaded and examples read included.")
    say_models(task)
    click.echo(f"Labels: {labels_path}\nPicture: {picture_path}")
    _show_viewer(name, headless=headless)


def _support(sample: samples.Sample) -> SupportSet:
    planes = sample.examples
    styles = {label: LabelStyle(name) for label, name in sample.names.items()}
    return SupportSet.of(
        [sample.image[n] for n in planes], [sample.truth[n] for n in planes], styles
    )


def _segment(task: Task, sample: samples.Sample, wanted: list[int]) -> NDArray[np.int32]:
    """Return the examples' labels and those that were found for the other planes."""
    result = sample.labels.astype(np.int32)

    def keep(step: Progress) -> None:
        if step.prediction is not None:
            assert step.plane is not None
            result[step.plane] = step.prediction.labels

    follow(task.stack_steps(sample.image, planes=wanted), sample.name, keep)
    return result


def _columns(sample: samples.Sample, wanted: list[int], result: NDArray[np.int32]) -> list[Column]:
    drawn = _spread(wanted, _DRAWN)
    return [Column(f"plane {n}", sample.image[n], sample.truth[n], result[n]) for n in drawn]


def _spread(planes: list[int], count: int) -> list[int]:
    """Choose planes evenly, each from the middle of its part."""
    count = min(count, len(planes))
    return [planes[int((n + 0.5) * len(planes) / count)] for n in range(count)]


def _show_dice(sample: samples.Sample, wanted: list[int], result: NDArray[np.int32]) -> None:
    table = Table(
        "label",
        "all planes",
        "worst plane",
        "best plane",
        title="Dice against the truth, examples left out",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    truth, found = sample.truth[wanted], result[wanted]
    for label, name in sample.names.items():
        planes = [
            dice(f == label, t == label)
            for f, t in zip(found, truth, strict=True)
            if (t == label).any()
        ]
        values = (dice(found == label, truth == label), min(planes), max(planes))
        table.add_row(f"{label} {name}", *(f"{value:.3f}" for value in values))
    Console().print(table)


def _space(sample: samples.Sample) -> Space:
    import nibabel

    if sample.affine is None:
        return Space("ZYX", dialect="imagej")
    shape = sample.truth.shape[::-1]
    header = nibabel.Nifti1Image(np.zeros((1, 1, 1), np.uint8), sample.affine).header
    header.set_data_shape(shape)
    header.set_xyzt_units(sample.unit)
    return Space("ZYX", sample.spacing, sample.unit, nifti=Nifti(sample.affine, header, shape))


def _show_viewer(name: str, *, headless: bool) -> None:
    """Open napari with the sample and the widget, where that is possible."""
    if headless:
        return
    if not has_display():
        click.echo("There is no display: napari is not opened.")
    elif importlib.util.find_spec("napari") is None:
        click.echo('napari is not installed: pip install "napari-iclsam[all]" brings it.')
    else:
        click.echo("Opening napari: press Segment.")
        subprocess.run([sys.executable, "-c", _VIEWER, name], check=True)  # noqa: S603 (our own program)


def has_display() -> bool:
    """Tell whether windows can be opened here."""
    if os.environ.get("QT_QPA_PLATFORM", "") in ("offscreen", "minimal"):
        return False
    return sys.platform in ("win32", "darwin") or any(
        os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY")
    )
