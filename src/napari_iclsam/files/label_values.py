"""What the numbers of one label file mean: whole numbers, colors, transparency, blur."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.space import ImageFile

WHOLE = 0.01
"""How far a number may be from a whole one to be taken for it.

Labels that went through a scale factor (scl_slope of NIfTI) or 32-bit arithmetic come back as
1.0000153 or 0.99999999; with a step of 1/255 as 0.996. Real fractions, such as probabilities, are
further off.
"""

_NOISE = 0.001
"""How far numbers that are all taken for 0 may be from each other: more tells objects apart."""

_COARSEST = 0.05
"""Largest step of a scale factor whose rounding is undone; a larger one may have lost labels."""

_MANY_VALUES = 8
"""A mask that was smoothed has at least so many values."""

_FAINTEST = 32
"""Value from which on a mask stands out from compressed black, and a color from numbers."""

_BLOCK = 8
"""Side of the blocks that JPEG compresses, in pixels."""

_LARGEST = int(np.iinfo(np.int32).max)


@dataclass(frozen=True, slots=True, eq=False)
class _Labels:
    """Whole numbers (H, W) or (Z, H, W), and what is to be said of how they were made."""

    array: NDArray[Any]
    notes: tuple[str, ...] = ()


def as_labels(file: ImageFile) -> ImageFile:
    """Return a label file as whole numbers of 0 or more, without colors.

    Whole numbers stored as floating point, grey values stored as colors, one color on black, a
    shape in the alpha channel, and masks blurred along their outlines (by JPEG, or by smoothing)
    are taken for what they stand for.

    Parameters
    ----------
    file : ImageFile
        As it was read for labels.

    Raises
    ------
    ValueError
        If it holds several colors, fractions, numbers below 0 or beyond 32 bits, or a mask that its
        compression spoilt.
    """
    path = file.path
    labels = _from_colors(file) if file.color else _Labels(_from_palette(file))
    array = _whole_numbers(labels.array, file)
    # Before the blur is undone, which takes the highest number for the object.
    if file.storage.black_at:
        array = _from_black(array, file.storage.black_at)
    labels = _sharpened(replace(labels, array=array), file)
    _check_range(labels.array, path)
    notes = (*file.notes, *labels.notes)
    return replace(file, array=labels.array, color=False, notes=notes)


def _check_range(array: NDArray[Any], path: Path) -> None:
    if array.size and array.min() < 0:
        lowest = array.min()
        raise ValueError(
            f"{path}: labels must be 0 (background) or positive; the smallest is {lowest}. "
            "If it marks pixels that are unknown, give them a free number such as 255 and ignore "
            "that one (--ignore-label 255)."
        )
    if array.size and array.max() > _LARGEST:
        raise ValueError(
            f"{path}: labels must be below 2**31; the largest is {array.max()}. Number them anew, "
            "for instance with skimage.segmentation.relabel_sequential."
        )


def _whole_numbers(array: NDArray[Any], file: ImageFile) -> NDArray[Any]:
    if array.dtype == bool:
        return array.astype(np.uint8)
    if np.issubdtype(array.dtype, np.integer):
        return array
    if np.iscomplexobj(array):
        raise ValueError(f"{file.path}: labels must be whole numbers; these are complex numbers.")
    whole = np.round(array)
    slope = file.storage.slope
    # A number is stored to within one step, however fine the labels were.
    tolerance = WHOLE if slope > _COARSEST else max(WHOLE, slope)
    fits = np.isfinite(array) & (np.abs(array - whole) <= tolerance)
    if not fits.all():
        bad = array[~fits]
        raise ValueError(
            f"{file.path}: labels must be whole numbers (0 background, 1, 2, ... objects); "
            f"{bad.size} of {array.size} pixels are not, such as {bad.flat[0]:g}."
        )
    _check_background(array[whole == 0], file)
    # Beyond this not every whole number is one of 64-bit floating point.
    if array.size and np.abs(whole).max() > 2**53:
        raise ValueError(
            f"{file.path}: labels must be below 2**31; the largest is {whole.max():g}."
        )
    return whole.astype(np.int64)


def _check_background(zeros: NDArray[Any], file: ImageFile) -> None:
    """Refuse labels that would all be 0, as after a scale factor of 1/255."""
    if zeros.size and np.ptp(zeros) > _NOISE:
        raise ValueError(
            f"{file.path}: labels must be whole numbers (0 background, 1, 2, ... objects); those "
            f"from {zeros.min():g} to {zeros.max():g} would all be 0. Undo the scaling (of NIfTI: "
            "scl_slope)."
        )


def _from_colors(file: ImageFile) -> _Labels:
    """Read labels off (..., 2 to 4 channels): grey, one color on black, or a shape in alpha."""
    array = file.array
    if not np.issubdtype(array.dtype, np.integer) and array.dtype != bool:
        array = _whole_numbers(array, file)
    has_alpha = array.shape[-1] in (2, 4)
    if not has_alpha:
        return _from_opaque(array, file)
    colors = array[..., :-1]
    visible = _visible(array[..., -1])
    if visible is None:
        return _from_opaque(colors, file)
    # Drawing programs save a shape so, in one color on nothing.
    if len(_different(colors[visible])) == 1:
        note = "The labels were read off its alpha channel."
        return _Labels(np.asarray(visible, np.uint8), (note,))
    # What is transparent may have any color beneath, and nobody sees it.
    return _from_opaque(np.where(visible[..., None], colors, 0), file)


def _from_opaque(colors: NDArray[Any], file: ImageFile) -> _Labels:
    is_grey = (colors == colors[..., :1]).all()
    return _Labels(colors[..., 0]) if is_grey else _one_color(colors, file)


def _one_color(colors: NDArray[Any], file: ImageFile) -> _Labels:
    """Return the mask of the only color on black; refuse several, and what may be no color."""
    if file.storage.lossy:
        raise ValueError(
            f"{file.path} is a color picture compressed as JPEG, which changes colors; save the "
            "labels as PNG or TIFF."
        )
    painted = [color for color in _different(colors) if color.any()]
    # Label numbers of three slices look like very dark colors.
    brightest = max(color.max() for color in painted)
    may_be_slices = file.storage.planar or brightest < _FAINTEST
    if len(painted) == 1 and not may_be_slices:
        return _Labels(np.asarray(colors.any(axis=-1), np.uint8))
    slices = ""
    if may_be_slices:
        count = file.array.shape[-1]
        slices = f" (or a stack of {count} slices that was saved as colors: save it as slices)"
    raise ValueError(
        f"{file.path} is a color picture of {_count(len(painted), 'color')}{slices}; "
        "labels must be one plane of whole numbers: 0 background, 1, 2, ... objects."
    )


def _different(colors: NDArray[Any]) -> NDArray[Any]:
    """Return the colors that occur, (n, channels)."""
    return np.unique(colors.reshape(-1, colors.shape[-1]), axis=0)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _visible(alpha: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return which pixels are more opaque than transparent; None if alpha tells nothing."""
    if not alpha.any() or alpha.min() == alpha.max():
        return None
    half = np.iinfo(alpha.dtype).max / 2 if alpha.dtype != bool else 0.5
    # A layer that was saved at low opacity is a shape all the same.
    threshold = min(half, alpha.max() / 2)
    visible = np.asarray(alpha > threshold)
    return None if visible.all() else visible


