"""Run the commands of the pages on their data; write their numbers and pictures anew.

``python docs/jobs/run_jobs.py [PAGE ...]`` with the real models; some minutes.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from job_data import JOBS
from numpy.typing import NDArray
from PIL import Image

from napari_iclsam import dice
from napari_iclsam.core.images.overlay import overlay
from napari_iclsam.files import read_image, read_labels

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parent / "images"

COLORS = {1: (40, 210, 200)}
_TABLE_LINES = 4
"""So many lines of a table are shown."""

HEIGHT = 220
"""Pixels of a panel."""


def commands_of(page: Path) -> list[list[str]]:
    """Return the commands of a page's blocks that are to be run."""
    found = []
    for block in re.findall(r"^```bash\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            found.append(shlex.split(line))
    return found


def main() -> None:
    """Run pages, by default all that have data."""
    for name in sys.argv[1:] or JOBS:
        with tempfile.TemporaryDirectory() as place:
            os.chdir(place)
            truth = JOBS[name]()
            began = time.process_time() + _of_children()
            for command in commands_of(HERE / f"{name}.md"):
                subprocess.run(
                    [sys.executable, "-m", "napari_iclsam.cli", *command[1:]], check=True
                )
            seconds = time.process_time() + _of_children() - began
            said = SHOW[name](truth)
            text = f"{said} The commands took {seconds:.0f} seconds of one processor core.\n"
            (HERE / f"{name}_numbers.md").write_text(text, encoding="utf-8")
            print(name, text, flush=True)
            os.chdir(HERE)


def _of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def show_nuclei(truth: NDArray[np.uint8]) -> str:
    """Draw the mosaic, and say how many of the nuclei outside the corner were found."""
    image = read_image(Path("mosaic.tif")).array
    ids = read_labels(Path("nuclei.tif")).array
    corner = read_labels(Path("corner.tif")).array
    save("nuclei", [panel(image, corner), panel(image, (ids > 0).astype(np.int32))])
    lines = Path("nuclei.csv").read_text("utf-8").splitlines()[:_TABLE_LINES]
    block = "\n".join(["```text", *lines, "```", ""])
    (HERE / "nuclei_table.md").write_text(block, encoding="utf-8")
    outside = np.ones(truth.shape, bool)
    outside[:192, :192] = False
    score = dice((ids > 0)[outside], (truth > 0)[outside])
    return (
        f"{len(np.unique(ids)) - 1} nuclei were found; the Dice outside the corner is {score:.2f}."
    )


def show_organ(truth: NDArray[np.uint8]) -> str:
    """Draw slices of the CT, and give the Dice of the slices that were not labelled."""
    image = read_image(Path("ct.nii.gz")).array
    found = read_labels(Path("organ.nii.gz")).array
    given = read_labels(Path("organ_labels.nii.gz")).array
    scan = np.clip((image + 160) / 400 * 255, 0, 255).astype(np.uint8)
    planes = (5, 12, 20, 26)
    save("organ", [panel(scan[plane], found[plane]) for plane in planes])
    return _in_words(found, truth, given, "slices")


def show_time(truth: NDArray[np.uint8]) -> str:
    """Draw frames, and give the Dice of those that were not labelled."""
    movie = read_image(Path("movie.tif")).array
    found = read_labels(Path("movie_cells.tif")).array
    given = read_labels(Path("movie_labels.tif")).array
    save("time", [panel(movie[frame], found[frame]) for frame in (2, 6, 11, 15)])
    return _in_words(found, truth, given, "frames")


def show_folder(truth: NDArray[np.uint8]) -> str:
    """Draw pictures of the folder, and give their Dice."""
    panels = []
    scores = []
    for number in range(3, len(truth)):
        picture = read_image(Path(f"eyes/eye{number}.png")).array
        found = read_labels(Path(f"discs/eye{number}_labels.png")).array
        panels.append(panel(picture, found))
        scores.append(dice(found > 0, truth[number] > 0))
    save("folder", panels[:4])
    return f"The Dice of the {len(scores)} pictures is {min(scores):.2f} to {max(scores):.2f}."


SHOW = {"nuclei": show_nuclei, "organ": show_organ, "time": show_time, "folder": show_folder}


def _in_words(
    found: NDArray[np.int32], truth: NDArray[np.uint8], given: NDArray[np.int32], noun: str
) -> str:
    """Return the Dice of the planes that were not labelled, all together."""
    others = ~given.any(axis=(1, 2))
    score = dice(found[others] > 0, truth[others] > 0)
    return f"The Dice of the {others.sum()} other {noun} together is {score:.2f}."


def panel(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> Image.Image:
    """Return an image with its labels, at the height of all panels."""
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
    drawn = Image.fromarray(overlay(rgb, labels.astype(np.int32), COLORS))
    return drawn.resize((HEIGHT * drawn.width // drawn.height, HEIGHT), Image.Resampling.BILINEAR)


def save(name: str, panels: Sequence[Image.Image]) -> None:
    gap = 6
    width = sum(panel.width + gap for panel in panels) - gap
    joined = Image.new("RGB", (width, HEIGHT), "white")
    left = 0
    for panel in panels:
        joined.paste(panel, (left, 0))
        left += panel.width + gap
    joined.save(IMAGES / f"job-{name}.png", optimize=True)


if __name__ == "__main__":
    main()
