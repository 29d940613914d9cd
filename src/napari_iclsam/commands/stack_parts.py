"""A stack segmented in parts of some planes, each by any worker, and joined.

Parts are files: what one worker has segmented is there when that worker is no more.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.commands.file_run import (
    FileReport,
    FileWork,
    OpenedFile,
    Segmented,
    being_written,
    failed,
    open_file,
    publish_result,
)
from napari_iclsam.commands.object_results import stored_result
from napari_iclsam.commands.queries import read_again
from napari_iclsam.commands.query_run import Place, labelled_stack, outcome_of
from napari_iclsam.commands.records import read_record
from napari_iclsam.commands.task_facts import TaskFacts
from napari_iclsam.commands.worker import (
    Fitted,
    SentTask,
    StoppedError,
    drain_unless_stopped,
    fitted_or_said,
    segment_file,
)
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.prediction import Prediction, Provenance

PLANES = 8
"""Planes of a part: a multiple of the planes that a graphics card embeds at once, so that parts are
segmented as a whole stack is, bit for bit."""


@dataclass(frozen=True, slots=True)
class Divided:
    """A stack that is to be segmented in parts of `PLANES` planes.

    Attributes
    ----------
    count : int
        Number of its planes.
    """

    count: int

    def parts(self) -> list[range]:
        """Return the planes of each part."""
        starts = range(0, self.count, PLANES)
        return [range(start, min(start + PLANES, self.count)) for start in starts]


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    """The stack that this process has read last."""

    file: FileWork
    opened: OpenedFile
    image: ArrayLike


_loaded: list[_Loaded] = []
"""At most one: the parts of a stack come one after the other, and it is read once."""


def begin_file(sent: SentTask, file: FileWork) -> FileReport | Divided:
    """Segment a picture or a volume, or find that a stack is to be segmented in parts.

    A file that was done before its worker died is not segmented again.

    Raises
    ------
    ValueError, StoppedError
        See `segment_file`.
    """
    here = fitted_or_said(sent)
    try:
        before = _done_before(file, here)
        if before is not None:
            return before
        opened = open_file(file, here.work, here.task)
        count = _planes_apart(opened, here)
        if count > PLANES:
            return Divided(count)
    except Exception as error:  # noqa: BLE001 (part of the report, as in `file_steps`)
        return failed(file, error)
    return segment_file(sent, file)


def segment_part(sent: SentTask, file: FileWork, planes: range) -> FileReport | None:
    """Segment some planes of a stack and keep them in a file; return a report if that fails.

    Raises
    ------
    ValueError, StoppedError
        See `segment_file`.
    """
    here = fitted_or_said(sent)
    target = _part_path(file, planes)
    # Done by a worker that died before it could say so.
    if target.exists():
        return None
    try:
        stack = _load(file, here)
        axis = stack.opened.query.axis
        assert axis is not None
        predictions = []
        steps = here.task.stack_steps(stack.image, axis, planes=planes)

        def gather() -> Any:
            for step in steps:
                if step.prediction is not None:
                    predictions.append(step.prediction)
                yield step

        drain_unless_stopped(sent, gather())
        _write_part(target, predictions, file)
    except StoppedError:
        raise
    except Exception as error:  # noqa: BLE001 (part of the report, as in `file_steps`)
        return failed(file, error)
    return None


def join_parts(sent: SentTask, file: FileWork, divided: Divided) -> FileReport:
    """Publish the result of a stack whose parts are all there.

    Raises
    ------
    ValueError
        If the task cannot be fitted.
    """
    here = fitted_or_said(sent)
    try:
        before = _done_before(file, here)
        if before is not None:
            return before
        opened = open_file(file, here.work, here.task)
        outcome = outcome_of(here.task, opened.query, Place(file.output, file.workshop))
        for planes in divided.parts():
            predictions = _read_part(_part_path(file, planes), here.task.provenance)
            for number, prediction in zip(planes, predictions, strict=True):
                outcome.add(prediction, number)
        segmented = Segmented(outcome, stored_result(outcome, here.work))
        return publish_result(segmented, file, opened, here.task)
    except Exception as error:  # noqa: BLE001 (part of the report, as in `file_steps`)
        return failed(file, error)


def _planes_apart(opened: OpenedFile, here: Fitted) -> int:
    """Return the number of planes that can be segmented each by itself; 0 if they cannot."""
    query = opened.query
    if query.axis is None or query.is_blank:
        return 0
    source = here.work.examples.stack_of(query.path)
    if source is not None:
        # Its planes tell of each other: it is one piece of work.
        image = read_again(query, here.work.reading, here.work.examples)
        if labelled_stack(here.task, query, image, here.work) is not None:
            return 0
    return query.shape[query.axis]


def _done_before(file: FileWork, here: Fitted) -> FileReport | None:
    """Return the report of a file whose worker died after it had published the result."""
    if file.overwrite or not file.output.exists():
        return None
    record = read_record(file.output)
    if record is None or not record.is_of(file.path, file.task):
        return None
    line = f"{file.path} -> {file.output}"
    facts = TaskFacts.of(here.task)
    return FileReport(file.path, file.output, "done", record.entry, (line,), facts=facts)


def _load(file: FileWork, here: Fitted) -> _Loaded:
    if not _loaded or _loaded[0].file != file:
        _loaded.clear()
        opened = open_file(file, here.work, here.task)
        image = read_again(opened.query, here.work.reading, here.work.examples)
        _loaded.append(_Loaded(file, opened, image))
    return _loaded[0]


def _part_path(file: FileWork, planes: range) -> Path:
    return file.workshop / f"{file.output.name}-planes-{planes.start}.npz"


def _write_part(target: Path, predictions: Sequence[Prediction], file: FileWork) -> None:
    """Write the labels of planes, and what is known of them; the file appears complete."""
    labels = np.stack([prediction.labels for prediction in predictions])
    found = json.dumps([_found(prediction) for prediction in predictions])
    with being_written(file.output, file.workshop) as place:
        part = place.with_name(f"{place.name}-{uuid.uuid4().hex[:8]}.npz")
        np.savez(part, labels=labels, found=np.array(found))
        part.replace(target)


def _found(prediction: Prediction) -> dict[str, Any]:
    boxes = {label: corners.tolist() for label, corners in prediction.boxes.items()}
    return {
        "boxes": boxes,
        "estimated_dice": dict(prediction.estimated_dice),
        "seconds": dict(prediction.seconds),
        "notes": list(prediction.notes),
    }


def _read_part(path: Path, provenance: Provenance) -> list[Prediction]:
    with np.load(path, allow_pickle=False) as part:
        labels = part["labels"]
        found = json.loads(str(part["found"]))
    return [_prediction(*both, provenance) for both in zip(labels, found, strict=True)]


def _prediction(
    labels: NDArray[np.int32], found: Mapping[str, Any], provenance: Provenance
) -> Prediction:
    """Return a prediction with what a report needs of it."""
    # JSON has no numbers as keys.
    boxes = {int(label): np.array(corners) for label, corners in found["boxes"].items()}
    dice = {int(label): value for label, value in found["estimated_dice"].items()}
    return Prediction(
        labels=labels,
        probabilities={},
        confidence={},
        icl_labels=labels,
        sam_labels=labels,
        boxes=boxes,
        seconds=found["seconds"],
        provenance=provenance,
        notes=tuple(found["notes"]),
        estimated_dice=dice,
    )
