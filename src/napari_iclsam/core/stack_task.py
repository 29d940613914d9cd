"""A stack with labelled planes: neighboring labels are evidence beside the image."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from napari_iclsam.core.images.intensity import LUMINANCE
from napari_iclsam.core.images.planes import (
    ArrayLike,
    PlaneError,
    plane,
    plane_indices,
    stack_axis,
)
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.prediction import Prediction, Progress
from napari_iclsam.core.task import Task
from napari_iclsam.core.volume.evidence_store import EvidenceStore
from napari_iclsam.core.volume.label_context import LabelContext, prepare_label, prepare_motion
from napari_iclsam.core.volume.labelled_planes import (
    Axis,
    AxisKind,
    LabelledPlanes,
    axis_of_spacing,
)
from napari_iclsam.core.volume.order import nearest_first
from napari_iclsam.core.volume.settle import (
    SettledPlane,
    absent_plane,
    answer_first,
    join_labels,
    settle,
)
from napari_iclsam.core.volume.strengths import Strengths, strengths_of

Spacing = tuple[float, float, float]
"""Distance of planes, rows and columns, in any one unit."""


@dataclass(frozen=True, slots=True, eq=False)
class VolumePart:
    """Some neighboring planes of a volume, read one by one.

    Attributes
    ----------
    volume : ArrayLike
    axis : int
        The axis that the planes are stacked along.
    first, stop : int
        The first plane, and the one after the last.
    """

    volume: ArrayLike
    axis: int
    first: int
    stop: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the part."""
        shape = list(self.volume.shape)
        shape[self.axis] = self.stop - self.first
        return tuple(shape)

    @property
    def dtype(self) -> Any:
        """That of the volume."""
        return self.volume.dtype

    def __getitem__(self, key: Any) -> Any:
        """Read one plane, as `napari_iclsam.core.images.planes.plane` does."""
        number = self.first + key[self.axis]
        return self.volume[(*key[: self.axis], number, *key[self.axis + 1 :])]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledStack:
    """A volume, and which of its planes are examples of a task.

    Attributes
    ----------
    volume : numpy, dask or zarr array, three axes, or three and colors
        8-bit, or on the scale of the examples (`ScaledVolume`).
    axis : int
        The axis that the planes are stacked along, counted from the front.
    pairs : mapping of int to int
        By plane: its number among the examples of the task.
    spacing : tuple of float, optional
        Distance of planes, rows and columns; taken as equal if not given.
    kind : {"space", "time"}
        In time an object may vanish and return.
    """

    volume: ArrayLike
    axis: int
    pairs: Mapping[int, int]
    spacing: Spacing | None = None
    kind: AxisKind = "space"

    def __post_init__(self) -> None:
        if np.dtype(self.volume.dtype) != np.uint8:
            raise ValueError(
                f"The volume must hold 8-bit grey values; got {self.volume.dtype}. Wrap it in "
                "ScaledVolume.of, and scale the examples alike."
            )

    @property
    def count(self) -> int:
        """Number of planes."""
        return self.volume.shape[self.axis]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a plane."""
        rest = [length for axis, length in enumerate(self.volume.shape[:3]) if axis != self.axis]
        return rest[0], rest[1]

    @property
    def planes(self) -> tuple[int, ...]:
        """The labelled planes, ascending."""
        return tuple(sorted(self.pairs))

    @property
    def spaced_axis(self) -> Axis:
        """The axis with the distance of its planes, in pixels."""
        if self.spacing is None:
            return Axis(self.count, kind=self.kind)
        return axis_of_spacing(self.count, self.spacing, self.kind)

    def part(self, first: int, stop: int) -> LabelledStack:
        """Return the stack from one plane up to another, which holds all labelled planes."""
        pairs = {number - first: pair for number, pair in self.pairs.items()}
        volume = VolumePart(self.volume, self.axis, first, stop)
        return replace(self, volume=volume, pairs=pairs)

    def grey(self, number: int) -> NDArray[np.uint8]:
        """Return the grey values (H, W) of a plane; zeros where it cannot be read.

        Such a plane tells nothing of the planes beside. That it is faulty is raised when it is to
        be segmented itself.
        """
        try:
            image = np.asarray(plane(self.volume, self.axis, number))
        except (ValueError, TypeError):
            return np.zeros(self.size, np.uint8)
        if image.ndim == 3:
            image = image[..., :3].astype(np.float32) @ LUMINANCE
        return image.astype(np.uint8)


class StackTask:
    """A fitted task and the stack that its examples are planes of. Made by `ICLSAM.fit_stack`.

    Each plane within reach of the labels is segmented as an image, nearest to the labelled planes
    first. A shape prior, the outlines of labelled planes carried along with the tissue, and
    evidence of presence are added; once all planes are known, they are settled together.

    Attributes
    ----------
    task : Task
    stack : LabelledStack
    """

    def __init__(self, task: Task, stack: LabelledStack) -> None:
        self.task = task
        self.stack = stack

    @property
    def support(self) -> SupportSet:
        """The examples."""
        return self.task.support

    def predict(self, planes: Iterable[int] | None = None) -> NDArray[np.int32]:
        """Segment the stack.

        Parameters
        ----------
        planes : iterable of int, optional
            Only these planes; by default all.

        Returns
        -------
        ndarray, int32
            Of the shape of the volume without colors. Labelled planes are as they were given; 0 in
            the planes left out.

        Raises
        ------
        PlaneError
            If a plane has pixels that are not finite, or cannot be read; it says which.
        """
        labels = np.zeros(self.stack.volume.shape[:3], np.int32)
        for progress in self.steps(planes):
            if progress.prediction is not None:
                assert progress.plane is not None
                labels[self._key(progress.plane)] = progress.prediction.labels
        return labels

    def given(self) -> dict[int, NDArray[np.int32]]:
        """Return the labels (H, W) of the labelled planes."""
        return {number: self.support.labels[pair] for number, pair in self.stack.pairs.items()}

    def steps(self, planes: Iterable[int] | None = None) -> Generator[Progress, None, None]:
        """Segment the stack step by step.

        Steps with stage "done" carry the first answer for a plane, as soon as it is known; steps
        with stage "settled" carry the final one, when all are. Labelled planes come first, as they
        were given.
        """
        wanted = plane_indices(self.stack.count, planes)
        order = nearest_first(self.stack.planes, wanted)
        yield from self._given_steps(wanted)
        if not order:
            return
        # planes beyond these neither are asked for nor tell anything
        first = min(*order, *self.stack.planes)
        last = max(*order, *self.stack.planes)
        part = self.stack.part(first, last + 1)
        steps = _StackRun(self.task, part).steps([number - first for number in order])
        try:
            for step in steps:
                yield step if step.plane is None else replace(step, plane=step.plane + first)
        except PlaneError as error:
            raise PlaneError(error.plane + first, error.reason) from error
        finally:
            steps.close()

    def _given_steps(self, wanted: Iterable[int]) -> Generator[Progress, None, None]:
        """Give back the labels of labelled planes as they are."""
        given = self.given()
        known = [number for number in wanted if number in given]
        for done, number in enumerate(known, start=1):
            prediction = self._given_prediction(given[number])
            message = f"Slice {number} is labelled"
            yield Progress("done", message, done, len(known), number, prediction)

    def _given_prediction(self, labels: NDArray[np.int32]) -> Prediction:
        empty = np.zeros_like(labels)
        return Prediction(
            labels=labels,
            probabilities={i: (labels == i).astype(np.float32) for i in self.support.ids},
            confidence={},
            icl_labels=empty,
            sam_labels=empty,
            boxes={},
            seconds={},
            provenance=self.task.provenance,
        )

    def _key(self, number: int) -> tuple[slice | int, ...]:
        return (slice(None),) * self.stack.axis + (number,)


class _StackRun:
    """One run over a stack: first answers, then all planes settled.

    Parameters
    ----------
    task : Task
    stack : LabelledStack
    """

    def __init__(self, task: Task, stack: LabelledStack) -> None:
        self.task = task
        self.stack = stack
        self._labels = task.support.ids

    def steps(self, order: Sequence[int]) -> Generator[Progress, None, None]:
        """Segment planes, in this order."""
        store = EvidenceStore((self.stack.count, *self.stack.size), self._labels)
        try:
            contexts = self._prepare(store)
            yield from self._first_steps(store, contexts, order)
            yield from self._settle_steps(store, contexts, order)
        finally:
            store.close()

    def _prepare(self, store: EvidenceStore) -> dict[int, LabelContext]:
        """Learn what the labelled planes tell of each label."""
        planes = self.stack.planes
        pairs = [self.stack.pairs[plane] for plane in planes]
        painted = np.stack([self.task.support.labels[pair] > 0 for pair in pairs])
        read_any = partial(self._evidence, store, self._labels[0])
        motion = prepare_motion(LabelledPlanes(planes, painted), self.stack.count, read_any)
        contexts = {}
        for label in self._labels:
            masks = [self.task.support.mask(pair, label) for pair in pairs]
            labelled = LabelledPlanes(planes, np.stack(masks))
            if labelled.holding:
                read = partial(self._evidence, store, label)
                contexts[label] = prepare_label(
                    labelled, self.stack.spaced_axis, motion, read, self._strengths(label)
                )
        return contexts

    def _strengths(self, label: int) -> Strengths:
        scores = self.task.cross_validated.get(label)
        return strengths_of(None if scores is None else scores.fused)

    def _first_steps(
        self, store: EvidenceStore, contexts: Mapping[int, LabelContext], order: Sequence[int]
    ) -> Generator[Progress, None, None]:
        """Answer planes as soon as possible, without those beside them that are not known."""
        total = len(order)
        absent = [number for number in order if self._is_out_of_reach(contexts, number)]
        possible = [number for number in order if number not in set(absent)]
        for progress in self._image_steps(store, contexts, possible):
            yield replace(progress, total=total)
        for done, number in enumerate(absent, start=len(possible) + 1):
            self._check_readable(number)
            by_label = {label: absent_plane(one, number) for label, one in contexts.items()}
            prediction = self._settled_prediction(store, number, by_label)
            message = f"Slice {number} is far from all labels"
            yield Progress("done", message, done, total, number, prediction)

    def _is_out_of_reach(self, contexts: Mapping[int, LabelContext], number: int) -> bool:
        """Return whether a plane holds no label, whatever its image shows: it is not segmented."""
        # of labels without a labelled plane in this stack nothing is known
        if len(contexts) < len(self._labels):
            return False
        return all(context.is_out_of_reach(number) for context in contexts.values())

    def _check_readable(self, number: int) -> None:
        """Raise what is wrong with a plane that is not segmented."""
        try:
            plane(self.stack.volume, self.stack.axis, number)
        except (ValueError, TypeError) as error:
            raise PlaneError(number, str(error)) from error

    def _image_steps(
        self, store: EvidenceStore, contexts: Mapping[int, LabelContext], order: Sequence[int]
    ) -> Generator[Progress, None, None]:
        """Segment planes as images, and add what the labelled planes tell."""
        if not order:
            return
        for progress in self.task.stack_steps(self.stack.volume, self.stack.axis, planes=order):
            prediction = progress.prediction
            if prediction is None:
                yield progress
                continue
            number = progress.plane
            assert number is not None
            log_odds = _log_odds_of(prediction)
            store.put(number, log_odds, prediction.all_estimates)
            for label, context in contexts.items():
                evidence = self._evidence(store, label, number)
                log_odds[label] = answer_first(context, number, evidence).log_odds
            yield replace(progress, prediction=_answered(prediction, log_odds))

    def _settle_steps(
        self, store: EvidenceStore, contexts: Mapping[int, LabelContext], order: Sequence[int]
    ) -> Generator[Progress, None, None]:
        """Decide all planes together, once their evidence is there."""
        total = len(order)
        wanted = set(order)
        yield Progress("settle", "Comparing neighboring slices", total, total)
        settled = {
            label: settle(context, partial(self._evidence, store, label))
            for label, context in contexts.items()
        }
        for by_label in _in_step(settled):
            number = next(iter(by_label.values())).plane
            if number in wanted:
                prediction = self._settled_prediction(store, number, by_label)
                message = "Comparing neighboring slices"
                yield Progress("settled", message, total, total, number, prediction)

    def _settled_prediction(
        self, store: EvidenceStore, number: int, by_label: Mapping[int, SettledPlane]
    ) -> Prediction:
        """Return the prediction of a settled plane.

        Labels without a labelled plane are as first answered.
        """
        log_odds = {}
        estimates = {}
        for label in self._labels:
            evidence = self._evidence(store, label, number)
            plane_of_label = by_label.get(label)
            log_odds[label] = (
                evidence.log_odds.astype(np.float32)
                if plane_of_label is None
                else plane_of_label.log_odds
            )
            estimates[label] = evidence.estimated_dice
        labels = join_labels(log_odds)
        present = {label: one.presence for label, one in by_label.items()}
        empty = np.zeros_like(labels)
        return Prediction(
            labels=labels,
            probabilities={label: special.expit(odds) for label, odds in log_odds.items()},
            confidence={},
            icl_labels=empty,
            sam_labels=empty,
            boxes={},
            seconds={},
            provenance=self.task.provenance,
            notes=self._notes(labels),
            estimated_dice={
                label: dice for label, dice in estimates.items() if (labels == label).any()
            },
            presence=present,
            need_of_check=max((one.need_of_check for one in by_label.values()), default=0.0),
        )

    def _notes(self, labels: NDArray[np.int32]) -> tuple[str, ...]:
        absent = [self.task.support.name(i) for i in self._labels if not (labels == i).any()]
        return (f"Judged to be absent: {', '.join(absent)}.",) if absent else ()

    def _evidence(self, store: EvidenceStore, label: int, number: int) -> Any:
        if not store.has_grey(number):
            store.put_grey(number, self.stack.grey(number))
        return store.evidence(number, label)


def _log_odds_of(prediction: Prediction) -> dict[int, NDArray[np.float32]]:
    """Return the log-odds of each label, (H, W)."""
    log_odds = {}
    for label, probability in prediction.probabilities.items():
        clipped = np.clip(probability, 1e-4, 1 - 1e-4)
        log_odds[label] = special.logit(clipped).astype(np.float32)
    return log_odds


def _answered(prediction: Prediction, log_odds: Mapping[int, NDArray[np.float32]]) -> Prediction:
    """Return the prediction of a plane with other log-odds of its labels."""
    labels = join_labels(dict(log_odds))
    estimates = prediction.estimated_dice
    return replace(
        prediction,
        labels=labels,
        probabilities={label: special.expit(odds) for label, odds in log_odds.items()},
        estimated_dice={i: dice for i, dice in estimates.items() if (labels == i).any()},
    )


def _in_step(
    settled: Mapping[int, Iterator[SettledPlane]],
) -> Iterator[dict[int, SettledPlane]]:
    """Go through the planes of all labels together, which are the same for each."""
    for planes in zip(*settled.values(), strict=True):
        yield dict(zip(settled, planes, strict=True))


def labelled_planes_of(labels: NDArray[Any], axis: int, empty: Iterable[int]) -> tuple[int, ...]:
    """Return the planes of labels (Z, Y, X) that hold any, and those that were declared empty.

    Raises
    ------
    ValueError
        If a plane was declared empty and holds labels, or lies outside the stack.
    """
    other = tuple(index for index in range(3) if index != axis)
    painted = set(np.flatnonzero(np.asarray(labels).any(axis=other)).tolist())
    declared = set(plane_indices(labels.shape[axis], tuple(empty)))
    both = sorted(painted & declared)
    if both:
        numbers = ", ".join(map(str, both))
        raise ValueError(
            f"Planes that were declared empty hold labels: {numbers}. Erase the labels, or do not "
            "declare these planes empty."
        )
    return tuple(sorted(painted | declared))


def check_stack(volume: ArrayLike, labels: NDArray[Any], axis: int) -> int:
    """Return the axis of a stack, counted from the front, if labels fit the volume.

    Raises
    ------
    ValueError
        If it is no stack, or labels have another shape.
    """
    axis = stack_axis(volume.shape, axis)
    if tuple(labels.shape) != tuple(volume.shape[:3]):
        raise ValueError(
            f"Labels must have the shape of the volume, {tuple(volume.shape[:3])}; got "
            f"{tuple(labels.shape)}."
        )
    return axis
