"""Predictions of overlapping tiles blended into that of the whole image."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.crops import PixelSlices
from napari_iclsam.core.images.tiles import tile_weights
from napari_iclsam.core.prediction import Prediction, Provenance
from napari_iclsam.core.tile_estimates import TileEstimates

_SURE = 1e-6
"""Probabilities are kept so far from 0 and 1 that their log-odds are finite."""

NOTHING = -10.0
"""Log-odds of a tile in which nothing is looked for."""


def log_odds_of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return finite log-odds of probabilities in [0, 1]."""
    inside = probabilities.clip(_SURE, 1 - _SURE)
    return np.asarray(np.log(inside / (1 - inside)), np.float32)


class TileCanvas:
    """An image that is filled tile by tile, weighted so that no seam is left.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    ids : tuple of int
        Labels.
    """

    def __init__(self, shape: tuple[int, int], ids: tuple[int, ...]) -> None:
        self.ids = ids
        self._scores = np.zeros((len(ids), *shape), np.float32)
        self._confidence = np.zeros((len(ids), *shape), np.float32)
        self._weights = np.zeros(shape, np.float32)
        self._nearest = np.zeros(shape, np.float32)
        self._icl_labels = np.zeros(shape, np.int32)
        self._sam_labels = np.zeros(shape, np.int32)
        self._boxes: dict[int, list[NDArray[np.int64]]] = {label: [] for label in ids}
        self._estimates = TileEstimates(ids)
        self._seconds: Counter[str] = Counter()

    def add(self, place: PixelSlices, prediction: Prediction) -> None:
        """Blend in the prediction of a tile."""
        weights = self._weigh(place)
        for index, label in enumerate(self.ids):
            log_odds = log_odds_of(prediction.probabilities[label])
            self._scores[index][place] += weights * log_odds
            self._confidence[index][place] += weights * prediction.confidence[label]
            self._add_boxes(label, place, prediction)
        self._estimates.add(prediction)
        # labels cannot be averaged: those of the tile whose center is nearest count
        nearer = weights > self._nearest[place]
        self._nearest[place][nearer] = weights[nearer]
        self._icl_labels[place][nearer] = prediction.icl_labels[nearer]
        self._sam_labels[place][nearer] = prediction.sam_labels[nearer]
        self._seconds.update(prediction.seconds)

    def add_blank(self, place: PixelSlices) -> None:
        """Blend in a tile in which nothing was looked for."""
        weights = self._weigh(place)
        for scores in self._scores:
            scores[place] += weights * NOTHING

    def prediction(self, provenance: Provenance, note: str) -> Prediction:
        """Return the prediction of the whole image."""
        scores = self._scores / self._weights
        best = scores.argmax(axis=0)
        is_foreground = scores.max(axis=0) > 0
        labels = np.where(is_foreground, np.array(self.ids, np.int32)[best], 0)
        probabilities = 1 / (1 + np.exp(-scores))
        estimates = self._estimates.means()
        missing = [label for label in self.ids if label not in estimates]
        notes = [note]
        if len(missing) == len(self.ids):
            notes.append("Nothing found.")
        return Prediction(
            labels=labels.astype(np.int32),
            probabilities=dict(zip(self.ids, probabilities, strict=True)),
            confidence=dict(zip(self.ids, self._confidence / self._weights, strict=True)),
            icl_labels=self._icl_labels,
            sam_labels=self._sam_labels,
            boxes={label: _joined(boxes) for label, boxes in self._boxes.items()},
            seconds=dict(self._seconds),
            provenance=provenance,
            notes=tuple(notes),
            estimated_dice=estimates,
            all_estimates=estimates,
        )

    def _weigh(self, place: PixelSlices) -> NDArray[np.float32]:
        rows, columns = place
        weights = tile_weights((rows.stop - rows.start, columns.stop - columns.start))
        self._weights[place] += weights
        return weights

    def _add_boxes(self, label: int, place: PixelSlices, prediction: Prediction) -> None:
        """Keep boxes of a label that a tile shows, in pixels of the image."""
        corner = [place[1].start, place[0].start]
        boxes = prediction.boxes[label]
        if len(boxes):
            self._boxes[label].append(boxes + np.array(corner * 2))


def _joined(boxes: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(boxes) if boxes else np.zeros((0, 4), np.int64)
