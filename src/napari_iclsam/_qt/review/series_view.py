"""One image of a series on view, with its own labels and results and none of the others'."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakSet

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_iclsam._qt.review.image_series import ImageSeries, SeriesFile
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.results import Results


class SeriesView:
    """Shows and hides the layers of a series. Layers that belong to none of its images stay.

    Parameters
    ----------
    viewer : ViewerModel
    series : ImageSeries
    results : Results
    """

    def __init__(self, viewer: ViewerModel, series: ImageSeries, results: Results) -> None:
        self._viewer = viewer
        self._series = series
        self._results = results
        # layers that were shown or hidden once: from then on, that is the user's
        self._placed: WeakSet[Layer] = WeakSet()

    def show(self, image: Layer) -> None:
        """Show one image with its own layers, and hide those of the others."""
        before = self._series.shown
        self._series.shown = image
        self._place(self._viewer.layers)
        self._viewer.layers.selection.active = self._to_paint(image)
        # the view stays where images cover the same place: details can be compared
        is_same_place = isinstance(before, Layer) and np.array_equal(
            before.extent.world, image.extent.world
        )
        if not is_same_place:
            layers.fit_to_view(self._viewer, image)

    def hide_new(self) -> None:
        """Hide new results of images that are not on view, or results under a new one."""
        shown = self._series.shown
        # what users add themselves they want to see
        new = [each for each in self._viewer.layers if self._is_new_result(each)]
        if shown in self._series.images:
            self._place(new)
            self._paint_in_visible(shown)
        elif new and not isinstance(shown, SeriesFile):
            self._placed.update(new)
            self._hide_covered()

    def _is_new_result(self, layer: Layer) -> bool:
        return layers.is_result(layer) and layer not in self._placed

    def _hide_covered(self) -> None:
        """Of results that lie on each other, keep those of the image on top."""
        if layers.grid_of(self._viewer).enabled:
            return
        above: list[Layer] = []
        for layer in reversed(self._viewer.layers):
            if layer not in self._series.images:
                continue
            results = [each for each in self._results.of_image(layer) if each.visible]
            covers = [each for each in above if _do_overlap(each, layer)]
            if results and covers:
                for each in results:
                    each.visible = False
                self._paint_in_visible(covers[0])
            elif results and _is_opaque(layer):
                above.append(layer)

    def _paint_in_visible(self, image: Layer) -> None:
        """Choose what to paint in for an image, if a result is chosen that is hidden."""
        active = self._viewer.layers.selection.active
        if active is not None and layers.is_result(active) and not active.visible:
            self._viewer.layers.selection.active = self._to_paint(image)

    def _place(self, placed: Sequence[Layer]) -> None:
        images = self._series.images
        for layer in list(placed):
            owner = self._owner(layer, images)
            if owner is not None:
                layer.visible = owner is self._series.shown
                self._placed.add(layer)

    def _to_paint(self, image: Layer) -> Layer:
        """Return the layer that a user wants to paint in: the result, else the image's labels."""
        results = self._results.of_image(image)
        if results:
            return results[-1]
        for example in self._series.examples:
            if example.image is image:
                return example.labels
        for layer in self._viewer.layers:
            if isinstance(layer, Labels) and self._owner(layer, self._series.images) is image:
                return layer
        return image

    def _owner(self, layer: Layer, images: Sequence[Layer]) -> Layer | None:
        """Return the image of the series that a layer belongs to; None if there is none."""
        if layer in images:
            return layer
        record = self._results.record(layer)
        if record is not None:
            return record.image if record.image in images else None
        made_of = layer.metadata.get(layers.PROVENANCE, {}).get("image")
        for image in images:
            # probabilities and boxes know their image by its name
            if image.name == made_of:
                return image
        return self._owner_of_labels(layer, images)

    def _owner_of_labels(self, layer: Layer, images: Sequence[Layer]) -> Layer | None:
        for example in self._series.examples:
            if example.labels is layer:
                return example.image if example.image in images else None
        if isinstance(layer, Labels) and layer.ndim == 2:
            return layers.likely_image(layer, images)
        return None


def _is_opaque(layer: Layer) -> bool:
    """Tell whether an image hides what lies below."""
    is_drawn_over = layer.blending in ("opaque", "translucent", "translucent_no_depth")
    return bool(layer.visible and layer.opacity == 1 and is_drawn_over)


def _do_overlap(first: Layer, second: Layer) -> bool:
    """Tell whether two images share a place of the world."""
    (first_low, first_high), (second_low, second_high) = first.extent.world, second.extent.world
    return bool(np.all(first_low < second_high) and np.all(second_low < first_high))
