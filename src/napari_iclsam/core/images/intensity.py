"""Grey values of any kind -> 8-bit RGB, and what each network wants of that."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.settings import Channel

CLIPPED = (0.1, 99.9)
"""Percentiles that become black and white when an image that is not 8-bit is scaled: hot pixels
must not decide."""

_PADDING_SHARE = 0.0005
"""Least share of an image that padding covers; the percentiles take care of less."""

_GAP = 0.2
"""How far padding lies from all other values, as a share of the range of these: -2000 below air at
-1000."""

_GAP_FROM_ZERO = 1.0
"""As `_GAP`, of padding by 0: the background of a brain without its skull is 0, too, and must stay
darker than it."""

_GROSS_GAP = 10.0
"""As `_GAP`, of a value that stands for "no data" wherever it lies: -32768, -9999, 1e20."""

_FILLED = 0.95
"""Share of its rows and columns, from first to last pixel, that a field of view fills."""

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue (ITU-R BT.601)."""


def as_rgb8(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an image of any dtype to 8-bit RGB.

    8-bit images are taken as they are, color images in [0, 1] (floating point) are multiplied by
    255, everything else is scaled between its percentiles `CLIPPED`, of a grey image without
    padding (`in_field_of_view`). A constant image becomes zeros.

    Parameters
    ----------
    image : ndarray, (H, W), (H, W, 3) or (H, W, 4)
        Finite numbers or booleans. A fourth channel (alpha) is dropped.

    Returns
    -------
    ndarray, (H, W, 3), uint8

    Raises
    ------
    ValueError
        If the shape is another one, a side is empty, or a pixel is not finite.
    TypeError
        If the dtype is not a real number.
    """
    return to_rgb8(check_image(image))


def to_rgb8(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an image that `check_image` has passed; see `as_rgb8`."""
    if image.ndim == 3:
        image = image[..., :3]
    if image.dtype != np.uint8:
        image = _to_8bit(image)
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image)


