"""Reads the forms: what is to be segmented, or why nothing can be, and the request of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_iclsam._qt.forms.examples_form import ExamplesForm
from napari_iclsam._qt.forms.query_form import QueryForm
from napari_iclsam._qt.run.live_run import JobImage
from napari_iclsam._qt.run.origins import origin_of, reason_against, window_of
from napari_iclsam._qt.run.request import Job, Pair, Request, SliceNumber
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import Example, LayerExample
from napari_iclsam._qt.viewer.label_styles import color_map
from napari_iclsam._qt.viewer.result_style import ResultOptions, ResultStyle
from napari_iclsam._qt.viewer.shown_values import ShownValues
from napari_iclsam._qt.viewer.slice_stacks import Position, SliceOrientation, SliceStack
from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.task_file import Origin

_CHANNEL_AXES = ("c", "ch", "channel", "channels")
"""Names of axes along which one place is seen in several ways."""


@dataclass(frozen=True, slots=True, eq=False)
class QuerySlices:
    """Slices of an image to segment.

    Attributes
    ----------
    image : Layer
    level : int
        Of a multiscale image.
    orientation : SliceOrientation
    positions : tuple of Position
    """

    image: Layer
    level: int
    orientation: SliceOrientation
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A request, the layers that its jobs are about, how results look, what a task keeps."""

    request: Request
    images: tuple[JobImage, ...]
    style: ResultStyle
    origin: Origin


