"""Change layers at random in a real viewer while runs are on: no exception, no thread left over.

``xvfb-run -a python -m benchmarks.churn [STEPS] [SEED]``; small random networks stand in for the
models. Prints what was done, and ends with 1 if an exception was raised or a worker still runs.
"""

from __future__ import annotations

import random
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any

import napari
import numpy as np
import torch
from napari.layers import Labels, Layer
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QThreadPool
from qtpy.QtTest import QTest
from vispy.gloo import glir

from napari_iclsam._qt.run.segmenter_store import SegmenterStore
from napari_iclsam._qt.run.session import Session
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.networks import LoadedSam, ModelFacts, Networks
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.settings import Settings
from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.models.universeg import UniverSeg

SHAPE = (6, 40, 48)
MOST_LAYERS = 8
PATIENCE = 60_000
"""Milliseconds in which workers must end."""


class Churn:
    """A viewer with the dock, and what a person in a hurry does to it."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._networks = _small_networks()
        self.viewer = napari.Viewer()
        self.errors: list[str] = []
        self._dock: Any = None
        self._open()
        self._add_stack()

    def step(self) -> str:
        """Do one thing, and return what it was."""
        name = self._rng.choice(list(ACTIONS))
        ACTIONS[name](self)
        QTest.qWait(self._rng.choice((0, 5, 40)))
        return name

    def close(self) -> None:
        """Close the window and wait for the workers."""
        self.viewer.close()
        QTest.qWait(200)
        QThreadPool.globalInstance().waitForDone(PATIENCE)

    def _open(self) -> None:
        _, self._dock = self.viewer.window.add_plugin_dock_widget("napari-iclsam")
        self._dock.run.session = Session(SegmenterStore(make=self._segmenter))

    def _segmenter(self, models: ModelChoice, settings: Settings) -> ICLSAM:
        return ICLSAM(settings=settings, networks=self._networks, cache=EmbeddingCache(None))

    def _layer(self, kind: type[Layer] = Layer) -> Any:
        found = [layer for layer in self.viewer.layers if isinstance(layer, kind)]
        return self._rng.choice(found) if found else None

    def _add_stack(self) -> None:
        """Open a stack with two labelled slices, along any axis."""
        rows, columns = np.indices(SHAPE[1:])
        disc = (np.hypot(rows - 20, columns - self._rng.randint(16, 30)) < 11).astype(np.uint8)
        labels = np.repeat(disc[None], SHAPE[0], axis=0)
        image = 40 + 90 * labels + np.random.default_rng(0).integers(0, 20, SHAPE)
        axis = self._rng.randrange(3)
        labels[[0, 2, 3, 5]] = 0
        self.viewer.add_image(np.moveaxis(image.astype(np.uint8), 0, axis), name="scan")
        self.viewer.add_labels(np.moveaxis(labels, 0, axis).copy(), name="painted")

    def add(self) -> None:
        """Open a stack, unless there are many layers."""
        if len(self.viewer.layers) < MOST_LAYERS:
            self._add_stack()

    def remove(self) -> None:
        """Delete any layer."""
        layer = self._layer()
        if layer is not None:
            self.viewer.layers.remove(layer)

    def rename(self) -> None:
        """Give a layer another name, perhaps one that another has."""
        layer = self._layer()
        if layer is not None:
            layer.name = self._rng.choice(("scan", "other", "a" * 80, "painted"))

    def reorder(self) -> None:
        """Move a layer."""
        count = len(self.viewer.layers)
        if count > 1:
            self.viewer.layers.move(self._rng.randrange(count), self._rng.randrange(count))

    def scroll(self) -> None:
        """Show another slice."""
        if self.viewer.dims.ndim > 2:
            self.viewer.dims.set_current_step(0, self._rng.randrange(6))

    def roll(self) -> None:
        """Roll the dimensions, or show them in 3D and back."""
        if self._rng.random() < 0.5:
            self.viewer.dims.roll()
        else:
            self.viewer.dims.ndisplay = 5 - self.viewer.dims.ndisplay

    def paint(self) -> None:
        """Paint a pixel of labels where a brush can: on the slice that is shown."""
        layer = self._layer(Labels)
        if layer is None or not layer.editable:
            return
        dims = self.viewer.dims
        at = [
            self._rng.randrange(size) if axis in dims.displayed else dims.current_step[axis]
            for axis, size in enumerate(layer.data.shape)
        ]
        # of a layer that does not reach this slice napari 0.9.2 shows nothing, and would raise
        # "Data is too large"
        if all(place < size for place, size in zip(at, layer.data.shape, strict=True)):
            layer.paint(tuple(at), 1)

    def undo(self) -> None:
        """Undo or redo a stroke."""
        layer = self._layer(Labels)
        if layer is not None:
            self._rng.choice((layer.undo, layer.redo))()

    def press(self) -> None:
        """Press any button of the bar that can be pressed."""
        bar = self._dock.bar
        buttons = (bar.segment, bar.segment, bar.cancel, bar.check, bar.improve)
        button = self._rng.choice(buttons)
        if button.isEnabled():
            button.click()

    def swap(self) -> None:
        """Bring an earlier result back."""
        if self._dock.output.swap.isEnabled():
            self._dock.output.swap.click()

    def reopen(self) -> None:
        """Close the dock and open it again, now and then."""
        if self._rng.random() < 0.3:
            self.viewer.window.remove_dock_widget(self._dock)
            self._open()


ACTIONS: dict[str, Callable[[Churn], None]] = {
    name: getattr(Churn, name)
    for name in (
        "add", "remove", "rename", "reorder", "scroll", "roll", "paint", "undo", "press", "swap",
        "reopen",
    )
}  # fmt: skip


def _keep_drawing_programs() -> None:
    """Let vispy delete no OpenGL program, so that the process outlives removed layers.

    With vispy 0.17 and Mesa's software OpenGL, an image and its labels that are added and of which
    the image is removed, again and again, end napari in a segmentation fault, without any plugin
    (https://github.com/vispy/vispy/issues/1611). It does not where programs are kept.
    """
    glir.GlirProgram.delete = lambda self: None


def _small_networks() -> Networks:
    torch.manual_seed(0)
    sam = StarterSam(64).eval().requires_grad_(False)
    icl = UniverSeg(1, (4, 4)).eval().requires_grad_(False)
    known = LoadedSam(sam, facts=ModelFacts("small_sam", "a", fusion_default="starter"))
    return Networks((known,), icl, icl_facts=ModelFacts("small_icl", "b"))


def main() -> int:
    """Do so many steps, and return 1 if something went wrong."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    errors: list[str] = []

    def note(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        errors.append("".join(traceback.format_exception(kind, error, at)[-3:]))

    _keep_drawing_programs()
    churn = Churn(rng)
    # napari shows exceptions of slots and workers, and would swallow them here
    sys.excepthook = note
    notification_manager.receive_error = note
    done: Counter[str] = Counter()
    for _ in range(steps):
        try:
            done[churn.step()] += 1
        except Exception as error:  # noqa: BLE001 (what is counted)
            note(type(error), error, error.__traceback__)
    churn.close()
    running = QThreadPool.globalInstance().activeThreadCount()
    print(", ".join(f"{number} {name}" for name, number in done.most_common()))
    print(f"{steps} steps, {len(errors)} exceptions, {running} workers left")
    for each, number in Counter(errors).most_common(5):
        print(f"{number} times:\n{each}")
    return 1 if errors or running else 0


if __name__ == "__main__":
    sys.exit(main())
