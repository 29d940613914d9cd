"""One run over a stack: first answers plane by plane, then all planes settled together."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from napari_iclsam.core.images.planes import PlaneError, plane
from napari_iclsam.core.labelled_stack import LabelledStack
from napari_iclsam.core.prediction import Prediction, Progress
from napari_iclsam.core.task import Task
from napari_iclsam.core.volume.evidence_store import EvidenceStore
from napari_iclsam.core.volume.label_context import (
    LabelContext,
    PlaneEvidence,
    prepare_label,
    prepare_motion,
)
from napari_iclsam.core.volume.labelled_planes import LabelledPlanes
from napari_iclsam.core.volume.motion import PlaneMotion
from napari_iclsam.core.volume.patch_votes import PatchVotes
from napari_iclsam.core.volume.plane_interpolation import (
    ImageAnswer,
    PlaneInterpolation,
    every_second,
)
from napari_iclsam.core.volume.settle import (
    Opinion,
    SettledPlane,
    absent_plane,
    answer_first,
    form_opinion,
    join_labels,
    settle,
)
from napari_iclsam.core.volume.strengths import Strengths, strengths_of

_INTERPOLATED = "Interpolated between neighboring slices, which agree."

_THIN = 4.0
"""Distance of planes, in pixels of a plane, up to which planes are interpolated."""


class StackRun:
    """One run over a stack: first answers, then all planes settled.

    Parameters
    ----------
    task : Task
    stack : LabelledStack
    interpolate : bool
        Whether planes may be interpolated.
    """

    def __init__(self, task: Task, stack: LabelledStack, *, interpolate: bool) -> None:
        self.task = task
        self.stack = stack
        self._may_interpolate = interpolate and task.context.runners.recipe.interpolate_slices
        self._labels = task.support.ids
        self._store = EvidenceStore((stack.count, *stack.size), self._labels)
        self._motion = self._prepare_motion()
        self._contexts = self._prepare()
        self._opinions: dict[int, dict[int, Opinion]] = {label: {} for label in self._contexts}
        # by plane, as an image alone: for labels without a labelled plane in this stack
        self._estimates: dict[int, dict[int, float]] = {}
        self._interpolated: set[int] = set()

    def steps(self, order: Sequence[int]) -> Generator[Progress, None, None]:
        """Segment planes, in this order."""
        try:
            yield from self._first_steps(order)
            yield from self._settle_steps(order)
        finally:
            self._store.close()

    def _prepare_motion(self) -> PlaneMotion:
        """Return the motion of planes, computed as it is needed."""
        planes = self.stack.planes
        painted = [self.task.support.labels[self.stack.pairs[plane]] > 0 for plane in planes]
        labelled = LabelledPlanes(planes, np.stack(painted))
        return prepare_motion(labelled, self.stack.count, self._grey)

    def _prepare(self) -> dict[int, LabelContext]:
        """Learn what the labelled planes tell of each label."""
        planes = self.stack.planes
        votes = PatchVotes(self._motion)
        contexts = {}
        for label in self._labels:
            masks = [self.task.support.mask(self.stack.pairs[plane], label) for plane in planes]
            labelled = LabelledPlanes(planes, np.stack(masks))
            if labelled.holding:
                contexts[label] = prepare_label(
                    labelled, self.stack.spaced_axis, votes, self._grey, self._strengths(label)
                )
        return contexts

    def _grey(self, number: int) -> NDArray[np.uint8]:
        """Return the grey values of a plane, which is read once."""
        if not self._store.has_grey(number):
            self._store.put_grey(number, self.stack.grey(number))
        return self._store.grey(number)

    def _strengths(self, label: int) -> Strengths:
        scores = self.task.cross_validated.get(label)
        return strengths_of(None if scores is None else scores.fused)

    def _first_steps(self, order: Sequence[int]) -> Generator[Progress, None, None]:
        """Answer planes as soon as possible, without those beside them that are not known."""
        total = len(order)
        absent = [number for number in order if self._is_out_of_reach(number)]
        possible = [number for number in order if number not in set(absent)]
        done = 0
        for progress in self._image_steps(possible):
            done += progress.prediction is not None
            yield _counted(progress, done, total)
        for done, number in enumerate(absent, start=len(possible) + 1):
            self._check_readable(number)
            by_label = {label: absent_plane(one, number) for label, one in self._contexts.items()}
            prediction = self._settled_prediction(number, by_label)
            message = f"Slice {number} is far from all labels"
            yield Progress("done", message, done, total, number, prediction)

    def _is_out_of_reach(self, number: int) -> bool:
        """Return whether a plane holds no label, whatever its image shows: it is not segmented."""
        # of labels without a labelled plane in this stack nothing is known
        if len(self._contexts) < len(self._labels):
            return False
        return all(context.is_out_of_reach(number) for context in self._contexts.values())

    def _check_readable(self, number: int) -> None:
        """Raise what is wrong with a plane that is not segmented."""
        try:
            plane(self.stack.volume, self.stack.axis, number)
        except (ValueError, TypeError) as error:
            raise PlaneError(number, str(error)) from error

    def _image_steps(self, order: Sequence[int]) -> Generator[Progress, None, None]:
        """Segment planes as images, and add what the labelled planes tell.

        Some are interpolated between two segmented ones instead, where these agree.
        """
        interpolated = self._planes_to_interpolate(order)
        interpolation = PlaneInterpolation(interpolated, self._motion)
        for number in filter(interpolation.is_needed, self.stack.planes):
            interpolation.add(number, self._labelled_answer(number))
        differing = []
        segmented = [number for number in order if number not in interpolated]
        for progress in self._segment_steps(segmented):
            yield self._with_labelled_planes(progress)
            for number in _ready(interpolation, progress):
                self._check_readable(number)
                answer = interpolation.interpolate(number)
                if answer is None:
                    differing.append(number)
                else:
                    self._interpolated.add(number)
                    yield self._with_labelled_planes(self._interpolated_step(number, answer))
        for progress in self._segment_steps(differing):
            yield self._with_labelled_planes(progress)

    def _planes_to_interpolate(self, order: Sequence[int]) -> frozenset[int]:
        """Choose planes that need not be segmented."""
        if not self._may_interpolate:
            return frozenset()
        # nothing says that it is reliable
        if not self.task.cross_validated.keys() >= set(self._labels):
            return frozenset()
        # it is not, and costs no more than interpolation
        if self.task.fusion.counts_least:
            return frozenset()
        # in time, and where planes lie far apart, each shows what those beside do not
        axis = self.stack.spaced_axis
        if axis.kind == "time" or axis.step > _THIN:
            return frozenset()
        return every_second(order, self.stack.planes)

    def _labelled_answer(self, number: int) -> ImageAnswer:
        """Return a labelled plane as if the 2-D method had said so."""
        pair = self.stack.pairs[number]
        return ImageAnswer.of_masks({i: self.task.support.mask(pair, i) for i in self._labels})

    def _segment_steps(self, order: Sequence[int]) -> Generator[Progress, None, None]:
        """Segment planes as images."""
        if order:
            yield from self.task.stack_steps(self.stack.volume, self.stack.axis, planes=order)

    def _interpolated_step(self, number: int, answer: ImageAnswer) -> Progress:
        """Return a plane that was interpolated, as if it were segmented."""
        labels = join_labels(answer.log_odds)
        prediction = self._prediction(labels, answer.log_odds)
        prediction = replace(prediction, all_estimates=answer.estimated_dice, interpolated=True)
        return Progress("done", "", plane=number, prediction=prediction)

    def _with_labelled_planes(self, progress: Progress) -> Progress:
        """Add what the labelled planes tell to the prediction of a plane, if there is one."""
        if progress.prediction is None:
            return progress
        assert progress.plane is not None
        answer = self._first_answer(progress.plane, progress.prediction)
        return replace(progress, prediction=answer)

    def _first_answer(self, number: int, prediction: Prediction) -> Prediction:
        """Add what the labelled planes tell to the prediction of a plane as an image."""
        image_log_odds = _log_odds_of(prediction)
        kept = dict(image_log_odds)
        shown = dict(image_log_odds)
        estimates = dict(prediction.all_estimates)
        self._estimates[number] = dict(estimates)
        for label, context in self._contexts.items():
            if context.is_out_of_reach(number):
                first = absent_plane(context, number)
            else:
                estimate = estimates.get(label, 0.0)
                evidence = PlaneEvidence(image_log_odds[label], self._grey(number), estimate)
                opinion, kept[label] = form_opinion(context, number, evidence)
                self._opinions[label][number] = opinion
                first = answer_first(context, number, opinion, kept[label])
            shown[label] = first.log_odds
            estimates[label] = first.estimated_dice
        self._store.put(number, kept)
        return _answered(prediction, shown, estimates)

    def _settle_steps(self, order: Sequence[int]) -> Generator[Progress, None, None]:
        """Decide all planes together, once there is an opinion of each."""
        total = len(order)
        message = "Comparing neighboring slices"
        yield Progress("settle", message, total, total)
        planes = sorted(order)
        settled = {
            label: settle(
                context, self._opinions[label], planes, partial(self._store.log_odds, label)
            )
            for label, context in self._contexts.items()
        }
        for number, by_label in zip(planes, _in_step(settled), strict=True):
            prediction = self._settled_prediction(number, by_label)
            yield Progress("settled", message, total, total, number, prediction)

    def _settled_prediction(self, number: int, by_label: Mapping[int, SettledPlane]) -> Prediction:
        """Return the prediction of a settled plane.

        Labels without a labelled plane in this stack are as first answered.
        """
        log_odds = {}
        estimates = {}
        for label in self._labels:
            settled = by_label.get(label)
            if settled is None:
                log_odds[label] = self._store.log_odds(label, number)
                estimates[label] = self._estimates[number].get(label, 0.0)
            else:
                log_odds[label] = settled.log_odds
                estimates[label] = settled.estimated_dice
        labels = join_labels(log_odds)
        return replace(
            self._prediction(labels, log_odds),
            notes=self._notes(number, labels),
            estimated_dice=_of_found(estimates, labels),
            presence={label: one.presence for label, one in by_label.items()},
            need_of_check=max((one.need_of_check for one in by_label.values()), default=0.0),
            interpolated=number in self._interpolated,
        )

    def _prediction(
        self, labels: NDArray[np.int32], log_odds: Mapping[int, NDArray[np.float32]]
    ) -> Prediction:
        """Return a prediction that both models had no direct part in."""
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
        )

    def _notes(self, number: int, labels: NDArray[np.int32]) -> tuple[str, ...]:
        notes = []
        absent = [self.task.support.name(i) for i in self._labels if not (labels == i).any()]
        if absent:
            notes.append(f"Judged to be absent: {', '.join(absent)}.")
        # that an empty plane was interpolated tells nothing more
        if number in self._interpolated and labels.any():
            notes.append(_INTERPOLATED)
        return tuple(notes)


def _counted(progress: Progress, done: int, total: int) -> Progress:
    """Return a step with the number of planes that are done, of all."""
    if progress.prediction is not None:
        message = f"Slice {done} of {total} is done"
    elif progress.stage == "embed":
        message = f"Embedding slice {done + 1} of {total}"
    else:
        message = progress.message
    return replace(progress, message=message, done=done, total=total)


def _ready(interpolation: PlaneInterpolation, progress: Progress) -> list[int]:
    """Return the planes that can be interpolated now."""
    if progress.prediction is None:
        return []
    assert progress.plane is not None
    if not interpolation.is_needed(progress.plane):
        return []
    log_odds = _log_odds_of(progress.prediction)
    answer = ImageAnswer(log_odds, progress.prediction.all_estimates)
    return interpolation.add(progress.plane, answer)


def _log_odds_of(prediction: Prediction) -> dict[int, NDArray[np.float32]]:
    """Return the log-odds of each label, (H, W)."""
    log_odds = {}
    for label, probability in prediction.probabilities.items():
        clipped = np.clip(probability, 1e-4, 1 - 1e-4)
        log_odds[label] = special.logit(clipped).astype(np.float32)
    return log_odds


def _answered(
    prediction: Prediction,
    log_odds: Mapping[int, NDArray[np.float32]],
    estimates: Mapping[int, float],
) -> Prediction:
    """Return the prediction of a plane with other log-odds and estimates of its labels."""
    labels = join_labels(log_odds)
    return replace(
        prediction,
        labels=labels,
        probabilities={label: special.expit(odds) for label, odds in log_odds.items()},
        estimated_dice=_of_found(estimates, labels),
        all_estimates=dict(estimates),
    )


def _of_found(estimates: Mapping[int, float], labels: NDArray[np.int32]) -> dict[int, float]:
    """Return the estimates of the labels that a plane holds."""
    return {label: dice for label, dice in estimates.items() if (labels == label).any()}


def _in_step(
    settled: Mapping[int, Iterator[SettledPlane]],
) -> Iterator[dict[int, SettledPlane]]:
    """Go through the planes of all labels together, which are the same for each."""
    for planes in zip(*settled.values(), strict=True):
        yield dict(zip(settled, planes, strict=True))
