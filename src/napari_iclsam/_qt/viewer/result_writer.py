"""Predictions written into layers of the viewer, slice by slice; what a person painted stays."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.earlier_result import EarlierResult
from napari_iclsam._qt.viewer.extra_layers import ExtraLayers
from napari_iclsam._qt.viewer.filled import Filler
from napari_iclsam._qt.viewer.result_style import ResultStyle
from napari_iclsam._qt.viewer.results import ResultRecord, Results
from napari_iclsam._qt.viewer.slice_stacks import Position, SliceStack
from napari_iclsam.core.prediction import Prediction


class ResultWriter:
    """Writes the predictions of one job.

    Parameters
    ----------
    results : Results
    labels : Labels
        In the viewer.
    image : Layer
    level : int
        Of a multiscale image.
    slices : SliceStack
    style : ResultStyle

    Attributes
    ----------
    kept : set of Position
        Slices that stay as a person corrected them.
    earlier : EarlierResult, optional
        What was replaced of an earlier result; None of a person's labels, where undo brings it
        back.
    """

    def __init__(
        self,
        results: Results,
        labels: Labels,
        image: Layer,
        level: int,
        slices: SliceStack,
        style: ResultStyle,
    ) -> None:
        self.labels = labels
        self.kept: set[Position] = set()
        self.earlier: EarlierResult | None = None
        self._viewer = results.viewer
        self._image = image
        self._slices = slices
        self._style = style
        self._record: ResultRecord | None = None
        self._filler: Filler | None = None
        # the user's labels may lack axes of the image, in front
        self._lead = slices.orientation.ndim - labels.ndim
        if labels is style.labels_to_fill:
            self._filler = Filler(labels, slices.orientation.without_leading_axes(self._lead))
        else:
            self._record = results.open_record(labels, image, level, slices.orientation)
            self.earlier = EarlierResult(labels, self._record)
        # only what was corrected before the run is replaced, not what is painted meanwhile
        self._replaceable: set[Position] = set()
        if self._record is not None and style.options.replace_corrections:
            self._record.note_changes(labels)
            self._replaceable.update(self._record.corrected(labels))
        self._extras = ExtraLayers(self._viewer, labels, image, level, style)
        self._is_stale = False

    @property
    def is_alive(self) -> bool:
        """Whether the layer to write into is still in the viewer."""
        return self.labels in self._viewer.layers

    def has(self, number: int) -> bool:
        """Return whether a slice was written before."""
        record = self._record
        return record is not None and self._slices.positions[number] in record.written

    def copy(self, position: Position, labels: NDArray[Any]) -> None:
        """Put an example's own labels where they belong."""
        record = self._record
        if record is not None and not self._is_kept(record, position):
            self._write(record, position, labels)

    def write(self, number: int, prediction: Prediction) -> None:
        """Write the prediction of one slice; `refresh` shows it."""
        position = self._slices.positions[number]
        record = self._record
        if self._filler is not None:
            self._filler.write(position[self._lead :], prediction.labels)
            self._is_stale = True
        elif record is not None:
            self._update(record, position, prediction)
        self._note_provenance(prediction)
        index = self._slices.orientation.index(position)
        self._extras.write_maps(index, prediction)
        # a settled slice has no boxes of its own: those of its first answer stay
        if prediction.boxes:
            self._extras.write_boxes(self._slices.orientation, position, prediction.boxes)

    def refresh(self) -> None:
        """Show what was written since the last time."""
        if self._is_stale:
            self.labels.refresh()
            self._is_stale = False
        self._extras.refresh()

    def _is_kept(self, record: ResultRecord, position: Position) -> bool:
        """Return whether a person has painted a slice, and it is not to be replaced."""
        if position in self._replaceable:
            return False
        return record.is_corrected(self.labels, position)

    def _update(self, record: ResultRecord, position: Position, prediction: Prediction) -> None:
        """Write the prediction of a slice, unless a person has corrected it."""
        if self._is_kept(record, position):
            self.kept.add(position)
            return
        self._write(record, position, prediction.labels)
        record.note_prediction(position, prediction)

    def _write(self, record: ResultRecord, position: Position, labels: NDArray[Any]) -> None:
        if self.earlier is not None:
            self.earlier.keep(position)
        self.labels.data[self._slices.orientation.index(position)] = labels
        if self.earlier is not None:
            self.earlier.compare(position)
        self._is_stale = True
        record.note_written(self.labels, position)
        self._replaceable.discard(position)

    def finish(self) -> None:
        """End the run: filling becomes one step of the history."""
        if self._filler is not None and self.is_alive:
            self._filler.finish()

    def _note_provenance(self, prediction: Prediction) -> None:
        # plain values: metadata may be saved with the layer
        provenance = asdict(prediction.provenance)
        provenance["image"] = self._image.name
        names = {label: style.name for label, style in self._style.styles.items()}
        provenance["labels"] = names
        # labels of a person stay such after they were filled, and can be examples
        key = layers.FILLED if self._record is None else layers.PROVENANCE
        self.labels.metadata[key] = provenance
