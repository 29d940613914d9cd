"""A stack with labelled planes: neighboring labels are evidence beside the image."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.planes import PlaneError, plane_indices
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.labelled_stack import LabelledStack
from napari_iclsam.core.prediction import Prediction, Progress
from napari_iclsam.core.stack_run import StackRun
from napari_iclsam.core.task import Task
from napari_iclsam.core.volume.order import nearest_first


class StackTask:
    """A fitted task and the stack that its examples are planes of. Made by `ICLSAM.fit_stack`.

    Each plane within reach of the labels is segmented as an image, nearest to the labelled planes
    first. A shape prior, the outlines of labelled planes carried along with the tissue, and
    evidence of presence are added; once all planes are known, they are settled together.

    Attributes
    ----------
    task : Task
    stack : LabelledStack
    interpolate : bool
        Whether planes may be interpolated; the setting ``interpolate_slices`` must allow it, too.
    """

    def __init__(self, task: Task, stack: LabelledStack, *, interpolate: bool = True) -> None:
        self.task = task
        self.stack = stack
        self.interpolate = interpolate

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
        """Return the labels (H, W) of the labelled planes, with unknown pixels decided."""
        labels = self.support.decided_labels()
        return {number: labels[pair] for number, pair in self.stack.pairs.items()}

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
        run = StackRun(self.task, part, interpolate=self.interpolate)
        steps = run.steps([number - first for number in order])
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
