"""Which slices to look at first: those whose estimated quality is least."""

from __future__ import annotations

from dataclasses import dataclass

from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.results import Results
from napari_iclsam._qt.viewer.slice_stacks import Position


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """A plane of a result that may need correction.

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
        """What a user calls the plane."""
        return f"slice {', '.join(map(str, self.position))}"


class Checklist:
    """The planes of an image's results, the most doubtful first. Each comes up once, unless it is segmented again."""

    def __init__(self, viewer: ViewerModel, results: Results) -> None:
        self._viewer, self._results = viewer, results

    def next(self, image: Layer | None) -> Doubt | None:
        """Return the plane to check next; None if all were, or nothing is known of any."""
        doubts = [
            doubt for labels in self._results.of_image(image) for doubt in self._doubts(labels)
        ]
        return min(doubts, key=lambda doubt: doubt.estimate, default=None)

    def show(self, doubt: Doubt) -> None:
        """Show a plane, its result ready to be painted in."""
        known = self._results.written(doubt.labels)
        assert known is not None
        known.checked.add(doubt.position)
        layers.go_to(self._viewer, doubt.labels, known.cut, doubt.position)
        self._viewer.layers.selection.active = doubt.labels

    def _doubts(self, labels: Labels) -> list[Doubt]:
        """Return the planes that were neither shown nor painted since they were written. A single image is none."""
        known = self._results.written(labels)
        assert known is not None
        done = known.checked | known.touched
        return [
            Doubt(labels, p, estimate)
            for p, estimate in known.estimates.items()
            if p and p not in done
        ]
