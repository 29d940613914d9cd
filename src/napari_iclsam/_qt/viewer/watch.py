"""What happens in the viewer, as signals; everything connected is disconnected on close."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, Signal

from napari_iclsam._qt.viewer.layers import SPATIAL


class ViewerWatch(QObject):
    """Listen to a viewer and its layers.

    Attributes
    ----------
    layers_changed : Signal()
        A layer came, went, moved, or got another name.
    removed : Signal(object)
        A layer that went.
    data_changed : Signal(object)
        A layer whose data were replaced.
    painted : Signal(object, object)
        A labels layer that somebody painted in, and the entry of its history.
    placed : Signal(object)
        A layer that lies elsewhere now, or has other units.
    drawn : Signal(object)
        A labels layer that was drawn anew: after undo and redo, or as another slice is shown.
    moved : Signal()
        Another plane, or other axes, are shown.
    """

    layers_changed = Signal()
    removed = Signal(object)
    data_changed = Signal(object)
    painted = Signal(object, object)
    placed = Signal(object)
    drawn = Signal(object)
    moved = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.events.reordered.connect(self._on_layers_changed)
        viewer.dims.events.current_step.connect(self._on_moved)
        viewer.dims.events.order.connect(self._on_moved)
        # texts of the forms name the axes
        viewer.dims.events.axis_labels.connect(self._on_moved)
        for layer in viewer.layers:
            self._connect(layer)

    def close(self) -> None:
        """Listen no longer. napari would go on calling, and keep this object alive."""
        events = self._viewer.layers.events
        events.inserted.disconnect(self._on_inserted)
        events.removed.disconnect(self._on_removed)
        events.reordered.disconnect(self._on_layers_changed)
        dims = self._viewer.dims.events
        for emitter in (dims.current_step, dims.order, dims.axis_labels):
            emitter.disconnect(self._on_moved)
        for layer in self._viewer.layers:
            self._disconnect(layer)

    def _connect(self, layer: Layer) -> None:
        layer.events.name.connect(self._on_layers_changed)
        layer.events.data.connect(self._on_data)
        for emitter in _placements(layer):
            emitter.connect(self._on_placed)
        if isinstance(layer, Labels):
            layer.events.paint.connect(self._on_paint)
            # all that tells of undo and redo
            layer.events.set_data.connect(self._on_drawn)

    def _disconnect(self, layer: Layer) -> None:
        layer.events.name.disconnect(self._on_layers_changed)
        layer.events.data.disconnect(self._on_data)
        for emitter in _placements(layer):
            emitter.disconnect(self._on_placed)
        if isinstance(layer, Labels):
            layer.events.paint.disconnect(self._on_paint)
            layer.events.set_data.disconnect(self._on_drawn)

    def _on_inserted(self, event: Any) -> None:
        self._connect(event.value)
        self.layers_changed.emit()

    def _on_removed(self, event: Any) -> None:
        self._disconnect(event.value)
        self.removed.emit(event.value)
        self.layers_changed.emit()

    def _on_layers_changed(self, event: Any) -> None:
        self.layers_changed.emit()

    def _on_data(self, event: Any) -> None:
        self.data_changed.emit(event.source)

    def _on_paint(self, event: Any) -> None:
        self.painted.emit(event.source, event.value)

    def _on_placed(self, event: Any) -> None:
        self.placed.emit(event.source)

    def _on_drawn(self, event: Any) -> None:
        self.drawn.emit(event.source)

    def _on_moved(self, event: Any) -> None:
        self.moved.emit()


def _placements(layer: Layer) -> list[Any]:
    """Return what a layer tells when its spatial metadata change, as far as this napari does."""
    emitters = layer.events.emitters
    return [emitters[name] for name in SPATIAL if name in emitters]
