"""Which slices or images to review first: those that are most doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.results import Results
from napari_iclsam._qt.viewer.slice_stacks import Position

_DOUBTFUL = 0.3
"""Need of a check from which on a slice in which nothing was found is worth a look."""


@dataclass(frozen=True, slots=True, eq=False)
class ReviewItem:
    """A slice of a result that may need correction, or the result of a 2D image.

    Attributes
    ----------
    labels : Labels
    image : Layer
    position : Position
    estimate : float, optional
        Estimated Dice of its worst label; None if nothing was found.
    need : float
        How much a slice of a volume needs to be checked, since image and neighbors disagree or the
        object may be absent; from 0 to 1.
    """

    labels: Labels
    image: Layer
    position: Position
    estimate: float | None
    need: float = 0.0

    @property
    def title(self) -> str:
        """What a user calls the slice."""
        if not self.position:
            return f"image {self.image.name}"
        return f"slice {', '.join(map(str, self.position))}"

    @property
    def doubt(self) -> float:
        """By which slices are ordered, from 0 (sure) to 1."""
        expected = 1.0 if self.estimate is None else self.estimate
        return max(self.need, 1 - expected)

    @property
    def reason(self) -> str:
        """Why the slice is to be checked, in words."""
        if self.estimate is not None and self.need <= 1 - self.estimate:
            return f"Dice about {self.estimate:.2f}"
        if self.estimate is None:
            return "is nothing there?"
        return "unlike its neighbors"


class ReviewQueue:
    """The slices of images' results, the most doubtful first.

    Each comes up once, unless it is segmented again.
    """

    def __init__(self, viewer: ViewerModel, results: Results) -> None:
        self._viewer = viewer
        self._results = results

    def next(self, images: Sequence[Layer]) -> ReviewItem | None:
        """Return what to review next; None if all was, or nothing is known of it."""
        items = []
        for image in images:
            for labels in self._results.of_image(image):
                items += self._items(labels, image, is_alone=len(images) == 1)
        return max(items, key=lambda item: item.doubt, default=None)

    def show(self, item: ReviewItem) -> None:
        """Show a slice, its result ready to be painted in."""
        record = self._results.record(item.labels)
        assert record is not None
        record.reviewed.add(item.position)
        if item.position:
            layers.go_to(self._viewer, item.labels, record.orientation, item.position)
        self._viewer.layers.selection.active = item.labels

    def _items(self, labels: Labels, image: Layer, *, is_alone: bool) -> list[ReviewItem]:
        """Return the slices that were neither shown nor painted since they were written."""
        record = self._results.record(labels)
        assert record is not None
        done = record.reviewed | record.touched
        doubtful = {position for position, need in record.needs.items() if need >= _DOUBTFUL}
        items = []
        for position in sorted(doubtful | set(record.estimates)):
            # the position of a 2D image is empty; one that is alone is on view anyway
            is_on_view = is_alone and not position
            if position in done or is_on_view:
                continue
            estimate = record.estimates.get(position)
            need = record.needs.get(position, 0.0)
            items.append(ReviewItem(labels, image, position, estimate, need))
        return items