def to_8bit(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an image that `check_image` has passed to 8 bits, as `as_rgb8` does.

    Its channels stay as they are.
    """
    return image if image.dtype == np.uint8 else _to_8bit(image)


def _to_8bit(image: NDArray[Any]) -> NDArray[np.uint8]:
    values: NDArray[np.float64] = image.astype(np.float64)
    seen = values[in_field_of_view(values)] if image.ndim == 2 else values
    low, high = np.percentile(seen, CLIPPED)
    if not high > low:  # almost all pixels equal: what there is lies in the extremes
        low = values.min()
        high = values.max()
    if (
        image.ndim == 3
        and np.issubdtype(image.dtype, np.floating)
        and values.min() >= 0
        and values.max() <= 1
    ):
        low = 0.0
        high = 1.0
    if not high > low:
        return np.zeros(image.shape, np.uint8)
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * 255 + 0.5).astype(np.uint8)


def in_field_of_view(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell the pixels of a grey image from padding outside the field of view.

    Padding is one extreme value, repeated exactly and detached from all others, that fills corners
    of the image around a convex part (a circle, a rectangle, also a rotated one), or that is so far
    off that it can only mean "no data".

    Parameters
    ----------
    image : ndarray, (H, W)
        Finite numbers.

    Returns
    -------
    ndarray, (H, W), bool
    """
    seen = np.ones(image.shape, bool)
    for _ in range(4):  # a scan may be padded twice, by the scanner and by a program
        padding = _padding(image, seen)
        if padding is None:
            break
        seen &= ~padding
    return seen


def _padding(image: NDArray[Any], seen: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return the pixels of one value that pads the image, if there is one."""
    for extreme in (image[seen].min(), image[seen].max()):
        # equal to the last digit: noise at the edge of the range is not
        at: NDArray[np.bool_] = seen & np.asarray(image == extreme)
        rest = seen & ~at
        if at.mean() < _PADDING_SHARE or rest.mean() < _PADDING_SHARE:
            continue
        low, high = np.percentile(image[rest], CLIPPED)
        gap = max(low - extreme, extreme - high)
        # 0 is a grey value of its own in too many images to mean "no data" wherever it lies
        if gap > _GROSS_GAP * (high - low) > 0 and extreme != 0:
            return at
        least = _GAP_FROM_ZERO if extreme == 0 else _GAP
        if gap > least * (high - low) > 0 and _surrounds(at, rest, seen):
            return at
    return None


def _surrounds(
    padding: NDArray[np.bool_], rest: NDArray[np.bool_], seen: NDArray[np.bool_]
) -> bool:
    """Tell whether padding fills a corner or more, around a field without dents and holes."""
    rows = np.flatnonzero(seen.any(axis=1))
    columns = np.flatnonzero(seen.any(axis=0))
    # one suffices: a crop out of a round field of view holds no more
    ends = [0, -1]
    if not padding[np.ix_(rows[ends], columns[ends])].any():
        return False
    # not all of it, since dark pixels inside may have the value of the padding
    return all(rest.sum() >= _FILLED * _spanned(along) for along in (rest, rest.T))


def _spanned(part: NDArray[np.bool_]) -> int:
    """Count the pixels from the first to the last of a part in each row."""
    filled = part[part.any(axis=1)]
    first = filled.argmax(axis=1)
    last = filled.shape[1] - filled[:, ::-1].argmax(axis=1)
    return int((last - first).sum())


def check_image(image: NDArray[Any], name: str = "image") -> NDArray[Any]:
    """Return the image as an array if it is one plane of finite numbers, else raise.

    See `as_rgb8` for the errors.
    """
    image = np.asarray(image)
    color = image.ndim == 3 and image.shape[2] in (3, 4)
    if image.ndim != 2 and not color:
        raise ValueError(
            f"The {name} must be one plane, (height, width) or (height, width, 3 or 4 channels); "
            f"got shape {image.shape}. For a stack, use predict_stack or choose a plane."
        )
    if min(image.shape[:2]) < 2:
        raise ValueError(
            f"The {name} must have at least 2 x 2 pixels; got {image.shape[0]} x {image.shape[1]}."
        )
    is_number = np.issubdtype(image.dtype, np.number) or image.dtype == bool
    if not is_number or np.iscomplexobj(image):
        raise TypeError(f"The {name} must hold real numbers; got dtype {image.dtype}.")
    if np.issubdtype(image.dtype, np.floating):
        bad = image.size - int(np.count_nonzero(np.isfinite(image)))
        if bad:
            raise ValueError(
                f"The {name} has {bad} of {image.size} values that are not finite (NaN or "
                "infinity). Replace them first, for instance with numpy.nan_to_num."
            )
    return image


def check_contrast(image: NDArray[Any], name: str = "image") -> None:
    """Raise ValueError if all values of an image or stack are equal: nothing can be told apart."""
    low = image.min()
    high = image.max()
    if low == high:
        raise ValueError(
            f"The {name} has the value {low} everywhere: there is nothing to see in it."
        )


def is_constant(rgb: NDArray[np.uint8]) -> bool:
    """Return whether an image has one value everywhere: nothing can be seen in it."""
    return bool(np.ptp(rgb) == 0)


def unit_channels(
    rgb: NDArray[np.uint8], channels: int, channel: Channel = "luminance"
) -> NDArray[np.float32]:
    """Make the in-context model's input of an 8-bit RGB image, (channels, H, W) in [0, 255].

    Parameters
    ----------
    rgb : ndarray, (H, W, 3), uint8
    channels : {1, 3}
        What the model takes.
    channel : {"luminance", "red", "green", "blue"}
        What a model with one channel sees.
    """
    values = rgb.astype(np.float32)
    if channels == 3:
        return np.ascontiguousarray(values.transpose(2, 0, 1))
    if channel == "luminance":
        # as grey images have three equal channels, they stay what they are
        return (values @ LUMINANCE)[None]
    return np.ascontiguousarray(values[None, ..., ("red", "green", "blue").index(channel)])
