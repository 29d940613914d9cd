"""Labels drawn half transparent on a picture. Knows neither torch nor Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Color: TypeAlias = tuple[int, int, int]
"""Red, green, blue in [0, 255]."""

DEFAULT_COLORS: tuple[Color, ...] = (
    (230, 80, 60),
    (60, 160, 230),
    (90, 200, 90),
    (240, 190, 60),
    (180, 110, 220),
    (80, 210, 200),
)
"""Of labels 1, 2, ... that have no color of their own; of further ones over again."""

OPACITY = 0.55
"""Of the labels: the image stays visible below them."""


def default_color(label: int) -> Color:
    """Return the color of a label that has none of its own."""
    return DEFAULT_COLORS[(label - 1) % len(DEFAULT_COLORS)]


def overlay(
    rgb: NDArray[np.uint8], labels: NDArray[Any], colors: Mapping[int, Color]
) -> NDArray[np.uint8]:
    """Draw labels on a picture.

    Parameters
    ----------
    rgb : ndarray, (H, W, 3), uint8
    labels : ndarray, (H, W), integer
        0 is background.
    colors : mapping of int to Color
        Of the labels to draw; others are left out.

    Returns
    -------
    ndarray, (H, W, 3), uint8
    """
    mixed = rgb.astype(np.float32)
    for label, color in colors.items():
        inside = labels == label
        paint = OPACITY * np.array(color, np.float32)
        mixed[inside] = (1 - OPACITY) * mixed[inside] + paint
    return mixed.astype(np.uint8)
