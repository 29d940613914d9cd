"""Labels of a stack kept small: each plane compressed, since most of it is background."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.label_rows import LabelRows

_LEVEL = 1
"""The quickest compression: labels shrink to a hundredth all the same."""


class LabelPlanes:
    """Labels (Z, H, W) that are written and read plane by plane. Planes begin empty.

    Parameters
    ----------
    shape : tuple of int
        Z, H, W.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        int32.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.dtype = np.dtype(np.int32)
        self._planes: dict[int, bytes] = {}

    @property
    def ndim(self) -> int:
        """Number of axes: 3."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __setitem__(self, number: int, plane: NDArray[np.int32]) -> None:
        values = np.asarray(plane, self.dtype)
        self._planes[number] = zlib.compress(values.tobytes(), _LEVEL)

    def __getitem__(self, number: int) -> NDArray[np.int32]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        if number not in self._planes:
            return np.zeros(self.shape[1:], self.dtype)
        values = np.frombuffer(zlib.decompress(self._planes[number]), self.dtype)
        return values.reshape(self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all planes in one array."""
        return np.stack([self[number] for number in range(len(self))]).astype(dtype or self.dtype)


AnyLabels: TypeAlias = "NDArray[Any] | LabelPlanes | LabelRows"
"""Labels (H, W) or (Z, H, W), in memory as they are or compressed, or on disk."""


def planes_in(labels: AnyLabels) -> Iterator[NDArray[Any]]:
    """Yield the planes of labels along their first axis; of a single plane, itself or its bands."""
    if isinstance(labels, LabelRows):
        yield from labels.bands()
        return
    if labels.ndim == 2:
        yield np.asarray(labels)
        return
    for number in range(labels.shape[0]):
        yield labels[number]


def highest_of(labels: AnyLabels) -> int:
    """Return the highest label; 0 if there is none."""
    return max((int(plane.max(initial=0)) for plane in planes_in(labels)), default=0)
