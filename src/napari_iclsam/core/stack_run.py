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
from napari_iclsam.core.volume.patch_votes import PatchVotes
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


class StackRun:
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
        self._store = EvidenceStore((stack.count, *stack.size), self._labels)
        self._contexts = self._prepare()
        self._opinions: dict[int, dict[int, Opinion]] = {label: {} for label in self._contexts}
        # by plane, as an image alone: for labels without a labelled plane in this stack
        self._estimates: dict[int, dict[int, float]] = {}

    def steps(self, order: Sequence[int]) -> Generator[Progress, None, None]:
        """Segment planes, in this order."""
        try:
            yield from self._first_steps(order)
            yield from self._settle_steps(order)
        finally:
            self._store.close()

    def _prepare(self) -> dict[int, LabelContext]:
        """Learn what the labelled planes tell of each label."""
        planes = self.stack.planes
        pairs = [self.stack.pairs[plane] for plane in planes]
        painted = np.stack([self.task.support.labels[pair] > 0 for pair in pairs])
        motion = prepare_motion(LabelledPlanes(planes, painted), self.stack.count, self._grey)
        votes = PatchVotes(motion)
        contexts = {}
        for label in self._labels:
            masks = [self.task.support.mask(pair, label) for pair in pairs]
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
        for progress in self._image_steps(possible):
            yield replace(progress, total=total)
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
        """Segment planes as images, and add what the labelled planes tell."""
        if not order:
            return
        for progress in self.task.stack_steps(self.stack.volume, self.stack.axis, planes=order):
            if progress.prediction is None:
                yield progress
                continue
            assert progress.plane is not None
            answer = self._first_answer(progress.plane, progress.prediction)
            yield replace(progress, prediction=answer)

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
            estimated_dice=_of_found(estimates, labels),
            presence={label: one.presence for label, one in by_label.items()},
            need_of_check=max((one.need_of_check for one in by_label.values()), default=0.0),
        )

    def _notes(self, labels: NDArray[np.int32]) -> tuple[str, ...]:
        absent = [self.task.support.name(i) for i in self._labels if not (labels == i).any()]
        return (f"Judged to be absent: {', '.join(absent)}.",) if absent else ()


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
