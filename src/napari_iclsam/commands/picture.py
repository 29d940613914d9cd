"""A picture of images, truth and result beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.images.overlay import default_color, overlay

_TILE, _GAP, _TEXT = 220, 6, 22
"""Pixels: the longer side of a tile, the space between tiles, the height of a line of text."""


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
    colors = {label: default_color(label) for label in names}
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
                else overlay(as_rgb8(column.image), getattr(column, field), colors)
            )
            canvas.paste(Image.fromarray(drawn).resize(tile), (x, _TEXT + m * (tile[1] + _GAP)))
    for m, (name, _) in enumerate(rows):
        draw.text(
            (left - 8, _TEXT + m * (tile[1] + _GAP) + tile[1] / 2), name, "black", font, anchor="rm"
        )
    x = left
    for label, name in names.items():
        draw.rectangle((x, size[1] - 17, x + 12, size[1] - 5), fill=colors[label])
        draw.text((x + 18, size[1] - _TEXT / 2), name, "black", font, anchor="lm")
        x += 40 + round(draw.textlength(name, font))
    canvas.save(path)
