"""Evidence of all planes of a volume, kept small: in memory, or on disk if there is much of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.volume.label_context import PlaneEvidence

_STEP = 1 / 16
"""Log-odds of one step of what is kept, one byte a pixel: from about -7.9 to 7.9."""

_IN_MEMORY = 256 << 20
"""Bytes of log-odds from which on they are kept on disk."""


class EvidenceStore:
    """Log-odds, grey values and estimates of planes, as they become known.

    Parameters
    ----------
    shape : tuple of int
        Planes, height and width.
    labels : sequence of int
    """

    def __init__(self, shape: tuple[int, int, int], labels: Sequence[int]) -> None:
        self._labels = tuple(labels)
        self._estimates: dict[int, Mapping[int, float]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        full = (len(labels), *shape)
        # int64, since the product of a large stack exceeds 32 bits, NumPy's default on some
        # systems
        if np.prod(full, dtype=np.int64) > _IN_MEMORY:
            self._folder = tempfile.TemporaryDirectory(prefix="napari-iclsam-stack-")
        self._log_odds = self._allocate("log_odds", full, np.int8)
        self._grey = self._allocate("grey", shape, np.uint8)
        self._has_grey: set[int] = set()

    def put(
        self,
        plane: int,
        log_odds: Mapping[int, NDArray[np.floating]],
        estimates: Mapping[int, float],
    ) -> None:
        """Keep what the 2-D method found in a plane, label by label."""
        for index, label in enumerate(self._labels):
            steps = np.round(log_odds[label] / _STEP)
            # symmetric, so that foreground and background saturate alike
            limited = np.clip(steps, -127, 127)
            self._log_odds[index, plane] = limited.astype(np.int8)
        self._estimates[plane] = dict(estimates)

    def put_grey(self, plane: int, grey: NDArray[np.uint8]) -> None:
        """Keep the grey values (H, W) of a plane."""
        self._grey[plane] = grey
        self._has_grey.add(plane)

    def has_grey(self, plane: int) -> bool:
        """Return whether the grey values of a plane are known."""
        return plane in self._has_grey

    def evidence(self, plane: int, label: int) -> PlaneEvidence:
        """Return the evidence of a plane, whose grey values are known.

        The log-odds of a plane that was not segmented are zero: they tell nothing.
        """
        index = self._labels.index(label)
        log_odds = self._log_odds[index, plane].astype(np.float32) * np.float32(_STEP)
        estimates = self._estimates.get(plane)
        # not segmented tells nothing; segmented without the label tells that it was not found
        estimate = 0.5 if estimates is None else estimates.get(label, 0.0)
        return PlaneEvidence(
            log_odds,
            np.asarray(self._grey[plane]),
            estimate,
        )

    def close(self) -> None:
        """Delete what is on disk."""
        if self._folder is not None:
            # Windows deletes no file that is still mapped
            del self._log_odds, self._grey
            self._folder.cleanup()
            self._folder = None

    def _allocate(
        self, name: str, shape: tuple[int, ...], dtype: type[np.integer]
    ) -> NDArray[np.integer]:
        if self._folder is None:
            return np.zeros(shape, dtype)
        path = Path(self._folder.name, f"{name}.npy")
        return np.lib.format.open_memmap(
            path,
            "w+",
            dtype,
            shape,
        )
