"""Small pictures of an image with its labels on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPixmap

from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.images.support import LabelStyle

SIDE = 56
"""Of a thumbnail, in pixels."""

_COLORS = (
    (230, 80, 60),
    (60, 160, 230),
    (90, 200, 90),
    (240, 190, 60),
    (180, 110, 220),
    (80, 210, 200),
)


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
    """

    rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]
    size: tuple[int, int]
    ids: tuple[int, ...]


def picture(image: NDArray[Any], labels: NDArray[Any], side: int = 2 * SIDE) -> Picture:
    """Make a small picture of a plane, at most ``side`` pixels high and wide. What is not finite is black."""
    step = max(1, -(-max(labels.shape) // side))
    small = image[::step, ::step]
    if np.issubdtype(small.dtype, np.floating):
        small = np.nan_to_num(small, posinf=0, neginf=0)
    ids = tuple(int(i) for i in np.unique(labels) if i)
    return Picture(
        as_rgb8(small),
        np.asarray(labels[::step, ::step], np.int32),
        (labels.shape[0], labels.shape[1]),
        ids,
    )


def color_of(label: int, styles: Mapping[int, LabelStyle]) -> tuple[int, int, int]:
    """Return red, green, blue of a label in [0, 255]: its own color, else one of a few."""
    style = styles.get(label)
    if style is not None and style.color is not None:
        red, green, blue = (round(255 * c) for c in style.color[:3])
        return red, green, blue
    return _COLORS[label % len(_COLORS)]


def overlay(
    rgb: NDArray[np.uint8], labels: NDArray[Any], styles: Mapping[int, LabelStyle]
) -> NDArray[np.uint8]:
    """Return a picture with labels on it, half transparent."""
    mixed = rgb.astype(np.float32)
    for label in np.unique(labels):
        if label:
            where = labels == label
            mixed[where] = 0.45 * mixed[where] + 0.55 * np.array(
                color_of(int(label), styles), np.float32
            )
    return mixed.astype(np.uint8)


def pixmap(rgb: NDArray[np.uint8], side: int, *, smooth: bool = True) -> QPixmap:
    """Return a picture in the middle of a square."""
    rgb = np.ascontiguousarray(rgb)
    height, width = rgb.shape[:2]
    image = QImage(rgb.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    mode = (
        Qt.TransformationMode.SmoothTransformation
        if smooth
        else Qt.TransformationMode.FastTransformation
    )
    scaled = image.scaled(side, side, Qt.AspectRatioMode.KeepAspectRatio, mode)
    square = QPixmap(side, side)
    square.fill(QColor(0, 0, 0, 0))
    painter = QPainter(square)
    painter.drawImage((side - scaled.width()) // 2, (side - scaled.height()) // 2, scaled)
    painter.end()
    return square
