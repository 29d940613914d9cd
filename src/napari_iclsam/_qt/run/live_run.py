"""A run as the viewer sees it: each prediction goes where it belongs as soon as it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from napari.layers import Layer

from napari_iclsam._qt.run.request import Job, Request, Step
from napari_iclsam._qt.viewer.example import LayerExample
from napari_iclsam._qt.viewer.results import Look, Results, Sheet


@dataclass(frozen=True, slots=True, eq=False)
class Goal:
    """Whose planes a job segments.

    Attributes
    ----------
    image : Layer
    level : int
        Of a multiscale image.
    examples : tuple of LayerExample
        Examples on this image whose labels belong into its result.
    """

    image: Layer
    level: int
    examples: tuple[LayerExample, ...] = ()


class LiveRun:
    """A request on its way, with the layers that it writes into."""

    def __init__(
        self, request: Request, goals: Mapping[int, Goal], look: Look, results: Results
    ) -> None:
        self.request = request
        self._goals, self._look, self._results = goals, look, results
        self._sheets: dict[int, Sheet] = {}
        goal, planes = goals[0], request.jobs[0].planes
        target = results.target(goal.image, goal.level, planes, look)
        self._blank = results.blank(goal.image, goal.level, look) if target is None else None

    def take(self, step: Step) -> None:
        """Write the prediction of a step, if it has one."""
        if step.prediction is None:
            return
        assert step.job is not None
        assert step.plane is not None
        if step.job not in self._sheets:
            self._sheets[step.job] = self._open(self.request.jobs[step.job])
        sheet = self._sheets[step.job]
        if not (
            step.is_first_look and sheet.has(step.plane)
        ):  # the whole method has seen the plane before
            sheet.write(step.plane, step.prediction)

    def refresh(self) -> None:
        """Show what was written."""
        for sheet in self._sheets.values():
            if sheet.is_alive:
                sheet.refresh()

    @property
    def is_orphaned(self) -> bool:
        """Whether the last layer that was written into has gone from the viewer: there is nothing to write into."""
        return bool(self._sheets) and not self._sheets[max(self._sheets)].is_alive

    @property
    def kept(self) -> int:
        """Number of planes that stay as a person corrected them."""
        return sum(len(sheet.kept) for sheet in self._sheets.values())

    def _open(self, job: Job) -> Sheet:
        goal = self._goals[job.number]
        sheet = self._results.open(goal.image, goal.level, job.planes, self._look, self._blank)
        self._blank = None
        for example in goal.examples:
            labels = example.pair().labels
            if example.labels is not sheet.labels and isinstance(labels, np.ndarray):
                sheet.copy(example.image_position, labels)
        return sheet
