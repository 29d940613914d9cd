"""The result layers of a viewer: what was written, and what a person has changed since."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.label_styles import features_of
from napari_iclsam._qt.viewer.overlays import overlays_added_later
from napari_iclsam._qt.viewer.result_style import ResultStyle
from napari_iclsam._qt.viewer.slice_stacks import Position, SliceOrientation, SliceStack
from napari_iclsam.core.objects.instances import Separation
from napari_iclsam.core.prediction import Prediction

_LARGEST = 256 * 1024 * 1024
"""The certainty of results of at most so many pixels is kept: it takes a byte each."""


@dataclass(slots=True)
class ResultRecord:
    """What was written into a labels layer, slice by slice, and what happened to it since.

    Attributes
    ----------
    image : Layer
    level : int
        Of a multiscale image.
    orientation : SliceOrientation
    shape : tuple of int
        Of the labels.
    written : dict of Position to int
        Checksum of each slice as it was written.
    touched : set of Position
        Slices that were changed since, as far as that was noticed.
    taken : dict of Position to int
        Checksum of each slice as it was when it became an example.
    estimates : dict of Position to float
        Estimated Dice of each slice as it was written: that of its worst label.
    needs : dict of Position to float
        How much each slice of a volume needs to be checked (`Prediction.need_of_check`).
    reviewed : set of Position
        Slices that the user was led to, to check them, since they were written.
    certainty : dict of Position to ndarray, uint8
        `Prediction.certainty` of each slice as it was written, 255 for 1, as far as memory goes.
    separations : dict of int to Separation
        By label: how touching objects are told apart, where examples teach it.
    """

    image: Layer
    level: int
    orientation: SliceOrientation
    shape: tuple[int, ...]
    written: dict[Position, int] = field(default_factory=dict)
    touched: set[Position] = field(default_factory=set)
    taken: dict[Position, int] = field(default_factory=dict)
    estimates: dict[Position, float] = field(default_factory=dict)
    needs: dict[Position, float] = field(default_factory=dict)
    reviewed: set[Position] = field(default_factory=set)
    certainty: dict[Position, NDArray[np.uint8]] = field(default_factory=dict)
    separations: dict[int, Separation] = field(default_factory=dict)

    def checksum(self, labels: Layer, position: Position) -> int:
        """Return the checksum of a slice of the layer as it is now."""
        return zlib.crc32(np.ascontiguousarray(labels.data[self.orientation.index(position)]).data)

    def note_written(self, labels: Labels, position: Position) -> None:
        """Note that a slice was written just now: it is neither corrected nor reviewed."""
        self.written[position] = self.checksum(labels, position)
        self.estimates.pop(position, None)
        self.needs.pop(position, None)
        self.certainty.pop(position, None)
        self.touched.discard(position)
        self.reviewed.discard(position)

    def note_prediction(self, position: Position, prediction: Prediction) -> None:
        """Keep what is known of a slice beside its labels, after `note_written`."""
        if prediction.estimated_dice:
            self.estimates[position] = min(prediction.estimated_dice.values())
        if prediction.need_of_check:
            self.needs[position] = prediction.need_of_check
        self.separations.update(prediction.separations)
        if prediction.probabilities and math.prod(self.shape) <= _LARGEST:
            self.certainty[position] = (255 * prediction.certainty + 0.5).astype(np.uint8)

    def is_corrected(self, labels: Layer, position: Position) -> bool:
        """Return whether a slice differs from what was written, whoever has changed it."""
        # other tools than the brush announce nothing; a stroke that was undone leaves the slice as
        # it was
        if position in self.written:
            return self.written[position] != self.checksum(labels, position)
        return position in self.touched

    def corrected(self, labels: Labels) -> list[Position]:
        """Return the slices that were noticed to differ from what was written."""
        return [each for each in sorted(self.touched) if self.is_corrected(labels, each)]

    def note_changes(self, labels: Layer) -> None:
        """Notice all slices that differ from what was written. Takes long for large volumes."""
        for position in self.written:
            self.note_change(labels, position)

    def note_change(self, labels: Layer, position: Position) -> None:
        """Notice a slice that differs from what was written."""
        if position in self.written and self.is_corrected(labels, position):
            self.touched.add(position)

    def new_corrections(self, labels: Labels) -> list[Position]:
        """Return the corrected slices that are no examples yet, or were changed since."""
        new = []
        for position in self.corrected(labels):
            if self.taken.get(position) != self.checksum(labels, position):
                new.append(position)
        return new

    def note_taken(self, labels: Labels, positions: Iterable[Position]) -> None:
        """Note that slices are examples as they are now."""
        for position in positions:
            self.taken[position] = self.checksum(labels, position)


_RECORDS: WeakKeyDictionary[Layer, ResultRecord] = WeakKeyDictionary()
"""Of the layers of all viewers: a dock that is opened again finds them.

