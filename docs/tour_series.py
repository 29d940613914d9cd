"""Segment a folder of images in the dock by mouse, correct one, and take pictures.

``xvfb-run -a -s "-screen 0 1400x900x24" python docs/tour_series.py FOLDER``; those of the
documentation are ``series-checked.png`` and ``series-corrected.png``.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tour import Tour

sys.path.insert(0, str(Path(__file__).parent / "jobs"))
from job_data import eyes


def draw_series(folder: Path) -> NDArray[np.uint8]:
    """Write eight pictures, three of them with a mask beside; return the true masks (8, H, W)."""
    here = Path.cwd()
    os.chdir(folder)
    truth = eyes()
    os.chdir(here)
    for picture in (folder / "eyes").iterdir():
        shutil.move(picture, folder / "labelled")
    return truth


def open_all(tour: Tour, folder: Path) -> None:
    """Add a folder, then open its files one after the other."""
    control, form = tour.dock.review.series, tour.dock.series
    control.add_folder(folder)
    form.list.itemClicked.emit(form.list.topLevelItem(0), 0)
    tour.wait(lambda: not control.opener.is_busy)
    while form.next.isEnabled():
        tour.click(form.next)
        tour.wait(lambda: not control.opener.is_busy)
        tour.settle()


def correct(tour: Tour, truth: NDArray[np.uint8]) -> None:
    """Put a dot of the brush where the disc of the image on view is missed most."""
    result = tour.viewer.layers.selection.active
    number = int(next(letter for letter in result.name if letter.isdigit()))
    missed = ndimage.gaussian_filter((truth[number] > result.data).astype(float), 2)
    place = np.array(np.unravel_index(missed.argmax(), missed.shape))
    tour.paint(result, place, place)


def main() -> None:
    """Take the tour."""
    tour = Tour(Path(sys.argv[1]))
    tour.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as drawn:
        truth = draw_series(Path(drawn))
        open_all(tour, Path(drawn) / "labelled")
        tour.run(tour.dock.bar.segment, "series")
        tour.click(tour.dock.bar.check)
        tour.picture("series-checked")
        correct(tour, truth)
        print(tour.dock.bar.improve.text(), flush=True)
        tour.run(tour.dock.bar.improve, "series-corrected")
        tour.viewer.close()


if __name__ == "__main__":
    main()
