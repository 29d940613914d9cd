"""What is known of all planes of a volume, kept small: in memory, or on disk if it is much."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEP = 1 / 8
"""Log-odds of one step of what is kept, one byte a pixel: from about -15.9 to 15.9."""

_IN_MEMORY = 256 << 20
"""Bytes of log-odds from which on they are kept on disk."""


class EvidenceStore:
    """Log-odds and grey values of planes, as they become known.

    Parameters
    ----------
    shape : tuple of int
        Planes, height and width.
    labels : sequence of int
    """

    def __init__(self, shape: tuple[int, int, int], labels: Sequence[int]) -> None:
        self._labels = tuple(labels)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        full = (len(labels), *shape)
        # int64, since the product of a large stack exceeds 32 bits, NumPy's default on some
        # systems
        if np.prod(full, dtype=np.int64) > _IN_MEMORY:
            self._folder = tempfile.TemporaryDirectory(prefix="napari-iclsam-stack-")
        self._log_odds = self._allocate("log_odds", full, np.int8)
        self._grey = self._allocate("grey", shape, np.uint8)
        self._has_grey: set[int] = set()

    def put(self, plane: int, log_odds: Mapping[int, NDArray[np.floating]]) -> None:
        """Keep the log-odds (H, W) of a plane, label by label. Their signs are kept exactly."""
        for index, label in enumerate(self._labels):
            steps = log_odds[label] / _STEP
            # away from zero, so that the outline does not change
            rounded = np.where(steps > 0, np.ceil(steps), np.floor(steps))
            # symmetric, so that foreground and background saturate alike
            limited = np.clip(rounded, -127, 127)
            self._log_odds.write((index, plane), limited.astype(np.int8))

    def put_grey(self, plane: int, grey: NDArray[np.uint8]) -> None:
        """Keep the grey values (H, W) of a plane."""
        self._grey.write((plane,), grey)
        self._has_grey.add(plane)

    def has_grey(self, plane: int) -> bool:
        """Return whether the grey values of a plane are known."""
        return plane in self._has_grey

    def log_odds(self, label: int, plane: int) -> NDArray[np.float32]:
        """Return the log-odds (H, W) of a plane; zeros if it was not segmented."""
        steps = self._log_odds.read((self._labels.index(label), plane))
        log_odds: NDArray[np.float32] = steps.astype(np.float32) * np.float32(_STEP)
        return log_odds

    def grey(self, plane: int) -> NDArray[np.uint8]:
        """Return the grey values (H, W) of a plane, which are known."""
        grey: NDArray[np.uint8] = self._grey.read((plane,))
        return grey

    def close(self) -> None:
        """Delete what is on disk."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _allocate(
        self, name: str, shape: tuple[int, ...], dtype: type[np.integer]
    ) -> _InMemory | _OnDisk:
        if self._folder is None:
            return _InMemory(shape, dtype)
        return _OnDisk(Path(self._folder.name, name), shape, dtype)


class _InMemory:
    """Planes (H, W) of an array, all in memory."""

    def __init__(self, shape: tuple[int, ...], dtype: type[np.integer]) -> None:
        self._array = np.zeros(shape, dtype)

    def write(self, key: tuple[int, ...], values: NDArray[np.integer]) -> None:
        self._array[key] = values

    def read(self, key: tuple[int, ...]) -> NDArray[Any]:
        return np.asarray(self._array[key])


class _OnDisk:
    """Planes (H, W) of an array, in one file; zeros where nothing was written.

    The file is read and written, not mapped: pages of a map would count as memory of this process.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: type[np.integer]) -> None:
        self._path = path
        self._shape = shape
        self._dtype = np.dtype(dtype)
        with path.open("wb") as file:
            file.truncate(math.prod(shape) * self._dtype.itemsize)

    def write(self, key: tuple[int, ...], values: NDArray[np.integer]) -> None:
        with self._path.open("r+b") as file:
            file.seek(self._offset(key))
            values.astype(self._dtype).tofile(file)

    def read(self, key: tuple[int, ...]) -> NDArray[Any]:
        height, width = self._shape[-2:]
        flat = np.fromfile(self._path, self._dtype, height * width, offset=self._offset(key))
        return flat.reshape(height, width)

    def _offset(self, key: tuple[int, ...]) -> int:
        """Return the first byte of a plane."""
        number = int(np.ravel_multi_index(key, self._shape[:-2]))
        return number * math.prod(self._shape[-2:]) * self._dtype.itemsize
