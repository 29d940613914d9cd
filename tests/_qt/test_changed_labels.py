"""Labels that change under the examples: undone, written by other tools, cropped, read lazily."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

from tests._qt.conftest import NAMES, Dock, some, stack


@pytest.fixture
def filled(dock: Dock) -> Dock:
    image, labels = stack(planes=6)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 1, 2), name="painted", features=NAMES)
    dock.settle()
    return dock


def positions(dock: Dock) -> list[tuple[int, ...]]:
    return [row.example.position for row in dock.widget.examples.table.rows()]


def test_an_example_whose_painting_is_undone_goes_and_comes_back(filled: Dock) -> None:
    painted = filled.viewer.layers["painted"]
    filled.viewer.dims.set_point(0, 4)
    filled._qtbot.waitUntil(lambda: painted in filled.widget._redraws._shown)
    painted.paint((4, 9, 9), 1)
    filled._qtbot.waitUntil(lambda: (4,) in positions(filled))
    filled.settle()
    # seen as it was painted
    filled._qtbot.waitUntil(lambda: painted not in filled.widget._redraws._drawn)
    painted.undo()
    filled._qtbot.waitUntil(lambda: positions(filled) == [(1,), (2,)])
    filled.settle()
    painted.redo()
    filled._qtbot.waitUntil(lambda: positions(filled) == [(1,), (2,), (4,)])


def test_labels_written_without_a_word_are_read_when_segment_is_pressed(filled: Dock) -> None:
    painted = filled.viewer.layers["painted"]
    painted.data[5] = painted.data[2]
    painted.data[1] = 0
    filled.segment()
    assert positions(filled) == [(2,), (5,)]
    np.testing.assert_array_equal(filled.result().data[5], painted.data[5])


def test_labels_erased_without_a_word_are_no_examples_and_nothing_runs(filled: Dock) -> None:
    filled.viewer.layers["painted"].data[...] = 0
    filled.segment()
    assert positions(filled) == []
    assert "Nothing is painted yet" in filled.widget.bar.message.text()
    assert len(filled.viewer.layers) == 2


def test_names_are_kept_if_segment_is_pressed_before_the_pictures_are_there(dock: Dock) -> None:
    image, labels = stack(planes=4)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 1, 2), name="painted", features=NAMES)
    dock._qtbot.waitUntil(dock.widget.bar.segment.isEnabled)
    assert dock.widget.examples.styles()[2].name == "core"
    dock.widget.bar.segment.click()
    dock.finish()
    assert list(dock.result().features["name"]) == ["background", "shell", "core"]


def test_a_stack_cropped_in_place_drops_the_examples_that_are_gone(filled: Dock) -> None:
    filled.viewer.dims.set_point(0, 5)
    filled.widget.examples.buttons.add.click()
    filled.settle()
    assert (5,) in positions(filled)
    scan, painted = filled.viewer.layers["scan"], filled.viewer.layers["painted"]
    scan.data = scan.data[:4]
    painted.data = painted.data[:4]
    filled.settle()
    assert positions(filled) == [(1,), (2,)]
    filled.segment()
    assert filled.result().data.shape == scan.data.shape


def in_dask(labels: np.ndarray, folder: Path) -> Any:
    return da.from_array(labels, chunks=(1, -1, -1))


def in_zarr(labels: np.ndarray, folder: Path) -> Any:
    return zarr.create_array(folder / "labels.zarr", data=labels)


def read_only(labels: np.ndarray, folder: Path) -> Any:
    np.save(folder / "labels.npy", labels)
    return np.load(folder / "labels.npy", mmap_mode="r")


def in_xarray(labels: np.ndarray, folder: Path) -> Any:
    xarray = pytest.importorskip("xarray")
    return xarray.DataArray(labels, dims=("z", "y", "x"))


def multiscale(labels: np.ndarray, folder: Path) -> Any:
    return [da.from_array(labels), da.from_array(labels[:, ::2, ::2])]


@pytest.mark.parametrize("kind", [in_dask, in_zarr, in_xarray, read_only, multiscale])
def test_labelled_slices_of_any_array_are_copied_into_the_result(
    dock: Dock, tmp_path: Path, kind: Callable[[np.ndarray, Path], Any]
) -> None:
    image, labels = stack(planes=5)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(kind(some(labels, 0, 2), tmp_path), name="painted")
    dock.segment()
    np.testing.assert_array_equal(dock.result().data[[0, 2]], labels[[0, 2]])
