"""Objects of images that are larger than memory: found band by band, and joined where they meet."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.planes import ArrayLike, Writable
from napari_iclsam.core.objects.instances import (
    Instances,
    Separation,
    estimate_separation,
    find_instances,
)
from napari_iclsam.core.objects.linking import inherit
from napari_iclsam.core.prediction import Progress
from napari_iclsam.core.steps import drain

_PIXELS = 8_000_000
"""A band has about so many: the watershed takes about 60 bytes for each."""

_OVERLAP = 128
"""Rows that two bands share, in which their objects are compared."""


def find_instances_into(
    labels: ArrayLike,
    ids: Writable,
    separations: Mapping[int, Separation] | None = None,
    pixels: int = _PIXELS,
) -> NDArray[np.int32]:
    """Find the objects of labels that are larger than memory, and write their ids.

    Bands of rows overlap. An object that both bands see is one if it shares half of the smaller
    one's pixels there; the seam lies in the middle of the overlap. No pixel is lost, however large
    the object, unless examples have taught that its part in a band is a speck.

    Parameters
    ----------
    labels : numpy, dask or zarr array, (H, W), integer
        0 is background.
    ids : numpy or zarr array, (H, W), int32
        The result is written here.
    separations : mapping of int to Separation, optional
        By label; by default estimated from the first band that shows it.
    pixels : int
        Of a band.

    Returns
    -------
    ndarray, (n + 1,), int32
        By id: the label that the object has; 0 for the background.
    """
    return drain(object_steps(labels, ids, separations, pixels))


def object_steps(
    labels: ArrayLike,
    ids: Writable,
    separations: Mapping[int, Separation] | None = None,
    pixels: int = _PIXELS,
) -> Generator[Progress, None, NDArray[np.int32]]:
    """Find objects band by band; see `find_instances_into`."""
    height, width = labels.shape
    bands = row_bands((height, width), pixels, _OVERLAP)
    chosen = dict(separations or {})
    owners = _Owners()
    # ids of the rows that the band before has seen, too
    seen = np.zeros((0, width), np.int32)
    for number, rows in enumerate(bands):
        yield Progress("objects", "Finding objects", number, len(bands))
        band = np.asarray(labels[rows])
        _choose(chosen, band)
        found = find_instances(band, chosen)
        # of what two bands see, the upper half is that of the one before
        first = len(seen) // 2
        end = len(band)
        if rows.stop < height:
            end -= _OVERLAP // 2
        band_ids = _numbered(found, seen, slice(first, end), owners)
        band_ids[:first] = seen[:first]
        ids[rows.start + first : rows.start + end] = band_ids[first:end]
        seen = band_ids[-_OVERLAP:]
    return owners.labels()


def row_bands(shape: tuple[int, int], pixels: int, overlap: int = 0) -> list[slice]:
    """Return bands of rows of about so many pixels that cover an image (H, W)."""
    height, width = shape
    rows = max(3 * overlap, pixels // width, 1)
    starts = range(0, max(height - overlap, 1), rows - overlap)
    return [slice(start, min(start + rows, height)) for start in starts]


class _Owners:
    """The label of each id so far: one counter for all bands."""

    def __init__(self) -> None:
        self._labels = [np.zeros(1, np.int32)]
        self.count = 0

    def add(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return new ids for objects of some labels."""
        new = np.arange(self.count + 1, self.count + 1 + len(labels), dtype=np.int32)
        self._labels.append(labels)
        self.count += len(labels)
        return new

    def labels(self) -> NDArray[np.int32]:
        return np.concatenate(self._labels)


def _choose(chosen: dict[int, Separation], band: NDArray[np.integer[Any]]) -> None:
    """Choose how labels are separated that are seen for the first time."""
    for label in np.unique(band[band != 0]).tolist():
        if label not in chosen:
            chosen[label] = estimate_separation(band == label)


def _numbered(
    found: Instances, seen: NDArray[np.int32], written: slice, owners: _Owners
) -> NDArray[np.int32]:
    """Return the ids of a band: those of the band before, or new ones.

    Objects that are not in the rows that are written have no number yet.
    """
    known: dict[int, int] = {}
    if seen.size:
        inherit(known, found.ids[: len(seen)], seen)
    numbers = np.zeros(len(found) + 1, np.int32)
    own = np.fromiter(known, np.int64, len(known))
    numbers[own] = np.fromiter(known.values(), np.int32, len(known))
    present = np.zeros(len(numbers), bool)
    present[np.unique(found.ids[written])] = True
    # the background has no number
    present[0] = False
    is_new = present & (numbers == 0)
    numbers[is_new] = owners.add(found.labels[is_new])
    return np.asarray(numbers[found.ids])
