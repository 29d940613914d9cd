"""Reads labels and pictures of examples in a worker, when they are new or have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_iclsam._qt.background.reading import (
    Pictures,
    ScannedLabels,
    picture_steps,
    scan_steps,
)
from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.labelled_slices import LabelledSlices
from napari_iclsam._qt.viewer.slice_stacks import find_labelled_steps
from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.core.steps import drain

_PAUSE = 200
"""Milliseconds without a stroke of the brush after which labels are read again."""

_READ_AT_ONCE = 8_000_000
"""Bytes of labels that are read without a worker: it takes less than a hundredth of a second."""


class ExampleReading(QObject):
    """What is known of the labels of a viewer, and what is being read.

    Attributes
    ----------
    due : Signal()
        Labels have changed, and nobody has painted for a moment.
    scanned : Signal()
        All labels are read.
    pictured : Signal(object)
        The `Pictures` that were read.
    failed : Signal(object)
        An error of reading, for the user.
    labelled : LabelledSlices
    runner : Runner
    """

    due = Signal()
    scanned = Signal()
    pictured = Signal(object)
    failed = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.labelled = LabelledSlices(viewer)
        self.runner = Runner(self)
        self._scanning: dict[int, Layer] = {}
        self._pause = QTimer(self, singleShot=True, interval=_PAUSE)
        self._pause.timeout.connect(self.due)
        self.runner.returned.connect(self._on_read)
        self.runner.failed.connect(self._on_failed)

    @property
    def is_scanning(self) -> bool:
        """Whether labels are being read, or are about to be."""
        return self._pause.isActive() or bool(self._scanning)

    def note_changed(self, layer: Layer) -> None:
        """Read a layer again soon."""
        self.labelled.forget(layer)
        # strokes follow each other: read when they pause
        self._pause.start()

    def scan(self, chosen: Layer | None) -> bool:
        """Read the labels that were not read yet; return whether there are any."""
        unread = self.labelled.unread(chosen)
        if not unread:
            return False
        self._scanning = dict(enumerate(unread))
        arrays = {number: layers.levels(each)[0] for number, each in self._scanning.items()}
        self.runner.start(partial(scan_steps, arrays))
        return True

    def forget_changeable(self, used: Iterable[Layer | None]) -> None:
        """Forget labels that may have changed without a word; small ones are read at once."""
        # what waited for a pause is read now
        self._pause.stop()
        for layer in used:
            if layer is None or not layers.is_writeable(layer):
                continue
            self.labelled.forget(layer)
            if layer.data.nbytes <= _READ_AT_ONCE:
                self.labelled.remember(layer, drain(find_labelled_steps(layer.data)))

    def draw(
        self,
        pairs: Mapping[Any, Pair],
        titles: Sequence[str],
        styles: Sequence[Mapping[int, LabelStyle]],
    ) -> None:
        """Read pictures of pairs, by keys, and look at their labels."""
        # after scanning, the table is filled and drawn anyway
        if pairs and not self._scanning:
            self.runner.start(partial(picture_steps, pairs, titles, styles))

    def close(self) -> None:
        """Stop for good."""
        self._pause.stop()
        self.runner.close()
        self._scanning = {}

    def _on_read(self, found: ScannedLabels | Pictures) -> None:
        if isinstance(found, Pictures):
            self.pictured.emit(found)
            return
        for number, positions in found.of_array.items():
            if number in self._scanning:
                self.labelled.remember(self._scanning[number], positions)
        self._scanning = {}
        self.scanned.emit()

    def _on_failed(self, error: Exception) -> None:
        # what cannot be read counts as empty, else it would be read again and again
        for layer in self._scanning.values():
            self.labelled.remember(layer, {})
        self._scanning = {}
        self.failed.emit(error)
