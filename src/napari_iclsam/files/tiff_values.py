"""What numbers of a TIFF file stand for: grey values from white to black, entries of a palette."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOSSY = ("JPEG", "WEBP", "JPEG_LOSSY", "OJPEG", "JPEGXR", "JPEGXL", "LERC")
"""Names of compressions that change numbers."""


def colors_of(palette: NDArray[Any]) -> tuple[tuple[int, int, int], ...]:
    """Return the entries of a palette, (N, 3), as numbers of Python."""
    colors = []
    for red, green, blue in palette:
        colors.append((int(red), int(green), int(blue)))
    return tuple(colors)


def inverted(array: NDArray[Any], bits: int) -> NDArray[Any]:
    """Return grey values counted from black to white, of those counted from white to black."""
    if array.dtype == bool:
        return ~array
    if np.issubdtype(array.dtype, np.unsignedinteger):
        return np.asarray(array.dtype.type(2**bits - 1) - array)
    # TIFF defines it for unsigned numbers only; of others, order is what counts.
    return ~array if np.issubdtype(array.dtype, np.integer) else array.max() - array


def is_ramp(palette: NDArray[Any]) -> bool:
    """Tell whether brighter entries follow darker ones, as in tables that color a grey image."""
    # Signed, for differences of unsigned numbers never fall below 0.
    steps = np.diff(palette.astype(int), axis=0)
    return bool((steps >= 0).all())
