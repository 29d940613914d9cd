"""The eight orientations of EXIF and TIFF: how pixels are turned upright, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class _Steps:
    """Swap rows with columns first; then mirror the rows, the columns."""

    swap: bool
    mirror_rows: bool
    mirror_columns: bool


_ORIENTATIONS: Mapping[int, _Steps] = {
    1: _Steps(swap=False, mirror_rows=False, mirror_columns=False),
    2: _Steps(swap=False, mirror_rows=False, mirror_columns=True),
    3: _Steps(swap=False, mirror_rows=True, mirror_columns=True),
    4: _Steps(swap=False, mirror_rows=True, mirror_columns=False),
    5: _Steps(swap=True, mirror_rows=False, mirror_columns=False),
    6: _Steps(swap=True, mirror_rows=False, mirror_columns=True),
    7: _Steps(swap=True, mirror_rows=True, mirror_columns=True),
    8: _Steps(swap=True, mirror_rows=True, mirror_columns=False),
}
"""By the value of tag 274 (TIFF 6.0, section 8; EXIF 2.3, section 4.6.4)."""


def orientation_of(value: object) -> int:
    """Return a value of tag 274 if it is one, else 1: upright."""
    return value if isinstance(value, int) and value in _ORIENTATIONS else 1


def swaps_sides(orientation: int) -> bool:
    """Tell whether height and width change places."""
    return _ORIENTATIONS[orientation].swap


def to_upright(array: NDArray[Any], orientation: int, rows: int = 0) -> NDArray[Any]:
    """Turn stored pixels upright; ``rows`` is the axis of the rows, columns are the next."""
    steps = _ORIENTATIONS[orientation]
    if steps.swap:
        array = np.swapaxes(array, rows, rows + 1)
    return _mirror(array, steps, rows)


def to_stored(array: NDArray[Any], orientation: int, rows: int = 0) -> NDArray[Any]:
    """Undo `to_upright`."""
    steps = _ORIENTATIONS[orientation]
    # A mirror is its own inverse, so the steps are the same in the other order.
    array = _mirror(array, steps, rows)
    return np.swapaxes(array, rows, rows + 1) if steps.swap else array


def _mirror(array: NDArray[Any], steps: _Steps, rows: int) -> NDArray[Any]:
    if steps.mirror_rows:
        array = np.flip(array, rows)
    if steps.mirror_columns:
        array = np.flip(array, rows + 1)
    return array
