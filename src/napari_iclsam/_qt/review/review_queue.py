"""Which slices or images to review first: those that are most doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.results import Results
from napari_iclsam._qt.viewer.slice_stacks import Position
from napari_iclsam.commands.short_names import shortened

_DOUBTFUL = 0.3
"""Need of a check from which on a slice in which nothing was found is worth a look."""

_SHORT, _ROOM = 12, 16
"""Characters of an image's name beside its estimate, on a button as wide as the dock at least."""


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
    place : str
        Which slice it is, in words; empty for a 2D image.
    is_corrected, was_shown : bool
        Whether a person has changed it, or was led to it, since it was written.
    """

    labels: Labels
    image: Layer
    position: Position
    estimate: float | None
    need: float = 0.0
    place: str = ""
    is_corrected: bool = False
    was_shown: bool = False

    @property
    def title(self) -> str:
        """What a user calls the slice."""
        name = self.image.name
        # a long name needs the room of the word
        of_image = f"image {name}" if len(name) <= _SHORT else shortened(name, _ROOM)
        return self.place or of_image

    @property
    def summary(self) -> str:
        """What is known of the slice on screen, in a short line."""
        name = self.place or shortened(self.image.name, _SHORT)
        if self.is_corrected:
            # the estimate is of what was there before
            return f"{name}, corrected"
        found = "nothing found" if self.estimate is None else f"overlap about {self.estimate:.2f}"
        return f"{name}, {found}"

    @property
    def state(self) -> str:
        """What a list says of the slice."""
        if self.is_corrected:
            return "corrected"
        if self.was_shown:
            return "checked"
        if self.need < _DOUBTFUL:
            return ""
        # the list has the number beside
        return "low overlap" if self._is_low else self.reason

    @property
    def _is_low(self) -> bool:
        """Whether the estimate is more of a reason than what neighbors tell."""
        return self.estimate is not None and self.need <= 1 - self.estimate

    @property
    def doubt(self) -> float:
        """By which slices are ordered, from 0 (sure) to 1."""
        expected = 1.0 if self.estimate is None else self.estimate
        return max(self.need, 1 - expected)

    @property
    def reason(self) -> str:
        """Why the slice is to be checked, in words."""
        if self._is_low:
            return f"overlap about {self.estimate:.2f}"
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

    def slices(self, image: Layer) -> list[ReviewItem]:
        """Return all slices of the newest result that have an estimate; of a 2D image, itself."""
        results = self._results.of_image(image)
        return self._known(results[-1], image) if results else []

    def on_screen(self, items: Sequence[ReviewItem]) -> int | None:
        """Return the number of the slice that the viewer shows, if it is among these."""
        if not items:
            return None
        labels = items[0].labels
        record = self._results.record(labels)
        assert record is not None
        shown = layers.position(labels, record.orientation, self._viewer.dims.point)
        positions = [item.position for item in items]
        return positions.index(shown) if shown in positions else None

    def _items(self, labels: Labels, image: Layer, *, is_alone: bool) -> list[ReviewItem]:
        """Return the slices that were neither shown nor painted since they were written."""
        items = []
        for item in self._known(labels, image):
            # the position of a 2D image is empty; one that is alone is on view anyway
            is_on_view = is_alone and not item.position
            is_sure = item.estimate is None and item.need < _DOUBTFUL
            if not (item.is_corrected or item.was_shown or is_on_view or is_sure):
                items.append(item)
        return items

    def _known(self, labels: Labels, image: Layer) -> list[ReviewItem]:
        """Return all slices of a result of which something is known."""
        record = self._results.record(labels)
        assert record is not None
        names = layers.axis_names(labels, self._viewer.dims.axis_labels)
        items = []
        for position in sorted(set(record.needs) | set(record.estimates)):
            place = ""
            if position:
                place = layers.slice_in_words(names, record.orientation, position)
            item = ReviewItem(
                labels,
                image,
                position,
                record.estimates.get(position),
                record.needs.get(position, 0.0),
                place,
                position in record.touched,
                position in record.reviewed,
            )
            items.append(item)
        return items
