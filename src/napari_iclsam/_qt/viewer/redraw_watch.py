"""Labels that changed without a word: undone, redone, or written to by another tool."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.slice_stacks import Position, SliceOrientation

_PAUSE = 200
"""Milliseconds after which a layer that was drawn anew is looked at."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """The slice of a layer that a viewer shows, and its checksum."""

    place: tuple[SliceOrientation, Position]
    checksum: int


class RedrawWatch(QObject):
    """Compares what is shown of labels in memory with what was shown of the same slice before.

    Attributes
    ----------
    redrawn : Signal(object)
        A layer that was drawn anew, a little while ago.
    changed : Signal(object)
        A layer whose shown slice holds other labels than before.
    """

    redrawn = Signal(object)
    changed = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._shown: WeakKeyDictionary[Layer, _Shown] = WeakKeyDictionary()
        self._drawn: WeakSet[Layer] = WeakSet()
        self._painted: WeakSet[Layer] = WeakSet()
        self._pause = QTimer(self, singleShot=True, interval=_PAUSE)
        self._pause.timeout.connect(self._on_pause_ended)

    def note(self, layer: Layer) -> None:
        """Note that a layer was drawn anew, for whatever reason."""
        self._drawn.add(layer)
        if not self._pause.isActive():
            self._pause.start()

    def note_painted(self, layer: Layer) -> None:
        """Note a change that was announced. napari announces it before it writes."""
        self._painted.add(layer)
        self.note(layer)

    def close(self) -> None:
        """Look at nothing any more."""
        self._pause.stop()
        self._drawn.clear()

    def _on_pause_ended(self) -> None:
        drawn = list(self._drawn)
        self._drawn.clear()
        for layer in drawn:
            # reading a slice from a file takes too long, and nobody paints in it
            if layer in self._viewer.layers and layers.is_writeable(layer):
                self.redrawn.emit(layer)
                self._look_at(layer)

    def _look_at(self, layer: Layer) -> None:
        before = self._shown.get(layer)
        shown = self._shown[layer] = self._now(layer)
        if layer in self._painted:
            self._painted.discard(layer)
            return
        if before is None or before.place != shown.place:
            return
        if before.checksum != shown.checksum:
            self.changed.emit(layer)

    def _now(self, layer: Layer) -> _Shown:
        orientation = layers.displayed_orientation(layer, self._viewer.dims.order)
        position = layers.position(layer, orientation, self._viewer.dims.point)
        labels = np.ascontiguousarray(layer.data[orientation.index(position)])
        return _Shown((orientation, position), zlib.crc32(labels.data))
