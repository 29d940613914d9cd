"""Offers to make labels of what the viewer holds: masks opened as images, one layer an object."""

from __future__ import annotations

from collections.abc import Sequence

from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.label_layers import convert_to_labels, join_labels, masks_among


class LabelOffers(QPushButton):
    """A button, where there is something to offer.

    Attributes
    ----------
    joined : Signal(object)
        The labels that were made of several layers, which are in the viewer.
    sentence : str
        Why; empty where nothing is offered.
    """

    joined = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._masks: list[Layer] = []
        self._parts: list[Layer] = []
        self.sentence = ""
        self.clicked.connect(self._on_clicked)
        self.setVisible(False)

    def show_masks(self) -> None:
        """Offer to convert images that look like labels, if there are any."""
        self._parts = []
        self._masks = masks_among(layers.images_in(self._viewer))
        self._offer("", "")
        if self._masks:
            several = len(self._masks) > 1
            what = "look like labels" if several else "looks like labels"
            how = "images" if several else "an image"
            sentence = f"{_listed(self._masks)} {what}, opened as {how}."
            self._offer(sentence, "Convert to labels")

    def show_parts(self, parts: Sequence[Layer], used: Layer | None) -> None:
        """Offer to join labels of one object each, if there are several."""
        self._masks = []
        self._parts = list(parts)
        self._offer("", "")
        if len(self._parts) > 1 and used is not None:
            sentence = f"{_listed(self._parts)} hold one object each; only '{used.name}' is used."
            self._offer(sentence, f"Join {len(self._parts)} layers")

    def _offer(self, sentence: str, action: str) -> None:
        self.sentence = sentence
        self.setText(action)
        self.setVisible(bool(sentence))

    def _on_clicked(self) -> None:
        if self._parts:
            self._join()
            return
        for mask in self._masks:
            try:
                convert_to_labels(self._viewer, mask)
            except ValueError as error:
                show_error(str(error))

    def _join(self) -> None:
        parts = self._parts
        made = join_labels(parts)
        for part in parts:
            part.visible = False
        self._viewer.add_layer(made.layer)
        if made.overlap:
            show_info(
                f"{made.overlap} pixels lie in two objects; each belongs to the upper layer's."
            )
        self.joined.emit(made.layer)


def _listed(several: Sequence[Layer]) -> str:
    """Return the names of layers, the first few of many."""
    names = [f"'{layer.name}'" for layer in several[:3]]
    if len(several) > len(names):
        names.append(f"{len(several) - len(names)} more")
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"
