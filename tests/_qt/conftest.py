"""A viewer with the dock in it, small networks, and ways to wait that end as soon as they can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_iclsam._qt.run.request import Session
from napari_iclsam._qt.widget import ICLSAMWidget
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.networks import ModelFacts, Networks
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
        sam,
        icl,
        sam_facts=ModelFacts("small_sam", "a", fusion_default="starter"),
        icl_facts=ModelFacts("small_icl", "b"),
    )


@pytest.fixture
def small(networks: Networks) -> Callable[[], Session]:
    """Make sessions that run the small networks."""

    def make(models: ModelChoice, settings: Settings) -> ICLSAM:
        return ICLSAM(settings=settings, networks=networks, cache=EmbeddingCache(None))

    return lambda: Session(make=make)


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any]) -> Any:
    return make_napari_viewer_proxy()


class Dock:
    """The dock in a viewer, as a test uses it."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        _, self.widget = viewer.window.add_plugin_dock_widget("napari-iclsam")
        assert isinstance(self.widget, ICLSAMWidget)
        self.viewer, self._qtbot = viewer, qtbot

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
        self._qtbot.waitUntil(lambda: not self.widget.runner.is_busy, timeout=120_000)

    def result(self) -> Any:
        """Return the newest result layer."""
        names = [layer.name for layer in self.viewer.layers if layer.name.endswith("[ICL-SAM]")]
        assert names, self.widget.bar.message.text()
        return self.viewer.layers[names[-1]]


@pytest.fixture
def dock(viewer: Any, qtbot: Any, small: Callable[[], Session]) -> Iterator[Dock]:
    dock = Dock(viewer, qtbot)
    dock.widget.session = small()
    yield dock
    runners = [
        dock.widget.runner,
        dock.widget.examples.reader,
        dock.widget._finder,
        dock.widget._filer,
    ]
    workers = [runner._worker for runner in runners]
    dock.widget.close_down()
    qtbot.waitUntil(
        lambda: not any(worker is not None and worker.is_running for worker in workers),
        timeout=60_000,
    )


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
