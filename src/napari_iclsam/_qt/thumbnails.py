"""Small pictures of an image with its labels on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPixmap

from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.images.regions import LabelledRegion, painted_region

SIDE = 56
"""Of a thumbnail, in pixels."""

_DETAIL = 2 * SIDE
"""Pixels that are kept of the longer side: enough for a screen with double resolution."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image and its labels, small.

    Attributes
    ----------
    rgb : ndarray, (h, w, 3), uint8
    labels : ndarray, (h, w), int32
    size : tuple of int
        Height and width of the original.
    ids : tuple of int
        Labels in the original.
    part : LabelledRegion, optional
        Where labels lie in a large image that is labelled only in a part.
    """

    rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]
    size: tuple[int, int]
    ids: tuple[int, ...]
    part: LabelledRegion | None = None


def picture(image: NDArray[Any], labels: NDArray[Any]) -> Picture:
    """Return a small picture of a slice. Pixels that are not finite are black.

    Parameters
    ----------
    image : ndarray, (H, W) or (H, W, 3 or 4)
    labels : ndarray, (H, W), integer
    """
    height, width = labels.shape
    step = max(1, -(-max(height, width) // _DETAIL))
    small = image[::step, ::step]
    if np.issubdtype(small.dtype, np.floating):
        small = np.nan_to_num(small, posinf=0, neginf=0)
    return Picture(
        rgb=as_rgb8(small),
        labels=np.asarray(labels[::step, ::step], np.int32),
        size=(height, width),
        # thin objects may be lost in the small labels
        ids=tuple(np.unique(labels[labels > 0]).tolist()),
        part=painted_region(labels > 0),
    )


def pixmap(rgb: NDArray[np.uint8], side: int, *, smooth: bool = True) -> QPixmap:
    """Return a picture in the middle of a transparent square.

    Parameters
    ----------
    rgb : ndarray, (H, W, 3), uint8
    side : int
        Of the square, in pixels.
    smooth : bool
        Interpolate, or show pixels as squares.
    """
    rgb = np.ascontiguousarray(rgb)
    height, width = rgb.shape[:2]
    # Qt does not own the array's memory: the copy does
    image = QImage(rgb.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    mode = Qt.TransformationMode.FastTransformation
    if smooth:
        mode = Qt.TransformationMode.SmoothTransformation
    scaled = image.scaled(side, side, Qt.AspectRatioMode.KeepAspectRatio, mode)
    square = QPixmap(side, side)
    square.fill(QColor(0, 0, 0, 0))
    painter = QPainter(square)
    painter.drawImage((side - scaled.width()) // 2, (side - scaled.height()) // 2, scaled)
    painter.end()
    return square
