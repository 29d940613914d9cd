"""Labels of a part of an image as an example: offered, drawn as a rectangle, or what is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels, Shapes
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QMenu, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_iclsam._qt.forms.examples_form import ExamplesForm
from napari_iclsam._qt.forms.wrapped_label import WrappedLabel
from napari_iclsam._qt.objects.region_layer import (
    NAME,
    RegionPlace,
    drawn_regions,
    make_layer,
    shown_region,
)
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import LayerExample

_EDGE = 0.004
"""Width of the edges of rectangles, relative to the longer side of an image."""


class RegionTools(QWidget):
    """Buttons below the examples.

    Parameters
    ----------
    viewer : ViewerModel
    examples : ExamplesForm
        Regions become rows of its table.

    Attributes
    ----------
    offer : QLabel
        Says that labels fill only a part of an image.
    take : QPushButton
        Takes the offered parts as regions.
    label_region : QToolButton
        Opens a menu of the ways to choose a region.
    """

    def __init__(self, viewer: ViewerModel, examples: ExamplesForm) -> None:
        super().__init__()
        self._viewer = viewer
        self._examples = examples
        self._offered: list[LayerExample] = []
        # the rectangles, and the keys of the examples that were made of them
        self._shapes: Shapes | None = None
        self._drawn: set[Any] = set()
        self.offer = WrappedLabel()
        self.take = QPushButton(
            "Use the painted part only",
            toolTip="<p>What lies outside of the painted part is then unknown, not background.</p>",
        )
        self.label_region = QToolButton(text="Label a region ")
        self.label_region.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        self.draw_action = menu.addAction("Draw a rectangle")
        self.shown_action = menu.addAction("Take the field of view")
        self.label_region.setMenu(menu)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.setSpacing(3)
        for widget in (self.offer, self.take, self.label_region):
            layout.addWidget(widget)
        self.draw_action.triggered.connect(self._on_draw)
        self.shown_action.triggered.connect(self._on_shown)
        self.take.clicked.connect(self._on_take)
        examples.changed.connect(self.follow)
        self.follow()

    def follow(self) -> None:
        """Offer what the examples call for."""
        misfit = layers.misfit(self._examples.image.layer, self._examples.labels.layer)
        self.label_region.setEnabled(not misfit)
        self.label_region.setToolTip(
            misfit
            or "<p>For large images: label all objects of a rectangle, and nothing else. What lies "
            "outside is unknown. The image is then seen in tiles, at the scale of the region.</p>"
        )
        self._offered = _parts(self._examples)
        self.offer.setVisible(bool(self._offered))
        self.take.setVisible(bool(self._offered))
        if self._offered:
            name = self._offered[0].image.name
            self.offer.setText(
                f"Only a part of '{name}' is painted. Are there objects outside of it that are not?"
            )

    def close_down(self) -> None:
        """Listen to the rectangles no longer."""
        if self._shapes is not None:
            self._shapes.events.data.disconnect(self._on_drawn)
            self._shapes = None

    def _on_take(self) -> None:
        self._examples.replace_at(self._offered)

    def _on_shown(self) -> None:
        """Take the part of the slice that the window shows."""
        example = self._examples.shown_example()
        if example is None:
            return
        region = shown_region(example.labels, example.orientation)
        if region is None:
            show_info("The window shows no part of the labels: move to a part that is labelled.")
        else:
            self._examples.replace_at([replace(example, region=region)])

    def _on_draw(self) -> None:
        """Let the user draw rectangles."""
        labels = self._examples.labels.layer
        if not isinstance(labels, Labels):
            return
        if self._shapes is None or self._shapes not in self._viewer.layers:
            self.close_down()
            self._drawn = set()
            self._shapes = self._found(labels) or self._made(labels)
            self._shapes.events.data.connect(self._on_drawn)
        self._viewer.layers.selection.active = self._shapes
        self._shapes.mode = "add_rectangle"

    def _found(self, labels: Labels) -> Shapes | None:
        """Return the rectangles of a dock that was closed."""
        for layer in self._viewer.layers:
            is_ours = isinstance(layer, Shapes) and layers.is_result(layer)
            if is_ours and layer.name.startswith(NAME) and layer.ndim == labels.ndim:
                return layer
        return None

    def _made(self, labels: Labels) -> Shapes:
        shapes = make_layer(labels, _EDGE * max(layers.shape(labels)[-2:]))
        self._viewer.add_layer(shapes)
        return shapes

    def _on_drawn(self) -> None:
        """Make examples of the rectangles as they are now: they are added, moved and deleted."""
        assert self._shapes is not None
        example = self._examples.shown_example()
        if example is None:
            return
        size = layers.shape(example.labels)
        places = drawn_regions(self._shapes.data, example.orientation, size)
        wanted = list(_at(example, places))
        keys = {each.key for each in wanted}
        gone = self._drawn - keys
        self._drawn = keys
        if gone:
            self._examples.withdraw(gone)
        if wanted:
            self._examples.replace_at(wanted)


def _at(example: LayerExample, places: Iterable[RegionPlace]) -> Iterable[LayerExample]:
    for place in places:
        yield replace(example, region=place.region, position=place.position)


def _parts(examples: ExamplesForm) -> list[LayerExample]:
    """Return the painted parts of the ticked examples whose labels fill only a part of them."""
    parts = []
    for row in examples.table.ticked():
        example = row.example
        if row.picture is None or row.picture.part is None:
            continue
        if isinstance(example, LayerExample) and example.region is None:
            parts.append(replace(example, region=row.picture.part))
    return parts
