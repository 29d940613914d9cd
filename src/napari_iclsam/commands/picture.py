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

_TILE = 220
"""Pixels of the longer side of a tile."""

_GAP = 6
"""Pixels between tiles."""

_TEXT = 22
"""Pixels of the height of a line of text."""

_LEFT = 64
"""Pixels at the left for the names of the rows."""

_ROWS = ("image", "truth", "result")


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One image of the picture: what is written over it, and its truth and result, all (H, W)."""

    caption: str
    image: NDArray[Any]
    truth: NDArray[Any]
    result: NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where tiles and text stand; all in pixels, from the upper left corner.

    Attributes
    ----------
    tile : (int, int)
        Width and height of each tile.
    columns : int
    """

    tile: tuple[int, int]
    columns: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole picture."""
        # Under the tiles stands the legend, a line of text.
        return self.column(self.columns), self.row(len(_ROWS)) + _TEXT

    def column(self, number: int) -> int:
        """Return the left border of a column."""
        return _LEFT + number * (self.tile[0] + _GAP)

    def row(self, number: int) -> int:
        """Return the upper border of a row."""
        return _TEXT + number * (self.tile[1] + _GAP)


@dataclass(frozen=True, slots=True, eq=False)
class _Canvas:
    """The picture that is being drawn, and what draws on it."""

    picture: Image.Image
    draw: ImageDraw.ImageDraw
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont
    layout: _Layout

    def text(self, place: tuple[float, float], words: str, anchor: str) -> None:
        """Write words; the anchor is Pillow's."""
        self.draw.text(place, words, "black", self.font, anchor=anchor)


def write_picture(path: Path, columns: Sequence[Column], names: Mapping[int, str]) -> None:
    """Write rows of image, truth and result as a PNG file, with a legend of the labels."""
    colors = {label: default_color(label) for label in names}
    canvas = _blank(_layout(columns))
    for number, column in enumerate(columns):
        _draw_column(canvas, number, column, colors)
    _draw_row_names(canvas)
    _draw_legend(canvas, names, colors)
    canvas.picture.save(path)


def _layout(columns: Sequence[Column]) -> _Layout:
    # All columns are planes of one stack, so the first one's size is that of all.
    height, width = columns[0].image.shape[:2]
    factor = _TILE / max(height, width)
    tile = (round(width * factor), round(height * factor))
    return _Layout(tile, len(columns))


def _blank(layout: _Layout) -> _Canvas:
    picture = Image.new("RGB", layout.size, "white")
    font = ImageFont.load_default(size=14)
    return _Canvas(picture, ImageDraw.Draw(picture), font, layout)


def _draw_column(
    canvas: _Canvas, number: int, column: Column, colors: Mapping[int, tuple[int, int, int]]
) -> None:
    layout = canvas.layout
    left = layout.column(number)
    middle = left + layout.tile[0] / 2
    canvas.text((middle, _TEXT / 2), column.caption, "mm")
    image = as_rgb8(column.image)
    tiles = (
        image,
        overlay(image, column.truth, colors),
        overlay(image, column.result, colors),
    )
    for row, tile in enumerate(tiles):
        resized = Image.fromarray(tile).resize(layout.tile)
        canvas.picture.paste(resized, (left, layout.row(row)))


def _draw_row_names(canvas: _Canvas) -> None:
    layout = canvas.layout
    for number, name in enumerate(_ROWS):
        middle = layout.row(number) + layout.tile[1] / 2
        canvas.text((_LEFT - 8, middle), name, "rm")


def _draw_legend(
    canvas: _Canvas, names: Mapping[int, str], colors: Mapping[int, tuple[int, int, int]]
) -> None:
    bottom = canvas.layout.size[1]
    left = _LEFT
    for label, name in names.items():
        box = (left, bottom - 17, left + 12, bottom - 5)
        canvas.draw.rectangle(box, fill=colors[label])
        canvas.text((left + 18, bottom - _TEXT / 2), name, "lm")
        # Names differ in length, so the next entry begins where this one ends.
        left += 40 + round(canvas.draw.textlength(name, canvas.font))