def _from_palette(file: ImageFile) -> NDArray[Any]:
    """Return the numbers of a palette with its transparent, else its black entry as background.

    Programs that reduce colors number them as they please: white may be 0 and black 1.
    """
    palette = file.storage.palette
    array = file.array
    if not palette:
        return array
    background = file.storage.transparent
    if background is None:
        background = _black_entry(palette, array)
    # The two change places, so that no number is lost.
    changed = array.copy()
    changed[array == background] = 0
    changed[array == 0] = background
    return changed


def _black_entry(palette: tuple[tuple[int, int, int], ...], array: NDArray[Any]) -> int:
    """Return the entry that is black where entry 0 shows another color, else 0."""
    # Palettes are filled up with black: only entries that are used count.
    black = []
    for number, color in enumerate(palette):
        if color == (0, 0, 0) and (array == number).any():
            black.append(number)
    shows_other = palette[0] != (0, 0, 0) and bool((array == 0).any())
    return black[0] if len(black) == 1 and shows_other else 0


def _from_black(array: NDArray[Any], black_at: int) -> NDArray[Any]:
    """Return labels of a file that counts from white to black as viewers show them.

    Label numbers that were written into such a file as they are have 0 for background; the shown
    values would then have no background at all, and the numbers are kept.
    """
    shown = np.asarray(array.dtype.type(black_at) - array)
    return shown if (shown == 0).any() or not (array == 0).any() else array


