"""The dock in a real viewer: what a newcomer does, dimensions that turn, windows that close."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool

from napari_iclsam import samples
from napari_iclsam._qt.demo_window import show_demo
from napari_iclsam._qt.run.session import Session
from napari_iclsam.files import Space, write_labels
from tests._qt.conftest import NAMES, SPACE, Dock, Gate, press, some, stack
from tests.gui.conftest import docked


def test_a_newcomer_fills_a_stack_and_uses_a_correction(dock: Dock) -> None:
    image, labels = stack()
    dock.viewer.add_image(image, name="scan", **SPACE)
    dock.viewer.add_labels(some(labels, 2, 4, 6), name="painted", features=NAMES, **SPACE)
    dock.settle()
    dock.segment()
    result = dock.result()
    assert all(result.data[plane].any() for plane in range(8))
    assert dock.viewer.layers.selection.active is not None
    dock.widget.bar.check.click()
    shown = dock.viewer.dims.current_step[0]
    result.paint((shown, 3, 3), 1)
    dock.settle()
    dock.widget.bar.improve.click()
    dock.finish()
    assert result.metadata["napari_iclsam"]["examples"] == 4
    assert result.data[shown, 3, 3] == 1


def test_the_window_of_the_demo_shows_its_result_on_a_plane_that_was_segmented(
    viewer: Any, tmp_path: Path
) -> None:
    found = np.zeros(samples.cells().truth.shape, np.uint8)
    found[2, 5:9, 5:9] = 1
    write_labels(tmp_path / "labels.tif", found, Space("ZYX", dialect="imagej"))
    show_demo(viewer, "cells", tmp_path / "labels.tif", 2)
    result = viewer.layers["cells demo result"]
    np.testing.assert_array_equal(result.data, found)
    assert viewer.dims.current_step[0] == 2
    assert viewer.layers[-1].name == result.name
    assert viewer.layers.selection.active.name == result.name
    np.testing.assert_allclose(result.scale, viewer.layers["cells"].scale)
    assert next(iter(result.features["name"])) == "background"


def test_renaming_layers_and_turning_dimensions_does_no_harm(
    dock: Dock, gate: Gate, qtbot: Any
) -> None:
    press(dock, qtbot)
    dock.viewer.layers["scan"].name = "other"
    dock.viewer.layers["painted"].name = "strokes"
    dock.viewer.dims.order = (1, 0, 2)
    dock.viewer.dims.ndisplay = 3
    dock.viewer.dims.ndisplay = 2
    gate.let(100)
    dock.finish()
    assert all(dock.result().data[plane].any() for plane in range(8))
    assert dock.widget.examples.image.currentText() == "other"
    assert dock.widget.examples.table.item(0).text().startswith("other, ")


def test_closing_the_widget_ends_the_worker_and_the_viewer_lives_on(
    dock: Dock, gate: Gate, qtbot: Any
) -> None:
    press(dock, qtbot)
    worker = dock.widget.run.runner._worker
    dock.viewer.window.remove_dock_widget(dock.widget)
    gate.let(100)
    qtbot.waitUntil(lambda: not worker.is_running, timeout=60_000)
    assert QThreadPool.globalInstance().waitForDone(60_000)
    dock.viewer.layers["painted"].paint((5, 20, 20), 1)
    dock.viewer.add_image(np.zeros((4, 4)))
    dock.viewer.layers.clear()


@pytest.mark.parametrize("show", [True, False], ids=["shown", "hidden"])
def test_closing_the_window_ends_the_worker(
    make_napari_viewer_proxy: Callable[..., Any],
    qtbot: Any,
    small: Callable[[], Session],
    show: bool,
) -> None:
    viewer = make_napari_viewer_proxy(show=show)
    dock = docked(viewer, qtbot)
    dock.widget.run.session = small()
    image, labels = stack(planes=8)
    viewer.add_image(image, name="scan")
    viewer.add_labels(some(labels, 2, 4), name="painted")
    dock.settle()
    dock.widget.bar.segment.click()
    worker = dock.widget.run.runner._worker
    viewer.close()
    assert worker.abort_requested
    qtbot.waitUntil(lambda: not worker.is_running, timeout=60_000)
    assert QThreadPool.globalInstance().waitForDone(60_000)


def test_the_plugin_is_reached_from_the_menu_of_layers(
    make_napari_viewer_proxy: Callable[..., Any],
) -> None:
    from napari._app_model import get_app_model

    make_napari_viewer_proxy()
    titles = {
        item.command.title for item in get_app_model().menus.get_menu("napari/layers/segment")
    }
    assert any("ICL-SAM" in title for title in titles)
