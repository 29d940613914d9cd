"""What people painted in the viewer: on which slices, and which image it belongs to."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary, ref

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import LayerExample
from napari_iclsam._qt.viewer.filled import is_filled
from napari_iclsam._qt.viewer.label_layers import only_value
from napari_iclsam._qt.viewer.results import is_copy
from napari_iclsam._qt.viewer.slice_stacks import (
    LabelledPositions,
    Position,
    SliceOrientation,
    likely_orientation,
    spread_out,
)

MOST = 16
"""So many labelled slices are taken by themselves; more are one click away."""

_LOOKED_AT = 4
"""In so many slices is looked for a second label."""


class LayerPair(NamedTuple):
    """An image and labels, as far as there are any."""

    image: Layer | None
    labels: Layer | None


class LabelledSlices:
    """The labelled slices of the labels layers of a viewer, as far as they were read."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._found: WeakKeyDictionary[Layer, LabelledPositions] = WeakKeyDictionary()
        # the images that labels were shown with
        self._images: WeakKeyDictionary[Layer, ref[Layer]] = WeakKeyDictionary()

    def remember(self, labels: Layer, found: LabelledPositions) -> None:
        """Keep what reading a layer has found."""
        self._found[labels] = found

    def forget(self, labels: Layer) -> None:
        """Drop what is known of a layer."""
        self._found.pop(labels, None)

    def unread(self, chosen: Layer | None) -> list[Layer]:
        """Return the labels layers that are still to be read; results only if they are chosen."""
        return [each for each in self._candidates(chosen) if each not in self._found]

    def count(self, labels: Layer, orientation: SliceOrientation) -> int:
        """Return the number of labelled slices of a layer."""
        return len(self._painted(labels, orientation))

    def orientation(self, labels: Layer) -> SliceOrientation | None:
        """Return the orientation in which a layer is painted; None if nothing is known."""
        found = self._found.get(labels)
        if not found:
            return None
        displayed = layers.displayed_orientation(labels, self._viewer.dims.order)
        return likely_orientation(found, displayed)

    def likely_pair(self, image: Layer | None, labels: Layer | None) -> LayerPair:
        """Return the image and the labels in which somebody painted.

        These are the labels with the fewest labelled slices: few are examples, many are a truth or
        somebody's result. Where none fit an image, the given layers are returned, or what there is
        instead of none.
        """
        images = layers.images_in(self._viewer)
        candidates = self._candidates(labels)
        fitting: list[LayerPair] = []
        for each in candidates:
            partner = self._image_of(each) or layers.likely_image(each, images)
            if partner is not None and (is_copy(each) or not layers.is_result(each)):
                fitting.append(LayerPair(partner, each))
        if fitting:
            return min(fitting, key=self._rank)
        # nothing fits: show layers all the same, and the form tells why
        if image is None and images:
            image = images[0]
        if labels is None and candidates:
            labels = candidates[-1]
        return LayerPair(image, labels)

    def examples(self, image: Layer | None, labels: Layer | None) -> list[LayerExample]:
        """Return the labelled slices of two layers, at most `MOST`; of 2D layers, all pairs."""
        if image is None or labels is None or layers.misfit(image, labels):
            return []
        if labels.ndim == 2 and image.ndim == 2:
            return self._flat_examples(image, labels)
        orientation = self.orientation(labels)
        if orientation is None:
            return []
        chosen = spread_out(self._painted(labels, orientation), MOST)
        return [self.example(image, labels, orientation, position) for position in chosen]

    def example(
        self, image: Layer, labels: Layer, orientation: SliceOrientation, position: Position
    ) -> LayerExample:
        """Return a slice of a labels layer as an example.

        Along the axes that only the image has, it lies where the viewer is.
        """
        self._images[labels] = ref(image)
        level = layers.level_of(image, labels)
        lead: Position = ()
        if image.ndim > labels.ndim:
            last_axes = SliceOrientation.of_last_axes(image.ndim)
            shown = layers.position(image, last_axes, self._viewer.dims.point, level)
            lead = shown[: image.ndim - labels.ndim]
        return LayerExample(image, labels, orientation, position, lead, level)

    def shown(self, image: Layer, labels: Layer) -> LayerExample:
        """Return the slice of a labels layer that the viewer shows as an example."""
        orientation = layers.displayed_orientation(labels, self._viewer.dims.order)
        position = layers.position(labels, orientation, self._viewer.dims.point)
        return self.example(image, labels, orientation, position)

    def one_object_layers(self, image: Layer | None, labels: Layer | None) -> list[Layer]:
        """Return the labels in memory that hold one object of an image each, the given among them.

        None if the image's labels are several, or other images of this size have labels, too.
        """
        if image is None or labels is None:
            return []
        images = layers.images_in(self._viewer)
        found = []
        for each in self._candidates(labels):
            if layers.shape(each) != layers.shape(labels) or not self._fewest(each):
                continue
            known = self._image_of(each) or layers.likely_image(each, images)
            if known is image and self._is_one_object(each):
                found.append(each)
        return found if labels in found else []

    def _is_one_object(self, labels: Layer) -> bool:
        """Tell whether all labelled slices that were looked at hold one label, and the same."""
        if not isinstance(labels.data, np.ndarray):
            return False
        positions = self._found[labels]
        orientation = min(positions, key=lambda each: len(positions[each]))
        values = set()
        for position in spread_out(positions[orientation], _LOOKED_AT):
            values.add(only_value(labels, orientation.index(position)))
        return len(values) == 1 and None not in values

    def _painted(self, labels: Layer, orientation: SliceOrientation) -> list[Position]:
        """Return the labelled slices of a layer but those that a run has filled."""
        positions = self._found[labels][orientation]
        return [each for each in positions if not is_filled(labels, orientation, each)]

    def _flat_examples(self, image: Layer, labels: Layer) -> list[LayerExample]:
        """Return all pairs of 2D layers of the viewer, the given one first."""
        painted = [each for each in self._candidates(labels) if self._fewest(each)]
        # images and labels that were added together are in the same order
        images = layers.images_in(self._viewer)[::-1]
        pairs: list[tuple[Layer, Layer]] = []
        if labels in painted:
            pairs.append((image, labels))
            painted.remove(labels)
        if image in images:
            images.remove(image)
        # what was shown together stays together when another image of this size is opened
        for each in list(painted):
            known = self._image_of(each)
            if known in images:
                pairs.append((known, each))
                images.remove(known)
                painted.remove(each)
        pairs += layers.pair_2d(images, painted)
        flat = SliceOrientation.of_last_axes(2)
        return [self.example(*pair, flat, ()) for pair in pairs]

    def _image_of(self, labels: Layer) -> Layer | None:
        """Return the image that labels were shown with, if both still fit."""
        known = self._images.get(labels, _nothing)()
        if known is None or known not in self._viewer.layers or layers.misfit(known, labels):
            return None
        return known

    def _rank(self, pair: LayerPair) -> tuple[bool, int]:
        assert pair.labels is not None
        count = self._fewest(pair.labels)
        return (count == 0, count)

    def _fewest(self, labels: Layer) -> int:
        """Return the number of labelled slices, in the orientation that has fewest."""
        found = self._found.get(labels, {})
        return min(map(len, found.values()), default=0)

    def _candidates(self, chosen: Layer | None) -> list[Layer]:
        """Return the labels layers that may hold examples: those of people, and the chosen.

        Where there are none, copies of results are: somebody has duplicated one to work on it.
        """
        of_people = []
        copies = []
        for layer in self._viewer.layers:
            if not isinstance(layer, Labels) or layer.ndim < 2:
                continue
            if layer is chosen or not layers.is_result(layer):
                of_people.append(layer)
            elif is_copy(layer):
                copies.append(layer)
        return of_people or copies


def _nothing() -> None:
    """Stand in for a layer that was never shown."""
