"""A picture of images, truth and result beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_iclsam.core.images.intensity import as_rgb8

COLORS = (
    (230, 80, 60),
    (70, 130, 240),
    (90, 190, 90),
    (240, 190, 60),
    (170, 100, 210),
    (80, 200, 210),
)
"""Red, green, blue of the first labels; of further ones over again."""

_TILE, _GAP, _TEXT = 220, 6, 22
"""Pixels: the longer side of a tile, the space between tiles, the height of a line of text."""

_OPACITY = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One image of the picture: what is written over it, and its truth and result, all (H, W)."""

    caption: str
    image: NDArray[Any]
    truth: NDArray[Any]
    result: NDArray[Any]


def write_picture(path: Path, columns: Sequence[Column], names: Mapping[int, str]) -> None:
    """Write rows of image, truth and result as a PNG file, with a legend of the labels."""
    height, width = columns[0].image.shape[:2]
    factor = _TILE / max(height, width)
    tile = round(width * factor), round(height * factor)
    rows = (("image", None), ("truth", "truth"), ("result", "result"))
    left = 64
    size = (left + len(columns) * (tile[0] + _GAP), _TEXT + len(rows) * (tile[1] + _GAP) + _TEXT)
    canvas = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    for n, column in enumerate(columns):
        x = left + n * (tile[0] + _GAP)
        draw.text((x + tile[0] / 2, _TEXT / 2), column.caption, "black", font, anchor="mm")
        for m, (_, field) in enumerate(rows):
            drawn = (
                as_rgb8(column.image)
                if field is None
                else _over(column.image, getattr(column, field), names)
            )
            canvas.paste(Image.fromarray(drawn).resize(tile), (x, _TEXT + m * (tile[1] + _GAP)))
    for m, (name, _) in enumerate(rows):
        draw.text(
            (left - 8, _TEXT + m * (tile[1] + _GAP) + tile[1] / 2), name, "black", font, anchor="rm"
        )
    x = left
    for n, name in enumerate(names.values()):
        draw.rectangle((x, size[1] - 17, x + 12, size[1] - 5), fill=COLORS[n % len(COLORS)])
        draw.text((x + 18, size[1] - _TEXT / 2), name, "black", font, anchor="lm")
        x += 40 + round(draw.textlength(name, font))
    canvas.save(path)


def _over(image: NDArray[Any], labels: NDArray[Any], names: Mapping[int, str]) -> NDArray[np.uint8]:
    """Color the labels of an image."""
    picture = as_rgb8(image).astype(float)
    for n, label in enumerate(names):
        inside = labels == label
        picture[inside] = (1 - _OPACITY) * picture[inside] + _OPACITY * np.array(
            COLORS[n % len(COLORS)]
        )
    return picture.astype(np.uint8)
