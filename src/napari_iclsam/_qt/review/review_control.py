"""Leads from slice to slice, or from image to image, and takes corrections as examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, Signal

from napari_iclsam._qt.forms.dock_form import DockForm
from napari_iclsam._qt.review.image_series import ImageSeries
from napari_iclsam._qt.review.review_queue import ReviewItem, ReviewQueue
from napari_iclsam._qt.review.series_control import SeriesControl
from napari_iclsam._qt.review.series_view import SeriesView
from napari_iclsam._qt.run.run_bar import RunBar
from napari_iclsam._qt.viewer.example import LayerExample
from napari_iclsam._qt.viewer.results import Results


class ReviewControl(QObject):
    """The state of the review: what comes next, and what was corrected.

    Parameters
    ----------
    viewer : ViewerModel
    results : Results
    form : DockForm
    layer_examples : callable
        Returns the examples that are slices of layers.
    bar : RunBar
        Shows what can be done.

    Attributes
    ----------
    corrections_taken : Signal()
        Corrected slices have become examples: the rest is to be segmented again.
    failed : Signal(object)
        An image of the series could not be opened.
    queue : ReviewQueue
    series : SeriesControl
    """

    corrections_taken = Signal()
    failed = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        results: Results,
        form: DockForm,
        layer_examples: Callable[[], Sequence[LayerExample]],
        bar: RunBar,
    ) -> None:
        super().__init__(bar)
        self.queue = ReviewQueue(viewer, results)
        self._results = results
        self._images_of_viewer = ImageSeries(viewer, results, layer_examples)
        self._view = SeriesView(viewer, self._images_of_viewer, results)
        self.series = SeriesControl(viewer, self._images_of_viewer, self._view, form.series)
        self.series.failed.connect(self.failed)
        self._form = form.review
        self._slices: list[ReviewItem] = []
        self._form.picked.connect(self._on_picked)
        self._examples = form.examples
        self._query = form.query
        self._bar = bar

    def update(self) -> None:
        """Show what can be done now."""
        images = self._images()
        unit = "image" if images and images[0].ndim == 2 else "slice"
        self._bar.show_review(self.queue.next(images), unit)
        count = 0
        for image in images:
            count += sum(map(len, self._results.corrections(image).values()))
        self._bar.show_corrections(count, unit)
        self.series.update()
        self._slices = self.queue.slices(images[0]) if unit == "slice" and images else []
        self._form.show_items(self._slices)
        self.note_moved()

    def note_moved(self) -> None:
        """Show which slice, or which image of several, is on screen."""
        number = self.queue.on_screen(self._slices)
        self._form.show_on_screen(number)
        shown = self._image_on_screen() if number is None else self._slices[number]
        self._bar.show_on_screen(shown)

    def close(self) -> None:
        """Stop opening files."""
        self.series.close()

    def show_next(self) -> None:
        """Go to the slice or image that is to be reviewed next."""
        item = self.queue.next(self._images())
        if item is not None:
            if not item.position:
                self.series.show(item.image)
            self.queue.show(item)
        self.update()

    def use_corrections(self) -> None:
        """Take the slices of results that were corrected by hand as examples."""
        new: list[LayerExample] = []
        for image in self._images():
            new += self._corrected(image)
        if new:
            self._examples.replace_at(new)
            self.corrections_taken.emit()
        else:
            show_info(
                "Nothing in the result differs from what was segmented: "
                "correct a slice or an image with the brush first."
            )
            self.update()

    def _image_on_screen(self) -> ReviewItem | None:
        """Return the image of the series that is on view, if it was segmented."""
        shown = self._images_of_viewer.shown
        images = self._images()
        if len(images) == 1 or not isinstance(shown, Layer) or shown not in images:
            return None
        return next(iter(self.queue.slices(shown)), None)

    def _on_picked(self, number: int) -> None:
        self.queue.show(self._slices[number])
        self.update()

    def _images(self) -> list[Layer]:
        """Return the images under review: all 2D images if one is chosen, else the one."""
        chosen = self._query.image.layer
        if chosen is None:
            return []
        series = self._images_of_viewer.images
        return series if chosen in series else [chosen]

    def _corrected(self, image: Layer) -> list[LayerExample]:
        """Return the corrected slices of an image's results as examples."""
        new = []
        for labels, positions in self._results.corrections(image).items():
            record = self._results.record(labels)
            assert record is not None
            # they count as corrections again only after further strokes
            record.note_taken(labels, positions)
            for position in positions:
                example = LayerExample(
                    record.image, labels, record.orientation, position, level=record.level
                )
                new.append(example)
        return new
