"""A plane that is not in memory and too large for it: its result grows on disk, row by row."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Labels

from napari_iclsam._qt.run.large_steps import large_steps
from napari_iclsam._qt.viewer.large_results import large_result
from napari_iclsam.core.prediction import Prediction, Progress
from napari_iclsam.core.task import Task
from tests._qt.conftest import Dock
from tests._qt.test_objects import Panel
from tests._qt.test_regions import mosaic

SPACE = {"scale": (0.5, 0.5), "translate": (3.0, 4.0), "units": ("um", "um")}


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let planes of this size count as large, and their results go into a folder of the test."""
    monkeypatch.setattr("napari_iclsam._qt.run.request.LARGE", 10_000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture(autouse=True)
def bright(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is bright be found, whatever the small networks say."""
    segment = Task._segment_steps

    def steps(self: Task, query: Any, *args: Any) -> Generator[Progress, None, Prediction]:
        prediction = yield from segment(self, query, *args)
        light = (query.rgb[..., 0] / 200).astype(np.float32).clip(0.02, 0.98)
        labels = np.where(light > 0.5, 1, 0).astype(np.int32)
        return replace(prediction, labels=labels, probabilities={1: light}, confidence={1: light})

    monkeypatch.setattr(Task, "_segment_steps", steps)


@pytest.fixture
def corner(dock: Dock, large: None) -> Dock:
    image, labels = mosaic()
    dock.viewer.add_image(da.from_array(image, chunks=(64, 64)), name="mosaic", **SPACE)
    dock.viewer.add_labels(labels, name="painted", **SPACE)
    dock.settle()
    dock.widget.form.regions.take.click()
    return dock


def whole_result(dock: Dock) -> np.ndarray:
    """Segment the same image in memory."""
    layer = dock.viewer.layers["mosaic"]
    layer.data = np.asarray(layer.data)
    dock.settle()
    dock.segment()
    return np.array(dock.result().data)


def test_result_on_disk_is_that_of_the_image_in_memory(corner: Dock, tmp_path: Path) -> None:
    corner.segment()
    result = corner.result()
    known = large_result(result)
    assert known is not None
    assert known.folder.parent == tmp_path
    assert str(known.folder / "labels.ome.zarr") in corner.widget.bar.message.text()
    assert "tiles hold nothing" in corner.widget.bar.message.text()
    np.testing.assert_allclose(result.scale, SPACE["scale"])
    np.testing.assert_allclose(result.translate, SPACE["translate"])
    found = np.asarray(known.labels[:])
    assert set(np.unique(found)) == {0, 1}
    for number, level in enumerate(known.labels.levels):
        step = 2**number
        np.testing.assert_array_equal(level[:], found[::step, ::step])
    sure = np.asarray(known.certainty[:])
    assert (sure[found > 0] > 127).all()
    assert not sure[found == 0].any()
    corner.viewer.layers.remove(result)
    np.testing.assert_array_equal(whole_result(corner), found)


def test_objects_of_a_result_on_disk_are_those_of_one_in_memory(corner: Dock, qtbot: Any) -> None:
    corner.segment()
    panel = Panel(corner, qtbot)
    panel.choose(1)
    count = panel.form.count.text()
    objects = corner.viewer.layers["mosaic [ICL-SAM] objects"]
    assert isinstance(objects, Labels)
    assert objects.multiscale
    table = panel.form._found.table  # type: ignore[union-attr]
    assert len(table) > 100
    assert table.unit == "micrometer"
    assert f"{len(table)} objects" in count
    panel.form.table.clicked.emit(panel.form.model.index(4, 0))
    assert objects.selected_label == 5
    for layer in (objects, corner.result()):
        corner.viewer.layers.remove(layer)
    whole_result(corner)
    panel.choose(1)
    whole = panel.form._found.table  # type: ignore[union-attr]
    for name, values in whole.columns.items():
        np.testing.assert_allclose(table.columns[name], values, rtol=0.01, err_msg=name)


def test_cancelled_run_keeps_the_rows_that_are_done(
    corner: Dock, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = corner.widget.bar.cancel

    def steps(*args: Any) -> Any:
        for step in large_steps(*args):
            yield step
            # waits for the click, which comes when the first rows are shown
            while step.bands:
                yield step

    monkeypatch.setattr("napari_iclsam._qt.run.job_steps.large_steps", steps)
    corner.settle()
    corner.widget.bar.segment.click()
    qtbot.waitUntil(lambda: len(corner.viewer.layers) == 3, timeout=60_000)
    cancel.click()
    corner.finish()
    assert corner.widget.bar.message.text().startswith("Cancelled. What was done is kept. It is")
    known = large_result(corner.result())
    assert known is not None
    assert not known.labels[300:].any()
