"""Use the dock by mouse, from sample to corrected result, and take pictures for ``docs/images``.

``xvfb-run -a -s "-screen 0 1400x900x24" python docs/tour.py FOLDER``; prints how long the event
loop had to wait.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from moving_picture import write_moving_picture
from PIL import Image
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton
from scipy import ndimage


class Heart:
    """Beats in the event loop and notes the longest waits."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer(interval=5)
        self._timer.timeout.connect(self._on_beat)
        self._timer.start()

    def _on_beat(self) -> None:
        now = time.perf_counter()
        self.waits.append(now - self._last)
        self._last = now

    def report(self, what: str) -> None:
        """Print the five longest waits since the last report."""
        longest = [round(1000 * wait) for wait in sorted(self.waits)[:-6:-1]]
        print(f"{what}: longest waits of the event loop {longest} ms", flush=True)
        self.waits.clear()


class Tour:
    """A viewer with the dock in it, used as a person does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.viewer = napari.Viewer(title="napari-iclsam")
        self.viewer.window.resize(1360, 860)
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-iclsam")
        self.heart = Heart()

    def wait(self, until: Callable[[], bool], seconds: float = 1200) -> None:
        """Let the event loop run until something is so."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                raise TimeoutError(self.dock.bar.message.text())
            QTest.qWait(20)

    def picture(self, name: str) -> None:
        """Take a picture of the window."""
        QTest.qWait(400)
        taken = self.viewer.screenshot(canvas_only=False, flash=False)
        picture = Image.fromarray(taken).convert("RGB")
        picture.save(self.folder / f"{name}.png", optimize=True)
        QTest.qWait(50)
        self.heart.waits.clear()  # taking it takes time, which the next beat notes

    def click(self, button: QAbstractButton) -> None:
        """Click a button of the window."""
        assert button.isVisible(), button.text()
        assert button.isEnabled(), button.toolTip()
        QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=button.rect().center())

    def open_only(self, *titles: str) -> None:
        """Unfold these sections of the form, and fold the others."""
        for title, section in self.dock.form.sections.items():
            if section.button.isChecked() != (title in titles):
                section.button.click()
        QTest.qWait(100)

    def run(self, button: QAbstractButton, name: str, halfway: str = "") -> None:
        """Click, wait for the end of the run, report."""
        QTest.qWait(1500)
        self.heart.waits.clear()
        began, bar = time.monotonic(), self.dock.bar
        self.click(button)
        self.wait(lambda: self.dock.run.runner.is_busy, 10)
        if halfway:
            self.wait(lambda: bar.progress.value() > 0.4 * bar.progress.maximum())
            self.heart.report(f"{name}, first part")
            self.picture(halfway)
        self.wait(lambda: not self.dock.run.runner.is_busy)
        self.heart.report(f"{name}, {time.monotonic() - began:.0f} s, {bar.message.text()}")
        self.picture(name)

    def settle(self) -> None:
        """Wait until the forms have read all layers."""
        form = self.dock.examples
        self.wait(lambda: not form.is_reading and not form.reader.is_busy)

    def paint(self, layer: Any, start: np.ndarray, end: np.ndarray) -> None:
        """Draw a stroke with the mouse; points in pixels of the layer's plane."""
        self.viewer.layers.selection.active = layer
        layer.mode, layer.selected_label, layer.brush_size = "paint", 1, 8
        canvas = self.viewer.window._qt_viewer.canvas
        way = [self._on_canvas(layer, canvas, point) for point in np.linspace(start, end, 8)]
        QTest.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=way[0])
        for point in way[1:]:
            QTest.mouseMove(canvas.native, point)
            QTest.qWait(30)
        QTest.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, pos=way[-1])
        QTest.qWait(300)
        layer.mode = "pan_zoom"

    def _on_canvas(self, layer: Any, canvas: Any, point: np.ndarray) -> QPoint:
        """Where a point of the shown plane is on the canvas."""
        plane = self.viewer.dims.current_step[: layer.ndim - 2]
        world = np.array(layer.data_to_world((*plane, *point)))[-2:]
        center = np.array(self.viewer.camera.center)[-2:]
        y, x = (world - center) * self.viewer.camera.zoom + np.array(canvas.size) / 2
        return QPoint(round(x), round(y))


def mistakes(result: Any, truth: Any, plane: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the ends of strokes through the two largest missed parts of the first label."""
    missed, _ = ndimage.label((truth.data[plane] == 1) & (result.data[plane] != 1))
    points = [
        np.argwhere(missed == part) for part in np.argsort(-np.bincount(missed.ravel())[1:])[:2] + 1
    ]
    halves = [
        (each[: len(each) // 2].mean(axis=0), each[len(each) // 2 :].mean(axis=0))
        for each in points
    ]
    return [
        (first + (first - second) / 2, second + (second - first) / 2) for first, second in halves
    ]


def segment_the_brain(tour: Tour) -> None:
    """Open a stack, look at the settings, segment it, and bring up the most doubtful slice."""
    bar, viewer = tour.dock.bar, tour.viewer
    tour.picture("empty")
    viewer.open_sample("napari-iclsam", "brain")
    tour.settle()
    tour.picture("filled")
    tour.open_only("Segment", "Models", "Settings")
    tour.picture("settings")
    tour.open_only("Examples", "Segment")
    tour.run(bar.segment, "finished", halfway="running")
    tour.click(bar.check)
    tour.picture("checked")
    tour.open_only("Check")
    tour.picture("listed")
    tour.open_only("Examples", "Segment")


def correct_the_brain(tour: Tour) -> None:
    """Correct the slice on view, segment again, and bring back what was there before."""
    bar, viewer = tour.dock.bar, tour.viewer
    result = next(layer for layer in viewer.layers if layer.name.endswith("[ICL-SAM]"))
    for start, end in mistakes(result, viewer.layers["brain truth"], viewer.dims.current_step[0]):
        tour.paint(result, start, end)
    print(bar.improve.text(), flush=True)
    tour.run(bar.improve, "corrected")
    tour.click(tour.dock.examples.buttons.model_input)
    tour.wait(lambda: bool(tour.dock.form.model_input.icl_text.text()))
    tour.dock.form.model_input.grab().save(str(tour.folder / "model_sees.png"))
    tour.dock.form.model_input.close()
    tour.open_only("Result")
    viewer.dims.set_current_step(0, 1)
    tour.click(tour.dock.output.swap)
    tour.picture("earlier")
    tour.open_only("Examples", "Segment")


def break_the_brain(tour: Tour) -> None:
    """Segment a slice with a value that is no number."""
    broken = tour.viewer.layers["brain"].data.astype(np.float32)
    broken[1, 0, 0] = np.nan
    tour.viewer.layers["brain"].data = broken
    tour.settle()
    tour.run(tour.dock.bar.segment, "error")


def main() -> None:
    """Take the tour."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    tour = Tour(parser.parse_args().folder)
    tour.folder.mkdir(parents=True, exist_ok=True)
    QTest.qWait(1000)
    for part in (segment_the_brain, correct_the_brain, break_the_brain):
        part(tour)
    tour.viewer.close()
    write_moving_picture(tour.folder)


if __name__ == "__main__":
    main()