def _sharpened(labels: _Labels, file: ImageFile) -> _Labels:
    """Undo the blur of a mask of two values; refuse what lossy compression has spoilt otherwise."""
    array = labels.array
    lossy = file.storage.lossy
    values = np.unique(array)
    if len(values) <= 2:
        return labels
    if _was_mask(array, values, lossy=lossy):
        highest = int(values[-1])
        how = "compression" if lossy else "smoothing"
        note = (
            f"Its {how} made {len(values)} values of 0 and {highest}; "
            "each counts as the nearer one."
        )
        # 255, as masks are written: beside masks of 0 and 1 it is joined with them.
        sharp = np.where(array > highest / 2, 255, 0).astype(np.uint8)
        return _Labels(sharp, (*labels.notes, note))
    if lossy:
        raise ValueError(
            f"{file.path} is compressed as JPEG, which changes numbers: {len(values)} values were "
            "found where labels have a few. Save the labels as PNG or TIFF."
        )
    return labels


def _was_mask(array: NDArray[Any], values: NDArray[Any], *, lossy: bool) -> bool:
    """Tell whether labels are a mask that was blurred; the values that occur are ascending."""
    highest = int(values[-1])
    if lossy:
        is_bright = highest >= _FAINTEST and values[0] >= 0
        return is_bright and _is_compressed_mask(array, highest)
    # Without compression only white, which smoothing leaves within an object, says mask.
    is_white = highest in (255, 65535)
    return is_white and len(values) >= _MANY_VALUES and _is_blurred_mask(array, highest)


def _is_blurred_mask(array: NDArray[Any], highest: int) -> bool:
    """Tell whether values between 0 and the highest are ramps, not flat areas as labels are."""
    between = (array > 0) & (array < highest)
    if between.mean() > 0.5:
        return False
    inner = between[..., :-1, :-1]
    here = array[..., :-1, :-1]
    as_right = here == array[..., :-1, 1:]
    as_below = here == array[..., 1:, :-1]
    # On a ramp neighbors differ; an area of one label is flat.
    same = inner & as_right & as_below
    flat = float(same.sum()) / max(1, int(inner.sum()))
    return flat < 0.1 or (flat < 0.5 and _is_compressed_mask(array, highest))


def _is_compressed_mask(array: NDArray[Any], highest: int) -> bool:
    """Tell whether a mask of 0 and the highest value went through JPEG.

    JPEG changes a mask near its outlines only, within blocks of 8 x 8 pixels; elsewhere it stays
    nearly what it was.
    """
    from scipy import ndimage

    low = array < highest / 4
    high = array > highest * 3 / 4
    between = ~(low | high)
    # Planes of a stack are compressed each by itself.
    plane = (1,) * (array.ndim - 2)
    # Along an outline values between are two pixels wide at most.
    square = np.ones((*plane, 3, 3), bool)
    if ndimage.binary_erosion(between, square).any():
        return False
    near = (*plane, 2 * _BLOCK + 1, 2 * _BLOCK + 1)
    far_from_high = low & ~ndimage.maximum_filter(high | between, near)
    far_from_low = high & ~ndimage.maximum_filter(low | between, near)
    is_black = (array[far_from_high] <= highest / 16).all()
    is_white = (array[far_from_low] >= highest * 15 / 16).all()
    return bool(is_black and is_white)
