"""The part of the planes of a stack that its labels can reach: models see nothing else."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.prediction import Prediction, Progress
from napari_iclsam.core.steps import Result, mapped

_MARGIN = 0.06
"""Part of the box of all labels that is added on each side."""

_LEAST_MARGIN = 6
"""Pixels that are added at least."""

_LEAST_SIDE = 48
"""Pixels: a smaller part shows too little of what surrounds an object."""

_STEPS = 16
"""Steps of the box's side by which its edges move: with another labelled plane, the part mostly
stays what it was, and embeddings of planes hold."""

_NEARLY_WHOLE = 0.9
"""Parts larger than this share of the plane gain nothing."""

Span = tuple[float, float]
"""Where something starts and ends along an axis, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class PlaneRegion:
    """A part of planes of one size.

    Attributes
    ----------
    rows, columns : slice
    size : tuple of int
        Height and width of the whole planes.
    """

    rows: slice
    columns: slice
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the part."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def fits(self, shape: Sequence[int]) -> bool:
        """Return whether an image (H, W, ...) has the size of the planes."""
        return tuple(shape[:2]) == self.size

    def cut(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the part of values (H, W, ...)."""
        return values[self.rows, self.columns]

    def cut_support(self, support: SupportSet) -> SupportSet:
        """Return examples that show this part alone."""
        return replace(
            support,
            images=tuple(map(self.cut, support.images)),
            labels=tuple(map(self.cut, support.labels)),
        )

    def restored(self, prediction: Prediction) -> Prediction:
        """Return the prediction of whole planes: outside of this part there is nothing."""
        shift = (self.columns.start, self.rows.start) * 2
        return replace(
            prediction,
            labels=self._placed(prediction.labels),
            probabilities=self._placed_by_label(prediction.probabilities),
            confidence=self._placed_by_label(prediction.confidence),
            icl_labels=self._placed(prediction.icl_labels),
            sam_labels=self._placed(prediction.sam_labels),
            boxes={label: boxes + np.array(shift) for label, boxes in prediction.boxes.items()},
        )

    def restored_step(self, step: Progress) -> Progress:
        """Return a step whose prediction, if it has one, is of whole planes."""
        if step.prediction is None:
            return step
        return replace(step, prediction=self.restored(step.prediction))

    def restored_steps(
        self, steps: Generator[Progress, None, Result]
    ) -> Generator[Progress, None, Result]:
        """Run steps, with predictions of whole planes."""
        return mapped(steps, self.restored_step)

    def _placed(self, values: NDArray[Any]) -> NDArray[Any]:
        whole = np.zeros(self.size, values.dtype)
        whole[self.rows, self.columns] = values
        return whole

    def _placed_by_label(self, maps: Mapping[int, NDArray[Any]]) -> dict[int, NDArray[Any]]:
        return {label: self._placed(values) for label, values in maps.items()}


@dataclass(frozen=True, slots=True, eq=False)
class WholePlanes:
    """Examples in whole planes, and the part of them that models see."""

    support: SupportSet
    region: PlaneRegion

    def shown(self) -> SupportSet:
        """Return the examples as models see them."""
        return self.region.cut_support(self.support)


def whole_planes(support: SupportSet) -> WholePlanes | None:
    """Return labelled planes with the part that labels can reach; see `reachable_region`."""
    region = reachable_region(support)
    return None if region is None else WholePlanes(support, region)


def reachable_region(support: SupportSet) -> PlaneRegion | None:
    """Return the part of the planes that labels can reach, from labelled planes in their order.

    It is the box of all labels, continued beyond the outermost planes as its edges moved before,
    with a margin.

    Returns
    -------
    PlaneRegion or None
        None if it is nearly the whole plane, the examples differ in size, or fewer than two hold
        any label: nothing is known then of how objects move.
    """
    size = support.labels[0].shape
    held = [labels for labels in support.labels if (labels > 0).any()]
    if len(held) < 2 or any(labels.shape != size for labels in support.labels):
        return None
    spans: list[list[Span]] = [[], []]
    for label in support.ids:
        masks = [labels == label for labels in held]
        known = [mask for mask in masks if mask.any()]
        if known:
            for axis in range(2):
                spans[axis].append(_continued([_span(mask.any(axis=1 - axis)) for mask in known]))
    rows, columns = (_widened(of_axis, size[axis]) for axis, of_axis in enumerate(spans))
    region = PlaneRegion(rows, columns, (size[0], size[1]))
    if np.prod(region.shape) > _NEARLY_WHOLE * np.prod(size):
        return None
    return region


def _span(held: NDArray[np.bool_]) -> Span:
    places = np.flatnonzero(held)
    return float(places[0]), float(places[-1] + 1)


def _continued(spans: Sequence[Span]) -> Span:
    """Return the span of all planes and of what may lie half a gap beyond the first and last."""
    lows = [low for low, _ in spans]
    highs = [high for _, high in spans]
    if len(spans) > 1:
        for edges in (lows, highs):
            first = edges[0] + (edges[0] - edges[1]) / 2
            last = edges[-1] + (edges[-1] - edges[-2]) / 2
            edges += [first, last]
    return min(lows), max(highs)


def _widened(spans: Sequence[Span], length: int) -> slice:
    """Return the pixels of a span of all spans with its margin, on steps of its length."""
    low = min(span[0] for span in spans)
    high = max(span[1] for span in spans)
    side = high - low
    margin = max(_MARGIN * side, _LEAST_MARGIN, (_LEAST_SIDE - side) / 2)
    # a power of two, which seldom changes as the side does
    step = 2 ** int(np.log2(max(side / _STEPS, 1)))
    start = int(np.floor((low - margin) / step)) * step
    stop = int(np.ceil((high + margin) / step)) * step
    return slice(max(start, 0), min(stop, length))