class Planner:
    """Reads the forms of examples and query."""

    def __init__(self, viewer: ViewerModel, examples: ExamplesForm, query: QueryForm) -> None:
        self._viewer = viewer
        self._examples = examples
        self._query = query

    def query_slices(self) -> list[QuerySlices]:
        """Return the slices to segment, image by image."""
        query = self._query
        if query.chosen == "layers":
            return [self._all_slices(layer) for layer in query.ticked_layers()]
        image = query.image.layer
        orientation = query.orientation()
        if image is None or orientation is None:
            return []
        level = self.level(image)
        order = self._viewer.dims.order
        if query.chosen == "current":
            # dimensions may be rolled: the slice on screen may lie otherwise
            orientation = layers.displayed_orientation(image, order)
        shown = layers.position(image, orientation, self._viewer.dims.point, level)
        taken = [each.image_position for each in self.examples_on(image, orientation)]
        positions = query.positions(orientation, shown, taken)
        return [QuerySlices(image, level, orientation, tuple(positions))]

    def count(self) -> int:
        """Return the number of slices to segment."""
        return sum(len(each.positions) for each in self.query_slices())

    def unit(self) -> str:
        """Return what is counted: "image" if only 2D images are segmented, else "slice"."""
        slices = self.query_slices()
        is_flat = all(each.orientation.ndim == 2 for each in slices)
        return "image" if slices and is_flat else "slice"

    def reason_against_the_rest(self) -> str:
        """Return why no other image than examples can be segmented, in words; empty if one can."""
        labelled = [example.image for example in self.layer_examples()]
        for each in self.query_slices():
            if each.orientation.ndim > 2 or each.image not in labelled:
                return ""
        return "All images are examples: there is no other to segment."

    def layer_examples(self) -> list[LayerExample]:
        """Return the examples that are slices of layers, ticked or not."""
        examples = [row.example for row in self._examples.table.rows()]
        return [each for each in examples if isinstance(each, LayerExample)]

    def ticked_examples(self) -> list[Example]:
        """Return the ticked examples of layers and files."""
        return [row.example for row in self._examples.table.ticked()]

    def level(self, image: Layer) -> int:
        """Return the level of an image to work on."""
        labels = self._examples.labels.layer
        fits = labels is not None and not layers.misfit(image, labels)
        return layers.level_of(image, labels if fits else None)

    def examples_on(self, image: Layer, orientation: SliceOrientation) -> list[LayerExample]:
        """Return the ticked examples that are slices of an image in this orientation."""
        found = []
        for row in self._examples.table.ticked():
            example = row.example
            # what is labelled in part is still to be segmented
            if not isinstance(example, LayerExample) or example.region is not None:
                continue
            if example.image is image and example.image_orientation == orientation:
                found.append(example)
        return found

    def reason_against_run(self, options: ResultOptions) -> str:
        """Return why nothing can be segmented, in words; empty if it can."""
        query = self._query
        reason = self._examples.reason_against_run() or reason_against(self.ticked_examples())
        if reason:
            return reason
        if query.chosen == "layers" and not query.ticked_layers():
            return "No other image is ticked."
        if query.chosen != "layers" and query.image.layer is None:
            return "There is no image to segment: open one."
        channels = self._reason_against_channels()
        if channels:
            return channels
        if not self.count():
            return "All slices are examples: choose 'Whole stack', or untick some examples."
        return self.reason_against_filling() if options.destination == "fill" else ""

    def _reason_against_channels(self) -> str:
        """Return why channels are not segmented as if they were slices, in words."""
        query = self._query
        image, orientation = query.image.layer, query.orientation()
        is_of_stack = query.chosen not in ("current", "layers")
        if image is None or orientation is None or orientation.axis is None or not is_of_stack:
            return ""
        name = layers.axis_names(image, self._viewer.dims.axis_labels)[orientation.axis]
        if name.lower() not in _CHANNEL_AXES:
            return ""
        return (
            f"Axis '{name}' of '{image.name}' holds channels and not slices: right-click the "
            "layer, choose 'Split Stack', and use one channel."
        )

    def reason_against_filling(self) -> str:
        """Return why the user's labels cannot be filled; empty if they can."""
        labels = self._examples.labels.layer
        if labels is None:
            return "There are no labels to fill."
        if any(row.example.reading.one_class for row in self._examples.table.ticked()):
            return "These labels number each object, and the result is of one class."
        if not layers.is_writeable(labels):
            return "These labels cannot be written to: they are not an array in memory."
        largest = max(self._examples.styles(), default=0)
        if np.iinfo(labels.dtype).max < largest:
            return f"These labels hold numbers of type {labels.dtype}, too small for {largest}."
        for each in self.query_slices():
            if layers.shape(each.image, each.level)[-labels.ndim :] != layers.shape(labels):
                misfit = layers.misfit(each.image, labels)
                return misfit or "The labels fit another level of the image."
        return ""

    def plan(self, models: ModelChoice, settings: Settings, options: ResultOptions) -> Plan:
        """Read everything. To be called when there is no `reason_against_run`."""
        styles = self._examples.styles()
        # one for all: slices of one array are recognized by it
        shown = self._shown_values()
        jobs: list[Job] = []
        images: list[JobImage] = []
        for each in self.query_slices():
            if each.positions:
                array = layers.levels(each.image)[each.level]
                slices = SliceStack(array, each.orientation, each.positions)
                if shown is not None:
                    slices = shown.of(each.image, slices)
                spacing = _spacing(each.image, each.level, each.orientation)
                stacked = self._stack_names(each)
                jobs.append(Job(len(jobs), each.image.name, slices, spacing, stacked))
                images.append(JobImage(each.image, each.level, self._examples_to_copy(each)))
        style = self._result_style(options, styles)
        preview = None
        # what is filled stays: a preview in it could not be replaced
        # and a large plane is never read as a whole
        if jobs and style.labels_to_fill is None and not any(job.is_large for job in jobs):
            preview = self._preview(jobs, images)
        pairs = self._pairs(shown)
        request = Request(
            models,
            settings,
            pairs,
            styles,
            tuple(jobs),
            preview,
            interpolate=not options.shows_models,
        )
        return Plan(request, tuple(images), style, origin_of(self.ticked_examples(), pairs))

    def _shown_values(self) -> ShownValues | None:
        """Return the grey scale of an opened task or of the viewer; None if there is neither."""
        window = window_of(self.ticked_examples())
        if window is None and not self._query.as_shown.isChecked():
            return None
        return ShownValues(window)

    def _stack_names(self, slices: QuerySlices) -> tuple[str, ...]:
        """Return the names of the axes that slices follow each other along."""
        names = layers.axis_names(slices.image, self._viewer.dims.axis_labels)
        return tuple(names[axis] for axis in slices.orientation.stack_axes)

    def _pairs(self, shown: ShownValues | None) -> tuple[Pair, ...]:
        """Return the ticked examples, perhaps on the scale of their layers."""
        pairs = self._examples.ready_pairs()
        if shown is None:
            return pairs
        scaled = []
        for row, pair in zip(self._examples.table.ticked(), pairs, strict=True):
            example = row.example
            is_of_layer = isinstance(example, LayerExample)
            scaled.append(shown.of_pair(example.image, pair) if is_of_layer else pair)
        return tuple(scaled)

    def _examples_to_copy(self, slices: QuerySlices) -> dict[int, LayerExample]:
        """Return the examples that complete a result: those of the slices that are left out."""
        if self._query.chosen != "rest":
            return {}
        on_image = self.examples_on(slices.image, slices.orientation)
        numbered = {}
        for number, row in enumerate(self._examples.table.ticked()):
            if isinstance(row.example, LayerExample) and row.example in on_image:
                numbered[number] = row.example
        return numbered

    def _result_style(
        self, options: ResultOptions, styles: Mapping[int, LabelStyle]
    ) -> ResultStyle:
        layer = self._examples.labels.layer
        labels = layer if isinstance(layer, Labels) else None
        # labels of the examples may come from other layers, or files
        dtype = None if labels is None else np.dtype(labels.dtype)
        return ResultStyle(
            options,
            styles,
            _type_for(dtype, max(styles, default=1)),
            self._color_map(styles),
            labels,
        )

    def _preview(self, jobs: Sequence[Job], images: Sequence[JobImage]) -> SliceNumber:
        """Return the slice that is shown first: of an image that is on view, if there is one."""
        for job, on in zip(jobs, images, strict=True):
            if on.image.visible:
                return self._nearest_slice(job, on)
        return self._nearest_slice(jobs[0], images[0])

    def _nearest_slice(self, job: Job, on: JobImage) -> SliceNumber:
        """Return the slice of a job that lies nearest to what the viewer shows."""
        slices = job.slices
        point = self._viewer.dims.point
        shown = layers.position(on.image, slices.orientation, point, on.level)
        distances = np.abs(np.array(slices.positions) - np.array(shown)).sum(axis=1)
        return SliceNumber(job.number, int(np.argmin(distances)))

    def _color_map(self, styles: Mapping[int, LabelStyle]) -> Any:
        """Return the color map of the labels that the examples come from.

        Taking it as it is keeps all colors, and spares napari the compilation of a new one, which
        takes a second.
        """
        for row in self._examples.table.ticked():
            if isinstance(row.example, LayerExample):
                return row.example.labels.colormap
        return color_map(styles)

    def _all_slices(self, image: Layer) -> QuerySlices:
        """Return all slices of an image, which lie like the examples if it has as many axes."""
        level = self.level(image)
        orientation = self._examples.orientation()
        if orientation is None or orientation.ndim != image.ndim:
            orientation = SliceOrientation.of_last_axes(image.ndim)
        positions = orientation.positions(layers.shape(image, level))
        return QuerySlices(image, level, orientation, tuple(positions))


def _type_for(dtype: np.dtype[Any] | None, largest: int) -> np.dtype[Any]:
    """Return the type of the user's labels if all labels fit into it, else int32."""
    if dtype is not None and np.issubdtype(dtype, np.integer) and np.iinfo(dtype).max >= largest:
        return dtype
    return np.dtype(np.int32)


def _spacing(
    image: Layer, level: int, orientation: SliceOrientation
) -> tuple[float, float, float] | None:
    """Return the distance of slices, rows and columns in an image; None if it is no stack."""
    if orientation.axis is None or orientation.ndim > len(image.scale):
        return None
    full = layers.shape(image, 0)
    shown = layers.shape(image, level)
    scale = [float(abs(value)) for value in image.scale[-orientation.ndim :]]
    steps = []
    for axis in (orientation.axis, orientation.rows, orientation.columns):
        steps.append(scale[axis] * full[axis] / shown[axis])
    return None if min(steps) <= 0 else (steps[0], steps[1], steps[2])
