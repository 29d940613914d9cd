"""What is shown beside a result on request: maps of each label, either model alone, box prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes
from numpy.typing import NDArray

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.label_styles import name_of
from napari_iclsam._qt.viewer.overlays import overlays_added_later
from napari_iclsam._qt.viewer.result_style import Extra, ResultStyle
from napari_iclsam._qt.viewer.slice_stacks import Position, SliceOrientation
from napari_iclsam.core.prediction import Prediction

Index = tuple[int | slice, ...]

_MAP_TITLES: dict[Extra, str] = {
    "probability": "probability of",
    "confidence": "confidence map of",
}

_LABEL_TITLES: dict[Extra, str] = {"icl": "in-context model only", "sam": "SAM only"}

_BOX_COLOR = "yellow"
"""Of boxes of labels whose color is not known."""


class ExtraLayers:
    """The layers beside one result. They are made, or found again, when they are first written.

    Parameters
    ----------
    viewer : ViewerModel
    labels : Labels
        The result: it stays on top, and active.
    image : Layer
    level : int
        Of a multiscale image.
    style : ResultStyle
    """

    def __init__(
        self, viewer: ViewerModel, labels: Labels, image: Layer, level: int, style: ResultStyle
    ) -> None:
        self._viewer = viewer
        self._labels = labels
        self._image = image
        self._level = level
        self._style = style
        self._layers: dict[str, Layer] = {}
        self._stale: set[Layer] = set()

    def write_maps(self, index: Index, prediction: Prediction) -> None:
        """Write the maps of one slice that the user wants to see."""
        maps = {"probability": prediction.probabilities, "confidence": prediction.confidence}
        for extra, title in _MAP_TITLES.items():
            if self._is_wanted(extra):
                for label, values in maps[extra].items():
                    name = name_of(label, self._style.styles)
                    self._write(f"{title} {name}", Image, index, values)
        if not prediction.boxes:
            # of a settled slice: no model has segmented it by itself
            return
        label_maps = {"icl": prediction.icl_labels, "sam": prediction.sam_labels}
        for extra, title in _LABEL_TITLES.items():
            if self._is_wanted(extra):
                self._write(title, Labels, index, label_maps[extra])

    def write_boxes(
        self,
        orientation: SliceOrientation,
        position: Position,
        boxes: Mapping[int, NDArray[np.int64]],
    ) -> None:
        """Draw the boxes of one slice, if the user wants to see them, instead of earlier ones."""
        if not self._is_wanted("boxes"):
            return
        shapes = self._layer("boxes", Shapes)
        _remove_boxes(shapes, orientation, position)
        for label, of_label in boxes.items():
            if len(of_label):
                corners = [box_corners(box, orientation, position) for box in of_label]
                style = self._style.styles.get(label)
                color = _BOX_COLOR if style is None or style.color is None else style.color
                colors = [color] * len(corners)
                shapes.add(corners, shape_type="rectangle", edge_color=colors, edge_width=1)
        # what is added is selected, and would be drawn with handles
        shapes.selected_data = set()

    def refresh(self) -> None:
        """Show what was written since the last time."""
        for layer in self._stale:
            layer.refresh()
        self._stale.clear()

    def _is_wanted(self, extra: Extra) -> bool:
        return extra in self._style.options.extras

    def _write(self, title: str, kind: type[Layer], index: Index, values: NDArray[Any]) -> None:
        layer = self._layer(title, kind)
        layer.data[index] = values
        self._stale.add(layer)

    def _layer(self, title: str, kind: type[Layer]) -> Layer:
        """Return the layer of this title: of this run, of an earlier one, or a new one."""
        layer = self._layers.get(title)
        # the user may have deleted it
        if layer is None or layer not in self._viewer.layers:
            name = f"{self._image.name} [ICL-SAM] {title}"
            layer = self._find(name, kind)
            if layer is None:
                make = {Image: self._make_image, Labels: self._make_labels}
                layer = make.get(kind, self._make_shapes)(name)
                # it would cover the image, or the result: the eye of the layer list shows it
                layer.visible = False
                self._add(layer)
            # the image may have been calibrated since
            layers.put_on(layer, self._image, self._level)
            self._layers[title] = layer
        return layer

    def _make_image(self, name: str) -> Image:
        return Image(
            np.zeros(layers.shape(self._image, self._level), np.float32),
            name=name,
            contrast_limits=(0, 1),
            colormap="inferno",
            blending="additive",
            **self._placement(),
        )

    def _make_labels(self, name: str) -> Labels:
        colormap = self._style.colormap
        colors = {} if colormap is None else {"colormap": colormap}
        data = np.zeros(layers.shape(self._image, self._level), self._style.dtype)
        return Labels(data, name=name, **colors, **self._placement())

    def _make_shapes(self, name: str) -> Shapes:
        return Shapes(
            ndim=self._image.ndim,
            name=name,
            face_color="transparent",
            edge_width=1,
            **self._placement(),
        )

    def _placement(self) -> dict[str, Any]:
        spatial = layers.spatial(self._image, self._level)
        return {**spatial, "metadata": {layers.PROVENANCE: {"image": self._image.name}}}

    def _find(self, name: str, kind: type[Layer]) -> Layer | None:
        """Return a layer of an earlier run that serves as well."""
        size = layers.shape(self._image, self._level)
        for layer in self._viewer.layers:
            is_ours = layers.is_result(layer) and layer.name == name
            if is_ours and type(layer) is kind and (kind is Shapes or layers.shape(layer) == size):
                return layer
        return None

    def _add(self, layer: Layer) -> None:
        """Add a layer just below the result, which stays on top and active."""
        stack = self._viewer.layers
        place = stack.index(self._labels) if self._labels in stack else len(stack)
        active = stack.selection.active
        with overlays_added_later(layer):
            stack.insert(place, layer)
        stack.selection.active = active


def box_corners(
    box: NDArray[np.int64], orientation: SliceOrientation, position: Position
) -> NDArray[np.float64]:
    """Return the corners of a box in the coordinates of an array, around its pixels.

    Parameters
    ----------
    box : ndarray, (4,)
        x0, y0, x1, y1, inclusive pixel indices.
    orientation : SliceOrientation
    position : Position

    Returns
    -------
    ndarray, (4, ndim)
    """
    left, top, right, bottom = box.tolist()
    corners = np.zeros((4, orientation.ndim))
    corners[:, list(orientation.stack_axes)] = position
    # a pixel reaches half a unit to either side of its index
    corners[:, orientation.rows] = [top - 0.5, top - 0.5, bottom + 0.5, bottom + 0.5]
    corners[:, orientation.columns] = [left - 0.5, right + 0.5, right + 0.5, left - 0.5]
    return corners


def _remove_boxes(shapes: Shapes, orientation: SliceOrientation, position: Position) -> None:
    """Remove the boxes that lie on a slice."""
    axes = list(orientation.stack_axes)
    on_slice = set()
    for number, corners in enumerate(shapes.data):
        if np.all(np.asarray(corners)[:, axes] == np.array(position)):
            on_slice.add(number)
    if on_slice:
        shapes.selected_data = on_slice
        shapes.remove_selected()
