"""Leads from slice to slice of a result, and takes corrected slices as examples."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, Signal

from napari_iclsam._qt.forms.examples_form import ExamplesForm
from napari_iclsam._qt.forms.query_form import QueryForm
from napari_iclsam._qt.review.review_queue import ReviewQueue
from napari_iclsam._qt.run.run_bar import RunBar
from napari_iclsam._qt.viewer.example import LayerExample
from napari_iclsam._qt.viewer.results import Results


class ReviewControl(QObject):
    """The state of the review: what comes next, and what was corrected.

    Parameters
    ----------
    viewer : ViewerModel
    results : Results
    examples : ExamplesForm
    query : QueryForm
    bar : RunBar
        Shows what can be done.

    Attributes
    ----------
    corrections_taken : Signal()
        Corrected slices have become examples: the rest is to be segmented again.
    queue : ReviewQueue
    """

    corrections_taken = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        results: Results,
        examples: ExamplesForm,
        query: QueryForm,
        bar: RunBar,
    ) -> None:
        super().__init__(bar)
        self.queue = ReviewQueue(viewer, results)
        self._results = results
        self._examples = examples
        self._query = query
        self._bar = bar

    def update(self) -> None:
        """Show what can be done now."""
        image = self._query.image.layer
        self._bar.show_review(self.queue.next(image))
        corrections = self._results.corrections(image)
        self._bar.show_corrections(sum(map(len, corrections.values())))

    def show_next(self) -> None:
        """Go to the slice of the result that is to be reviewed next."""
        item = self.queue.next(self._query.image.layer)
        if item is not None:
            self.queue.show(item)
        self.update()

    def use_corrections(self) -> None:
        """Take the slices of the result that were corrected by hand as examples."""
        new: list[LayerExample] = []
        corrections = self._results.corrections(self._query.image.layer)
        for labels, positions in corrections.items():
            record = self._results.record(labels)
            assert record is not None
            # they count as corrections again only after further strokes
            record.note_taken(labels, positions)
            for position in positions:
                example = LayerExample(
                    record.image, labels, record.orientation, position, level=record.level
                )
                new.append(example)
        if new:
            self._examples.replace_at(new)
            self.corrections_taken.emit()
        else:
            show_info(
                "No slice of the result differs from what was segmented: "
                "correct one with the brush first."
            )
            self.update()
