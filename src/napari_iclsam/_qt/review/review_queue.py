"""Which slices to review first: those with the lowest estimated quality."""

from __future__ import annotations

from dataclasses import dataclass

from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.results import Results
from napari_iclsam._qt.viewer.slice_stacks import Position


@dataclass(frozen=True, slots=True, eq=False)
class ReviewItem:
    """A slice of a result that may need correction.

    Attributes
    ----------
    labels : Labels
    position : Position
    estimate : float
        Estimated Dice of its worst label.
    """

    labels: Labels
    position: Position
    estimate: float

    @property
    def title(self) -> str:
        """What a user calls the slice."""
        return f"slice {', '.join(map(str, self.position))}"


class ReviewQueue:
    """The slices of an image's results, lowest estimate first.

    Each comes up once, unless it is segmented again.
    """

    def __init__(self, viewer: ViewerModel, results: Results) -> None:
        self._viewer = viewer
        self._results = results

    def next(self, image: Layer | None) -> ReviewItem | None:
        """Return the slice to review next; None if all were, or no estimate is known."""
        items = []
        for labels in self._results.of_image(image):
            items += self._items(labels)
        return min(items, key=lambda item: item.estimate, default=None)

    def show(self, item: ReviewItem) -> None:
        """Show a slice, its result ready to be painted in."""
        record = self._results.record(item.labels)
        assert record is not None
        record.reviewed.add(item.position)
        layers.go_to(self._viewer, item.labels, record.orientation, item.position)
        self._viewer.layers.selection.active = item.labels

    def _items(self, labels: Labels) -> list[ReviewItem]:
        """Return the slices that were neither shown nor painted since they were written."""
        record = self._results.record(labels)
        assert record is not None
        done = record.reviewed | record.touched
        items = []
        for position, estimate in record.estimates.items():
            # the position of a single image is empty: it is on view anyway
            if position and position not in done:
                items.append(ReviewItem(labels, position, estimate))
        return items
