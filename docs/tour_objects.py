"""Find the nuclei of a mosaic in the dock by mouse, from its labelled corner, and take pictures.

``xvfb-run -a -s "-screen 0 1400x900x24" python docs/tour_objects.py FOLDER``; those of the
documentation are ``objects-region.png``, ``objects-result.png`` and ``objects-row.png``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tour import Tour

sys.path.insert(0, str(Path(__file__).parent / "jobs"))
from job_data import nuclei

_CORNER = 192
"""Pixels of the labelled corner."""

_COLORS = 256
"""Of a picture."""

_LARGEST = 3
"""This row is clicked, once the table is sorted by area."""


def open_mosaic(tour: Tour) -> None:
    """Open the mosaic and the labels of its corner."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as drawn:
        os.chdir(drawn)
        nuclei(corner=_CORNER)
        os.chdir(here)
        tour.viewer.open(Path(drawn) / "mosaic.tif", scale=(0.5, 0.5), units=("um", "um"))
        labels = Path(drawn) / "corner.tif"
        tour.viewer.open(
            labels, layer_type="labels", scale=(0.5, 0.5), units=("um", "um"), name="corner"
        )
    tour.settle()


def draw_region(tour: Tour) -> None:
    """Draw a rectangle around what is labelled."""
    tour.dock.form.regions.draw_action.trigger()
    shapes = tour.viewer.layers["Labelled regions"]
    canvas = tour.viewer.window._qt_viewer.canvas
    way = [
        tour._on_canvas(shapes, canvas, point) for point in np.linspace((1, 1), [_CORNER] * 2, 6)
    ]
    QTest.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=way[0])
    for point in way[1:]:
        QTest.mouseMove(canvas.native, point)
        QTest.qWait(50)
    QTest.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, pos=way[-1])
    QTest.qWait(500)
    tour.settle()


def show_objects(tour: Tour) -> None:
    """Choose objects, and click a row of the sorted table."""
    form = tour.dock.form.objects
    tour.open_only("Objects")
    form.kind.setCurrentIndex(1)
    form.kind.activated.emit(1)
    tour.wait(lambda: not form.runner.is_busy and bool(form.model.rowCount()))
    tour.heart.report(form.count.text())
    tour.picture("objects-result")
    area = next(
        number
        for number in range(form.model.columnCount())
        if form.model.headerData(number, Qt.Orientation.Horizontal) == "area"
    )
    form.table.sortByColumn(area, Qt.SortOrder.DescendingOrder)
    place = form.table.visualRect(form.model.index(_LARGEST, area)).center()
    QTest.mouseClick(form.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    tour.picture("objects-row")


def shrink(folder: Path) -> None:
    """Keep few colors: noise makes pictures large."""
    for name in ("objects-region", "objects-result", "objects-row"):
        path = folder / f"{name}.png"
        picture = Image.open(path).convert("RGB")
        few = picture.quantize(_COLORS, Image.Quantize.MAXCOVERAGE, 2, dither=Image.Dither.NONE)
        few.save(path, optimize=True)


def main() -> None:
    """Take the tour."""
    tour = Tour(Path(sys.argv[1]))
    tour.folder.mkdir(parents=True, exist_ok=True)
    QTest.qWait(1000)
    open_mosaic(tour)
    tour.open_only("Examples")
    draw_region(tour)
    tour.picture("objects-region")
    tour.run(tour.dock.bar.segment, "objects-classes")
    show_objects(tour)
    tour.viewer.close()
    shrink(tour.folder)


if __name__ == "__main__":
    main()
