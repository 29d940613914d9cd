"""The command demo: segment a sample, compare it with the truth, draw it and show it in napari."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from napari_iclsam import samples
from napari_iclsam.commands.model import Model
from napari_iclsam.commands.outputs import written_together
from napari_iclsam.commands.picture import Column, write_picture
from napari_iclsam.commands.progress import follow
from napari_iclsam.commands.task_facts import TaskFacts
from napari_iclsam.core.images.support import LabelStyle, SupportSet
from napari_iclsam.core.labelled_stack import LabelledStack
from napari_iclsam.core.metrics import dice
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.stack_task import StackTask
from napari_iclsam.core.task import Task
from napari_iclsam.files import Nifti, Space, write_labels

_PLANES = 16
"""Planes that are segmented unless all are wanted: enough to see, quick enough to wait for."""

_DRAWN = 5
"""Columns of the picture."""

_WINDOW = "napari_iclsam._qt.demo_window"
"""Run in a process of its own: here nothing of napari is imported."""


def demo(
    name: str, output: Path, model: Model, *, every: bool, headless: bool, overwrite: bool
) -> None:
    """Segment a sample from its examples, print each label's Dice, write results, open napari.

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
    labels_path = output / f"{name}_labels{'.nii.gz' if name == 'brain' else '.tif'}"
    picture_path = output / f"{name}.png"
    # The files are checked before the sample is read, and both appear or neither.
    with written_together([labels_path, picture_path], overwrite=overwrite) as places:
        sample = samples.brain() if name == "brain" else samples.cells()
        wanted = _wanted(sample, every=every)
        start = time.perf_counter()
        is_volume = sample.affine is not None
        steps = model.segmenter().fit_steps(_support(sample), sparing=is_volume)
        task = follow(steps, "Reading the examples")
        result = _segment(task, sample, wanted)
        seconds = time.perf_counter() - start
        write_labels(places[labels_path], result, _space(sample))
        columns = _columns(sample, wanted, result)
        write_picture(places[picture_path], columns, sample.names)
    _show_dice(sample, wanted, result)
    click.echo(f"{seconds:.0f} seconds, models loaded and examples read included.")
    TaskFacts.of(task).say_models()
    click.echo(f"Labels: {labels_path}\nPicture: {picture_path}")
    if not headless:
        _show_window(name, labels_path, wanted[len(wanted) // 2])


def _wanted(sample: samples.Sample, *, every: bool) -> list[int]:
    """Choose the planes to segment, and say how many they are."""
    # Planes whose labels were given would flatter the result.
    others = [n for n in range(len(sample.image)) if n not in sample.examples]
    wanted = others if every else _spread(others, _PLANES)
    click.echo(f"{sample.title} ({sample.source})")
    click.echo(
        f"{len(sample.examples)} labelled planes; segmenting {len(wanted)} of {len(others)} others."
    )
    return wanted


def _support(sample: samples.Sample) -> SupportSet:
    images = [sample.image[n] for n in sample.examples]
    labels = [sample.truth[n] for n in sample.examples]
    styles = {label: LabelStyle(name) for label, name in sample.names.items()}
    return SupportSet.of(images, labels, styles)


def _segment(task: Task, sample: samples.Sample, wanted: list[int]) -> NDArray[np.int32]:
    """Return the examples' labels and those that were found for the other planes."""
    result = sample.labels.astype(np.int32)

    def keep(step: Progress) -> None:
        if step.prediction is not None:
            assert step.plane is not None
            result[step.plane] = step.prediction.labels

    follow(_plane_steps(task, sample, wanted), sample.name, keep)
    return result


def _plane_steps(
    task: Task, sample: samples.Sample, wanted: list[int]
) -> Generator[Progress, None, None]:
    """Segment planes of a sample: of a volume together, of other images one by one."""
    is_volume = sample.affine is not None
    if not is_volume or not task.context.runners.recipe.use_neighbors:
        return task.stack_steps(sample.image, planes=wanted)
    pairs = {plane: pair for pair, plane in enumerate(sample.examples)}
    return StackTask(task, LabelledStack(sample.image, 0, pairs)).steps(wanted)


def _columns(sample: samples.Sample, wanted: list[int], result: NDArray[np.int32]) -> list[Column]:
    columns = []
    for n in _spread(wanted, _DRAWN):
        columns.append(Column(f"plane {n}", sample.image[n], sample.truth[n], result[n]))
    return columns


def _spread(planes: list[int], count: int) -> list[int]:
    """Choose planes evenly, each from the middle of its part."""
    count = min(count, len(planes))
    chosen = []
    for n in range(count):
        middle = (n + 0.5) * len(planes) / count
        chosen.append(planes[int(middle)])
    return chosen


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
    truth = sample.truth[wanted]
    found = result[wanted]
    for label, name in sample.names.items():
        whole = dice(found == label, truth == label)
        planes = _dice_by_plane(found == label, truth == label)
        values = (whole, min(planes), max(planes))
        table.add_row(f"{label} {name}", *(f"{value:.3f}" for value in values))
    Console().print(table)


def _dice_by_plane(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> list[float]:
    scores = []
    for one, other in zip(found, truth, strict=True):
        # With nothing to find, a single wrong pixel makes 0 of 1.
        if other.any():
            scores.append(dice(one, other))
    return scores


def _space(sample: samples.Sample) -> Space:
    import nibabel

    if sample.affine is None:
        return Space("ZYX", dialect="imagej")
    shape = sample.truth.shape[::-1]
    # nibabel makes a header with an affine only together with pixels: one is enough.
    voxel = np.zeros((1, 1, 1), np.uint8)
    header = nibabel.Nifti1Image(voxel, sample.affine).header
    header.set_data_shape(shape)
    header.set_xyzt_units(sample.unit)
    nifti = Nifti(sample.affine, header, shape)
    return Space("ZYX", sample.spacing, sample.unit, nifti=nifti)


def _show_window(name: str, result: Path, plane: int) -> None:
    """Open napari with the sample, the result and the widget, where that is possible."""
    if not has_display():
        click.echo("There is no display: napari is not opened.")
    elif importlib.util.find_spec("napari") is None:
        click.echo('napari is not installed: pip install "napari-iclsam[all]" brings it.')
    else:
        click.echo(f"Opening napari on plane {plane}: press Segment for the others.")
        command = [sys.executable, "-m", _WINDOW, name, str(result), str(plane)]
        subprocess.run(command, check=True)  # noqa: S603 (our own program)


def has_display() -> bool:
    """Tell whether windows can be opened here."""
    # These platforms of Qt draw into memory: a window would wait for ever, unseen.
    if os.environ.get("QT_QPA_PLATFORM", "") in ("offscreen", "minimal"):
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
