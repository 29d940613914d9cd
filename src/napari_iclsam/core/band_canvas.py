"""Predictions of tiles blended row of tiles by row of tiles: memory for one row, not the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.crops import PixelSlices
from napari_iclsam.core.images.tiles import tile_weights
from napari_iclsam.core.prediction import Prediction
from napari_iclsam.core.tile_canvas import NOTHING, log_odds_of


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Rows of an image that are finished.

    Attributes
    ----------
    rows : slice
    labels : ndarray, (h, W), int32
    certainty : ndarray, (h, W), float32
        How likely each pixel is of its label; 0 in the background.
    """

    rows: slice
    labels: NDArray[np.int32]
    certainty: NDArray[np.float32]


class BandCanvas:
    """The rows of an image that tiles still change.

    Parameters
    ----------
    height, width : int
        Of a tile, and of the image.
    ids : tuple of int
        Labels.

    Attributes
    ----------
    top : int
        Row of the image that the band begins at.
    """

    def __init__(self, height: int, width: int, ids: tuple[int, ...]) -> None:
        self.ids = ids
        self.top = 0
        self._scores = np.zeros((len(ids), height, width), np.float32)
        self._weights = np.zeros((height, width), np.float32)

    def add(self, place: PixelSlices, prediction: Prediction | None) -> None:
        """Blend in a tile; without a prediction, one in which nothing can be seen."""
        rows, columns = place
        weights = tile_weights((rows.stop - rows.start, columns.stop - columns.start))
        here = (slice(rows.start - self.top, rows.stop - self.top), columns)
        self._weights[here] += weights
        for scores, label in zip(self._scores, self.ids, strict=True):
            if prediction is None:
                scores[here] += weights * NOTHING
            else:
                scores[here] += weights * log_odds_of(prediction.probabilities[label])

    def take(self, bottom: int) -> Band:
        """Return all rows above one, which no tile changes any more; drop them."""
        count = bottom - self.top
        scores = self._scores[:, :count]
        best = scores.argmax(axis=0)
        highest = scores.max(axis=0)
        # divided by positive weights, log-odds would have the same sign
        is_foreground = highest > 0
        labels = np.where(is_foreground, np.array(self.ids, np.int32)[best], 0)
        probabilities = 1 / (1 + np.exp(-highest / self._weights[:count]))
        band = Band(
            slice(self.top, bottom),
            labels.astype(np.int32),
            np.where(is_foreground, probabilities, 0).astype(np.float32),
        )
        self._move_up(count)
        self.top = bottom
        return band

    def _move_up(self, count: int) -> None:
        kept = self._weights.shape[0] - count
        self._scores[:, :kept] = self._scores[:, count:].copy()
        self._scores[:, kept:] = 0
        self._weights[:kept] = self._weights[count:].copy()
        self._weights[kept:] = 0
