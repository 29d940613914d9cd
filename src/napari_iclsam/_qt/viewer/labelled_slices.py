"""What people painted in the viewer: on which slices, and which image it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import LayerExample
from napari_iclsam._qt.viewer.slice_stacks import Cut, Position, best_cut, evenly

MOST = 16
"""So many labelled slices are taken by themselves; more are one click away."""


class Painted:
    """The labelled planes of the labels layers of a viewer, as far as they were read."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._found: WeakKeyDictionary[Layer, Mapping[Cut, list[Position]]] = WeakKeyDictionary()

    def note(self, labels: Layer, found: Mapping[Cut, list[Position]]) -> None:
        """Remember what reading a layer has found: its labelled planes, along each cut."""
        self._found[labels] = found

    def forget(self, labels: Layer) -> None:
        """Know nothing of a layer any more."""
        self._found.pop(labels, None)

    def unread(self, chosen: Layer | None) -> list[Layer]:
        """Return the labels layers to look at that are not known; results of segmentation only if chosen."""
        return [each for each in self._candidates(chosen) if each not in self._found]

    def count(self, labels: Layer, cut: Cut) -> int:
        """Return the number of labelled planes of a layer."""
        return len(self._found[labels][cut])

    def cut(self, labels: Layer) -> Cut | None:
        """Return the cut along which a layer is painted; None if nothing is known."""
        found = self._found.get(labels)
        return (
            best_cut(dict(found), layers.displayed_cut(labels, self._viewer.dims.order))
            if found
            else None
        )

    def likely_pair(
        self, image: Layer | None, labels: Layer | None
    ) -> tuple[Layer | None, Layer | None]:
        """Return the image and the labels in which somebody painted: those with the fewest labelled slices.

        Where none fit each other, the given ones are returned, or what there is instead of none.
        """
        images = [each for each in reversed(self._viewer.layers) if layers.is_image(each)]
        candidates = self._candidates(labels)
        ranked = []
        for each in candidates:
            fitting = [one for one in images if not layers.misfit(one, each)]
            if fitting and not layers.is_result(each):
                count = min(
                    (len(planes) for planes in self._found.get(each, {}).values()), default=0
                )
                alike = [layers.likeness(one.name, each.name) for one in fitting]
                ranked.append(((count == 0, count), fitting[alike.index(max(alike))], each))
        if ranked:
            return min(ranked, key=lambda rank: rank[0])[1:]
        if image is None:
            image = next(iter(images), None)
        if labels is None:
            labels = next(reversed(candidates), None)
        return image, labels

    def examples(self, image: Layer | None, labels: Layer | None) -> list[LayerExample]:
        """Return the labelled slices of two layers, at most `MOST`; of 2D layers, all pairs in the viewer."""
        if image is None or labels is None or layers.misfit(image, labels):
            return []
        if labels.ndim == 2 and image.ndim == 2:
            painted = [
                each for each in self._candidates(labels) if any(self._found.get(each, {}).values())
            ]
            images = [each for each in self._viewer.layers if layers.is_image(each)]
            first = [(image, labels)] if labels in painted else []
            rest = layers.pairs_of(
                [i for i in images if i is not image], [p for p in painted if p is not labels]
            )
            return [self.example(i, each, Cut.last(2), ()) for i, each in first + rest]
        cut = self.cut(labels)
        if cut is None:
            return []
        every = self._found[labels][cut]
        chosen = evenly(every, MOST)
        return [
            self.example(image, labels, cut, position) for position in every if position in chosen
        ]

    def example(self, image: Layer, labels: Layer, cut: Cut, where: Position) -> LayerExample:
        """Return a plane of a labels layer, on what the viewer shows of the image's further axes, as an example."""
        level = layers.level_of(image, labels)
        lead: Position = ()
        if image.ndim > labels.ndim:
            here = layers.position(image, Cut.last(image.ndim), self._viewer.dims.point, level)
            lead = here[: image.ndim - labels.ndim]
        return LayerExample(image, labels, cut, where, lead, level)

    def _candidates(self, chosen: Layer | None) -> list[Layer]:
        """Return the labels layers to look at: all that people paint, and the chosen one."""
        every = [
            each for each in self._viewer.layers if isinstance(each, Labels) and each.ndim >= 2
        ]
        return [each for each in every if not layers.is_result(each) or each is chosen]
