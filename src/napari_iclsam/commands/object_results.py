"""Objects of a result: ids in the place of labels, and a table of their measurements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.commands.outputs import is_folder
from napari_iclsam.commands.queries import labels_as_stored, read_stored, result_as_stored
from napari_iclsam.commands.query_run import Work
from napari_iclsam.commands.report import Outcome
from napari_iclsam.core.banded_measure import StoredObjects, measure_steps
from napari_iclsam.core.banded_objects import object_steps
from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.core.objects.instances import Instances, find_instances
from napari_iclsam.core.objects.linking import stack_instances
from napari_iclsam.core.objects.measure import ObjectTable, Pixels, Scale, measure
from napari_iclsam.core.prediction import Progress
from napari_iclsam.files import AnyLabels, LabelRows, Space, stem

TABLE = "_objects.csv"
"""What the tables of images are called in a folder, after the names of the images."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredResult:
    """What is written of a query.

    Attributes
    ----------
    labels : ndarray or `LabelPlanes`, int32
        Labels, or ids of objects, as the file stores planes.
    styles : mapping of int to LabelStyle
        Names and colors of labels; ids have none.
    table : ObjectTable, optional
        Measurements, if they are wanted.
    """

    labels: AnyLabels
    styles: Mapping[int, LabelStyle] = field(default_factory=dict)
    table: ObjectTable | None = None


def table_path(measure_to: Path | None, query: Path) -> Path | None:
    """Return where the measurements of a query go: a file, or one in a folder."""
    if measure_to is None or not is_folder(measure_to):
        return measure_to
    return measure_to / f"{stem(query)}{TABLE}"


def stored_result(outcome: Outcome, work: Work) -> StoredResult:
    """Return what is to be written of a query; its objects are counted in the outcome."""
    query = outcome.query
    wanted = work.objects
    if not wanted.are_wanted:
        return StoredResult(result_as_stored(query, outcome.labels), outcome.styles)
    found = _find(outcome)
    counts = Counter(found.labels[1:].tolist())
    outcome.objects = {label: counts[label] for label in outcome.names}
    ids = labels_as_stored(query, found.ids)
    table = _measure(ids, found, outcome, work) if wanted.are_measured else None
    if wanted.are_output:
        return StoredResult(ids, table=table)
    return StoredResult(result_as_stored(query, outcome.labels), outcome.styles, table)


def result_steps(
    outcome: Outcome, work: Work, scratch: Path
) -> Generator[Progress, None, StoredResult]:
    """Find and measure objects step by step; those of a plane on disk part by part.

    Parameters
    ----------
    outcome : Outcome
    work : Work
    scratch : Path
        Folder for ids that are larger than memory.
    """
    if isinstance(outcome.labels, LabelRows) and work.objects.are_wanted:
        return (yield from _large_steps(outcome, outcome.labels, work, scratch))
    return stored_result(outcome, work)


def _large_steps(
    outcome: Outcome, labels: LabelRows, work: Work, scratch: Path
) -> Generator[Progress, None, StoredResult]:
    ids = LabelRows.create(scratch / "ids.zarr", labels.shape)
    owners = yield from object_steps(labels, ids, outcome.separations)
    counts = Counter(owners[1:].tolist())
    outcome.objects = {label: counts[label] for label in outcome.names}
    table = None
    if work.objects.are_measured:
        query = outcome.query
        image = read_stored(query, work.reading, work.examples)
        stored = StoredObjects(ids, owners, image, outcome.certainty)
        table = yield from measure_steps(stored, _scale(query.space, ids.ndim))
    if work.objects.are_output:
        return StoredResult(ids, table=table)
    return StoredResult(labels, outcome.styles, table)


def _find(outcome: Outcome) -> Instances:
    axis = outcome.query.axis
    # Objects go through planes: they are found in the whole stack.
    labels = np.asarray(outcome.labels)
    if axis is None:
        return find_instances(labels, outcome.separations)
    return stack_instances(labels, axis, outcome.separations)


def _measure(ids: NDArray[np.int32], found: Instances, outcome: Outcome, work: Work) -> ObjectTable:
    """Measure objects as the file stores planes, in its units if it says how large pixels are."""
    query = outcome.query
    certainty = outcome.certainty
    if certainty is not None:
        known = labels_as_stored(query, np.asarray(certainty))
        # of an image without objects, the table is to have the same columns
        certainty = known if known.any() or not ids.any() else None
    # The grey values of the file, not those of a window.
    image = np.asarray(read_stored(query, work.reading, work.examples))
    pixels = Pixels(image, certainty, found.labels)
    return measure(ids, pixels, _scale(query.space, ids.ndim))


def _scale(space: Space, axes: int) -> Scale:
    sizes = space.spacing
    known = [float(size) for size in sizes if size]
    if not space.unit or len(known) != axes:
        return Scale.pixels(axes)
    return Scale(tuple(known), space.unit)


def check_tables(measure_to: Path | None, queries: int) -> None:
    """Raise ValueError if the measurements of several images would go into one file."""
    if measure_to is not None and queries > 1 and not is_folder(measure_to):
        raise ValueError(
            f"There are {queries} queries: name a folder as --measure, not the file {measure_to}."
        )
