"""A choice among layers that follows the viewer."""

from __future__ import annotations

from collections.abc import Sequence

from napari.layers import Layer
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import QComboBox, QWidget

from napari_iclsam._qt.forms.elided_combo import draw_elided, shrinkable


class LayerCombo(QComboBox):
    """Layers by name. Renaming and reordering keep the choice; if the layer goes, it is empty.

    Attributes
    ----------
    picked : Signal(object)
        The layer that the user chose.
    """

    picked = Signal(object)

    def __init__(self, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, toolTip=tooltip)
        self._layers: list[Layer] = []
        shrinkable(self)
        self.activated.connect(self._on_activated)

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def set_layer(self, layer: Layer | None) -> None:
        """Choose a layer, without a signal."""
        with QSignalBlocker(self):
            self.setCurrentIndex(self._layers.index(layer) if layer in self._layers else -1)

    def offer(self, layers: Sequence[Layer]) -> None:
        """Offer these layers; the choice stays if it is among them."""
        chosen = self.layer
        self._layers = list(layers)
        # the same layer stays chosen: nobody needs to know
        with QSignalBlocker(self):
            self.clear()
            self.addItems([layer.name for layer in self._layers])
        self.set_layer(chosen)
        self.setEnabled(bool(self._layers))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw a long name without its middle."""
        draw_elided(self)

    def _on_activated(self, index: int) -> None:
        self.picked.emit(self.layer)
