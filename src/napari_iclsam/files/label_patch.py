"""A part of the labels of a large plane: what lies outside is not read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.crops import PixelSlices
from napari_iclsam.files.label_values import as_labels
from napari_iclsam.files.space import ImageFile


@dataclass(frozen=True, slots=True, eq=False)
class LabelPatch:
    """Labels (H, W) of which a rectangle is known.

    Attributes
    ----------
    shape : tuple of int
        Of the whole plane.
    top, left : int
        Where the rectangle begins.
    values : ndarray, (h, w), integer
    """

    shape: tuple[int, ...]
    top: int
    left: int
    values: NDArray[Any]

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the labels."""
        return self.values.dtype

    def __getitem__(self, key: PixelSlices) -> NDArray[Any]:
        """Return a part of the rectangle, by rows and columns of the plane."""
        rows, columns = key
        return self.values[
            rows.start - self.top : rows.stop - self.top,
            columns.start - self.left : columns.stop - self.left,
        ]


def patch_of(labels: ImageFile, box: PixelSlices) -> ImageFile:
    """Return a label file that stays on disk with what a rectangle of it holds, as labels.

    Parameters
    ----------
    labels : ImageFile
        A plane, as it was read for labels.
    box : tuple of slice
        Rows and columns; those beyond the plane are left out.
    """
    top, left = (max(0, each.start) for each in box)
    part: Any = labels.array[top : box[0].stop, left : box[1].stop]
    known = as_labels(replace(labels, array=np.asarray(part)))
    patch: Any = LabelPatch(labels.shape, top, left, known.array)
    return replace(known, array=patch)
