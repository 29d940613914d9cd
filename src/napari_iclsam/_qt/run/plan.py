"""Reads the forms once: what is to be segmented, why not, and the request that a run gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_iclsam._qt.forms.examples_form import ExamplesForm
from napari_iclsam._qt.forms.query_form import QueryForm
from napari_iclsam._qt.run.live_run import Goal
from napari_iclsam._qt.run.request import Job, Request
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import LayerExample
from napari_iclsam._qt.viewer.results import Look, Output
from napari_iclsam._qt.viewer.slice_stacks import Cut, Planes, Position
from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Planes of an image that the forms ask for."""

    image: Layer
    level: int
    cut: Cut
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A request, whose planes its jobs segment, and how results look."""

    request: Request
    goals: Mapping[int, Goal]
    look: Look


class Planner:
    """Reads the forms of examples and query."""

    def __init__(self, viewer: ViewerModel, examples: ExamplesForm, query: QueryForm) -> None:
        self._viewer, self._examples, self._query = viewer, examples, query

    def targets(self) -> list[Target]:
        """Return the planes to segment, image by image."""
        query = self._query
        if query.chosen == "layers":
            return [self._every(layer) for layer in query.ticked_layers()]
        image, cut = query.image.layer, query.cut()
        if image is None or cut is None:
            return []
        level = self.level(image)
        if query.chosen == "current":
            cut = layers.displayed_cut(image, self._viewer.dims.order)
        here = layers.position(image, cut, self._viewer.dims.point, level)
        taken = {e.image_position for e in self.on_image(image, cut)}
        return [Target(image, level, cut, tuple(query.positions(cut, here, taken)))]

    def level(self, image: Layer) -> int:
        """Return the level of an image to work on."""
        labels = self._examples.labels.layer
        fits = labels is not None and not layers.misfit(image, labels)
        return layers.level_of(image, labels if fits else None)

    def on_image(self, image: Layer, cut: Cut) -> list[LayerExample]:
        """Return the ticked examples that are planes of an image, cut like this."""
        examples = (row.example for row in self._examples.table.ticked())
        ours = (e for e in examples if isinstance(e, LayerExample) and e.image is image)
        return [e for e in ours if e.image_cut == cut]

    def reason(self, output: Output) -> str:
        """Return why nothing can be segmented, in words; empty if it can."""
        why = self._examples.reason()
        if why:
            return why
        query = self._query
        if query.chosen == "layers" and not query.ticked_layers():
            return "No other image layer is ticked."
        if query.chosen != "layers" and query.image.layer is None:
            return "There is no image to segment: open one."
        targets = self.targets()
        if not any(target.positions for target in targets):
            return "All slices are examples: choose 'Whole stack', or untick some examples."
        return self.no_fill(targets) if output.target == "fill" else ""

    def no_fill(self, targets: list[Target] | None = None) -> str:
        """Return why the user's labels cannot be filled; empty if they can."""
        labels = self._examples.labels.layer
        if labels is None:
            return "There are no labels to fill."
        if not isinstance(labels.data, np.ndarray):
            return "These labels cannot be written to: they are not an array in memory."
        for target in self.targets() if targets is None else targets:
            if layers.shape(target.image, target.level)[-labels.ndim :] != layers.shape(labels):
                return (
                    layers.misfit(target.image, labels)
                    or "The labels fit another level of the image."
                )
        return ""

    def plan(self, models: ModelChoice, settings: Settings, output: Output) -> Plan:
        """Read everything. To be called when there is no `reason` against it."""
        examples, styles = self._examples, self._examples.styles()
        jobs, goals = [], {}
        for number, target in enumerate(t for t in self.targets() if t.positions):
            array = layers.levels(target.image)[target.level]
            jobs.append(Job(number, target.image.name, Planes(array, target.cut, target.positions)))
            ours = self.on_image(target.image, target.cut) if self._query.chosen == "rest" else []
            goals[number] = Goal(target.image, target.level, tuple(ours))
        labels = examples.labels.layer
        dtype = _roomy(None if labels is None else np.dtype(labels.dtype), max(styles, default=1))
        look = Look(
            output,
            styles,
            dtype,
            self._colormap(styles),
            labels if isinstance(labels, Labels) else None,
        )
        first = (
            None if output.target == "fill" else self._nearest(jobs, goals)
        )  # what is filled cannot be improved
        request = Request(models, settings, examples.ready_pairs(), styles, tuple(jobs), first)
        return Plan(request, goals, look)

    def _nearest(self, jobs: Sequence[Job], goals: Mapping[int, Goal]) -> tuple[int, int]:
        """Return job and plane of what is segmented nearest to what the viewer shows."""
        goal, planes = goals[0], jobs[0].planes
        here = layers.position(goal.image, planes.cut, self._viewer.dims.point, goal.level)
        gaps = [
            sum(abs(a - b) for a, b in zip(position, here, strict=True))
            for position in planes.positions
        ]
        return 0, int(np.argmin(gaps))

    def _colormap(self, styles: Mapping[int, LabelStyle]) -> Any:
        """Return the color map of the labels that the examples come from.

        Taking it as it is keeps all colors, and spares napari the compilation of a new one, which
        takes a second.
        """
        for row in self._examples.table.ticked():
            if isinstance(row.example, LayerExample):
                return row.example.labels.colormap
        return layers.color_map(styles)

    def _every(self, image: Layer) -> Target:
        """Return all planes of an image, cut like the examples if it has as many axes."""
        level, cut = self.level(image), Cut.last(image.ndim)
        known = self._examples.cut()
        if known is not None and known.ndim == image.ndim:
            cut = known
        return Target(image, level, cut, tuple(cut.positions(layers.shape(image, level))))


def _roomy(dtype: np.dtype[Any] | None, largest: int) -> np.dtype[Any]:
    """Return the type of the user's labels if all labels fit into it, else int32."""
    if dtype is not None and np.issubdtype(dtype, np.integer) and np.iinfo(dtype).max >= largest:
        return dtype
    return np.dtype(np.int32)
