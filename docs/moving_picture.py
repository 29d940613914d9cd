"""Join the pictures of docs/tour.py into a moving one, docs/images/dock.gif.

Run ``python docs/moving_picture.py``.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

IMAGES = Path(__file__).parent / "images"

FRAMES = {
    "filled": "1  Open a stack with a few labelled slices: the form fills itself in",
    "running": "2  Press Segment: the other slices are filled in one by one",
    "finished": "3  All slices are segmented",
    "checked": "4  Check: go to the most doubtful slice",
    "corrected": "5  Correct it with the brush, use it as an example, and run again",
}
"""File names without suffix, in order, and what is written below each."""

WIDTH = 1000
"""Pixels; the pictures are 1360 wide."""

CAPTION = 44
"""Height of the line of text."""

COLORS = 128
SECONDS = 2.8


def frame(path: Path, words: str) -> Image.Image:
    """Return a picture made smaller, with a line of text below it."""
    picture = Image.open(path).convert("RGB")
    height = round(picture.height * WIDTH / picture.width)
    canvas = Image.new("RGB", (WIDTH, height + CAPTION), "#ffffff")
    canvas.paste(picture.resize((WIDTH, height), Image.Resampling.LANCZOS))
    font = ImageFont.load_default(size=22)
    ImageDraw.Draw(canvas).text((16, height + CAPTION / 2), words, "#1f2933", font, anchor="lm")
    return canvas


def palette(frames: list[Image.Image]) -> Image.Image:
    """Return one palette for all frames, so that colors do not flicker."""
    sheet = Image.new("RGB", (WIDTH, frames[0].height * len(frames)))
    for n, each in enumerate(frames):
        sheet.paste(each, (0, n * each.height))
    return sheet.quantize(COLORS)


def write_moving_picture(folder: Path) -> None:
    """Join the pictures in a folder into ``dock.gif``."""
    frames = [frame(folder / f"{name}.png", words) for name, words in FRAMES.items()]
    colors = palette(frames)
    flat = [each.quantize(palette=colors, dither=Image.Dither.NONE) for each in frames]
    flat[0].save(
        folder / "dock.gif",
        save_all=True,
        append_images=flat[1:],
        duration=round(1000 * SECONDS),
        loop=0,
        optimize=True,
    )


if __name__ == "__main__":
    write_moving_picture(IMAGES)
