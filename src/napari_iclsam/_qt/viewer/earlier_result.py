"""The slices of a result that a run has replaced: they can be brought back, and compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_iclsam._qt.viewer.results import ResultRecord
from napari_iclsam._qt.viewer.slice_stacks import Position


@dataclass(frozen=True, slots=True, eq=False)
class _Slice:
    """A slice as it was written: its labels, its estimated Dice and its need of a check."""

    labels: NDArray[Any]
    estimate: float | None
    need: float | None
    certainty: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True)
class Change:
    """How a result differs from the earlier one, over the slices that were written again.

    Attributes
    ----------
    slices, of_slices : int
        Those that differ, and all that were compared.
    pixels, of_pixels : int
        Likewise; of pixels that have a label in one of both.
    """

    slices: int
    of_slices: int
    pixels: int
    of_pixels: int

    @classmethod
    def sum(cls, changes: Iterable[Change]) -> Change | None:
        """Return the change of all together; None if nothing was compared."""
        listed = list(changes)
        if not listed:
            return None
        return cls(
            sum(change.slices for change in listed),
            sum(change.of_slices for change in listed),
            sum(change.pixels for change in listed),
            sum(change.of_pixels for change in listed),
        )

    def in_words(self, unit: str) -> str:
        """Return the change as a user reads it."""
        if not self.pixels:
            return "Nothing differs from the earlier result."
        share = 100 * self.pixels / self.of_pixels
        return (
            f"{self.slices} of {self.of_slices} {unit}s differ from the earlier result, "
            f"{share:.1f} % of labelled pixels."
        )


class EarlierResult:
    """What a run has replaced in a layer.

    Parameters
    ----------
    labels : Labels
    record : ResultRecord
    """

    def __init__(self, labels: Labels, record: ResultRecord) -> None:
        self.labels = labels
        self._record = record
        # what this run has written itself is no earlier result
        self._is_earlier = frozenset(record.written)
        self._slices: dict[Position, _Slice] = {}
        self._changes: dict[Position, Change] = {}

    def keep(self, position: Position) -> None:
        """Keep a slice that is about to be written; one that was written twice, as it was first."""
        if position in self._is_earlier and position not in self._slices:
            self._slices[position] = self._now(position)

    def compare(self, position: Position) -> None:
        """Count what differs in a slice that was written: all at the end would take long."""
        earlier = self._slices.get(position)
        if earlier is None:
            return
        now = self.labels.data[self._record.orientation.index(position)]
        differing = int(np.count_nonzero(now != earlier.labels))
        labelled = int(np.count_nonzero((now > 0) | (earlier.labels > 0)))
        self._changes[position] = Change(int(differing > 0), 1, differing, labelled)

    @property
    def holds_any(self) -> bool:
        """Whether slices were replaced."""
        return bool(self._slices)

    @property
    def changes(self) -> list[Change]:
        """What differs, slice by slice."""
        return list(self._changes.values())

    def swap(self) -> None:
        """Exchange the earlier slices and those of now, but for corrections made since."""
        record = self._record
        for position, earlier in list(self._slices.items()):
            if record.is_corrected(self.labels, position):
                continue
            self._slices[position] = self._now(position)
            self.labels.data[record.orientation.index(position)] = earlier.labels
            record.note_written(self.labels, position)
            if earlier.estimate is not None:
                record.estimates[position] = earlier.estimate
            if earlier.need is not None:
                record.needs[position] = earlier.need
            if earlier.certainty is not None:
                record.certainty[position] = earlier.certainty
        self.labels.refresh()

    def _now(self, position: Position) -> _Slice:
        record = self._record
        labels = np.array(self.labels.data[record.orientation.index(position)])
        return _Slice(
            labels,
            record.estimates.get(position),
            record.needs.get(position),
            record.certainty.get(position),
        )