Deleted layers are forgotten.
"""


def is_copy(layer: Layer) -> bool:
    """Tell whether a layer says that it is a result, and is none of this session: a duplicate."""
    made_by = layer.metadata.get(layers.PROVENANCE, {})
    # layers beside a result carry no models
    return "models" in made_by and layer not in _RECORDS


class Results:
    """The result layers of a viewer and their records.

    Attributes
    ----------
    viewer : ViewerModel
    failures : mapping of Layer to str
        Images that could not be segmented when that was last tried, and why.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.failures: WeakKeyDictionary[Layer, str] = WeakKeyDictionary()
        self._records = _RECORDS

    def record(self, layer: Layer) -> ResultRecord | None:
        """Return what was written into a layer; None if it is no result of this session."""
        return self._records.get(layer)

    def of_image(self, image: Layer | None) -> list[Labels]:
        """Return the results of an image that are still in the viewer."""
        return [layer for layer in self.viewer.layers if self._is_of(layer, image)]

    def note_painted(self, layer: Labels, history: Any) -> None:
        """Note which slices of a result a person has painted."""
        record = self._records.get(layer)
        if record is not None:
            record.touched |= layers.painted_positions(history, record.orientation)

    def note_replaced(self, layer: Layer) -> None:
        """Note that another tool has replaced the data of a layer, which may be a result."""
        record = self._records.get(layer)
        if record is None:
            return
        if layers.shape(layer) != record.shape:
            # cropped, or turned: nothing is known of its slices any more
            del self._records[layer]
        else:
            record.note_changes(layer)

    def note_unwatched(self) -> None:
        """Note what was changed while nobody listened: the dock was closed."""
        for layer in self.viewer.layers:
            self.note_replaced(layer)

    def note_shown(self, layer: Layer) -> None:
        """Note whether the slice on screen was changed without a word, as by undo."""
        record = self._records.get(layer)
        if record is not None:
            point = self.viewer.dims.point
            record.note_change(layer, layers.position(layer, record.orientation, point))

    def follow(self, image: Layer) -> None:
        """Put the results of an image where it lies now: it may have been calibrated."""
        for labels in self.of_image(image):
            layers.put_on(labels, image, self._records[labels].level)

    def corrections(self, image: Layer | None) -> dict[Labels, list[Position]]:
        """Return the corrected slices of an image's results that are no examples yet."""
        found = {}
        for labels in self.of_image(image):
            new = self._records[labels].new_corrections(labels)
            if new:
                found[labels] = new
        return found

    def choose_layer(
        self, image: Layer, level: int, slices: SliceStack, style: ResultStyle
    ) -> Labels | None:
        """Return the layer that slices of an image are written into; None if it takes a new one."""
        if style.labels_to_fill is not None:
            return style.labels_to_fill
        if style.options.destination != "update":
            return None
        labels = self._previous(image, layers.shape(image, level))
        if labels is None:
            return None
        record = self._records[labels]
        along_same_axis = record.orientation == slices.orientation
        if along_same_axis or style.options.replace_corrections:
            return labels
        record.note_changes(labels)
        # slices along another axis would run through corrections
        return None if record.corrected(labels) else labels

    def make_layer(self, image: Layer, level: int, style: ResultStyle) -> Labels:
        """Make an empty result of an image, outside the viewer."""
        colors = {} if style.colormap is None else {"colormap": style.colormap}
        return Labels(
            np.zeros(layers.shape(image, level), style.dtype),
            name=f"{image.name} [ICL-SAM]",
            # with what the image's reader knows, plugins save a result beside the image
            metadata={**image.metadata, layers.PROVENANCE: {"image": image.name}},
            features=features_of(style.styles) or None,
            **layers.spatial(image, level),
            **colors,
        )

    def add_layer(self, labels: Labels) -> None:
        """Show a new result on top."""
        with overlays_added_later(labels):
            self.viewer.add_layer(labels)

    def open_record(
        self, labels: Labels, image: Layer, level: int, orientation: SliceOrientation
    ) -> ResultRecord:
        """Return the record of a layer; a new one if there is none of this orientation."""
        record = self._records.get(labels)
        if record is None or record.orientation != orientation:
            record = ResultRecord(image, level, orientation, layers.shape(labels))
            self._records[labels] = record
        return record

    def _previous(self, image: Layer, size: Sequence[int]) -> Labels | None:
        """Return the newest result of an image that is still in the viewer and has this shape."""
        for layer in reversed(self.viewer.layers):
            if self._is_of(layer, image) and layers.shape(layer) == tuple(size):
                return layer
        return None

    def _is_of(self, layer: Layer, image: Layer | None) -> bool:
        record = self._records.get(layer)
        return record is not None and record.image is image
