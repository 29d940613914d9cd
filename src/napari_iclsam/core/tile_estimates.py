"""Estimates of tiles put together into one of the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_iclsam.core.prediction import Prediction


class TileEstimates:
    """Gathers how good each label probably is, tile by tile.

    Parameters
    ----------
    ids : sequence of int
        Labels.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self._dice: dict[int, list[float]] = {label: [] for label in ids}
        self._sizes: dict[int, list[int]] = {label: [] for label in ids}

    def add(self, prediction: Prediction) -> None:
        """Take in the estimates of a tile."""
        for label, dice in prediction.estimated_dice.items():
            self._dice[label].append(dice)
            self._sizes[label].append(int((prediction.labels == label).sum()))

    def means(self) -> dict[int, float]:
        """Return the mean of the tiles' estimates, by how much of a label each shows."""
        means = {}
        for label, dice in self._dice.items():
            if dice:
                means[label] = float(np.average(dice, weights=self._sizes[label]))
        return means
