"""The dock on a viewer without a window, small networks, and ways to wait that end early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel

from napari_iclsam._qt.run.segmenter_store import SegmenterStore
from napari_iclsam._qt.run.session import Session
from napari_iclsam._qt.widget import ICLSAMWidget
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.networks import LoadedSam, ModelFacts, Networks
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.settings import Settings
from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.models.universeg import UniverSeg

SPACE = {
    "scale": (2.0, 0.5, 0.5),
    "translate": (10.0, -3.0, 4.0),
    "axis_labels": ("z", "y", "x"),
    "units": ("mm", "mm", "mm"),
}
NAMES = {"index": [0, 1, 2], "name": ["background", "shell", "core"]}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a home: what one remembers, no other knows."""
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def networks() -> Networks:
    """Make small networks with fixed random weights."""
    torch.manual_seed(0)
    sam, icl = (
        StarterSam(64).eval().requires_grad_(False),
        UniverSeg(1, (4, 4)).eval().requires_grad_(False),
    )
    return Networks(
        (LoadedSam(sam, facts=ModelFacts("small_sam", "a", fusion_default="starter")),),
        icl,
        icl_facts=ModelFacts("small_icl", "b"),
    )


@pytest.fixture
def small(networks: Networks) -> Callable[[], Session]:
    """Make sessions that run the small networks."""

    def make(models: ModelChoice, settings: Settings) -> ICLSAM:
        return ICLSAM(settings=settings, networks=networks, cache=EmbeddingCache(None))

    return lambda: Session(SegmenterStore(make=make))


class Dock:
    """The dock, as a test uses it. The viewer may have a window, or be a model only."""

    def __init__(self, viewer: Any, widget: ICLSAMWidget, qtbot: Any) -> None:
        self.viewer = viewer
        self.widget = widget
        self._qtbot = qtbot

    def settle(self) -> None:
        """Wait until nothing is read any more."""
        form = self.widget.examples
        self._qtbot.waitUntil(
            lambda: not form.is_reading and not form.reader.is_busy, timeout=20_000
        )

    def segment(self) -> None:
        """Press Segment and wait for the end."""
        self.settle()
        assert self.widget.bar.segment.isEnabled(), self.widget.bar.segment.toolTip()
        self.widget.bar.segment.click()
        self.finish()

    def finish(self) -> None:
        """Wait for the end of the run."""
        self._qtbot.waitUntil(
            lambda: not self.widget.is_waiting and not self.widget.run.runner.is_busy,
            timeout=120_000,
        )

    def result(self) -> Any:
        """Return the newest result layer."""
        names = [layer.name for layer in self.viewer.layers if layer.name.endswith("[ICL-SAM]")]
        assert names, self.widget.bar.message.text()
        return self.viewer.layers[names[-1]]

    def slices_done(self) -> int:
        """Return how many slices the progress bar counts."""
        return int(self.widget.bar.progress.format().split()[0])

    def close(self) -> None:
        """Close the dock and wait until no worker runs."""
        widget = self.widget
        runners = (
            widget.run.runner,
            widget.examples.reader,
            widget.examples.opener,
            widget.model_control.finder,
            widget.task_files.runner,
        )
        workers = [runner._worker for runner in runners if runner._worker is not None]
        widget.close_down()
        self._qtbot.waitUntil(
            lambda: not any(worker.is_running for worker in workers), timeout=60_000
        )


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: Any, small: Callable[[], Session]) -> Iterator[Dock]:
    widget = ICLSAMWidget(viewer)
    qtbot.addWidget(widget)
    dock = Dock(viewer, widget, qtbot)
    widget.run.session = small()
    yield dock
    dock.close()


def stack(planes: int = 8, height: int = 40, width: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Make a stack of nested ellipses and their labels."""
    z, y, x = np.mgrid[:planes, :height, :width]
    radius = (
        np.hypot((y - height / 2) / (0.4 * height), (x - width / 2) / (0.4 * width))
        + abs(z - planes / 2) / planes
    )
    labels = (radius < 1).astype(np.uint8) + (radius < 0.6)
    noise = np.random.default_rng(0).normal(0, 6, labels.shape)
    return np.clip(40 + 70 * labels + noise, 0, 255).astype(np.uint8), labels.astype(np.uint8)


def some(labels: np.ndarray, *planes: int, axis: int = 0) -> np.ndarray:
    """Keep the labels of a few planes along an axis."""
    kept = np.zeros_like(labels)
    for plane in planes:
        where = (slice(None),) * axis + (plane,)
        kept[where] = labels[where]
    return kept


class Gate:
    """Holds a run after each slice, the preview aside, until it is let through."""

    def __init__(self, session: Session) -> None:
        self._steps = session.steps
        self._pass = threading.Semaphore(0)
        self.started = 0

    def steps(self, request: Any) -> Generator[Any, None, Any]:
        self.started += 1
        steps = self._steps(request)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value
            yield step
            if step.prediction is not None and step.done:
                assert self._pass.acquire(timeout=60)

    def let(self, planes: int) -> None:
        self._pass.release(planes)


@pytest.fixture
def gate(dock: Dock) -> Iterator[Gate]:
    image, labels = stack(planes=8)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 2, 4), name="painted")
    dock.settle()
    gate = Gate(dock.widget.run.session)
    dock.widget.run.session = gate
    yield gate
    gate.let(100)


def press(dock: Dock, qtbot: Any, planes: int = 1) -> None:
    """Press Segment and wait for so many slices."""
    before = dock.widget.run.live
    dock.widget.bar.segment.click()
    qtbot.waitUntil(lambda: dock.widget.run.live not in (None, before), timeout=60_000)
    qtbot.waitUntil(lambda: dock.slices_done() >= planes, timeout=60_000)


@pytest.fixture
def capture() -> Iterator[list[str]]:
    """Collect what napari notifies."""
    from napari.utils.notifications import notification_manager

    heard: list[str] = []

    def hear(notification: Any) -> None:
        heard.append(notification.message)

    notification_manager.notification_ready.connect(hear)
    yield heard
    notification_manager.notification_ready.disconnect(hear)
