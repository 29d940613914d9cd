"""What a task file knows of the files of its examples holds in the dock, too, and is kept there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.images.windows import Window
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.task_file import Origin, SavedTask, read_task, write_task
from tests._qt.conftest import SPACE, Dock, some, stack

WINDOW = Window(-500, 2050)
AFFINE = tuple(map(tuple, np.diag([-1.0, -1.0, 1.0, 1.0]).tolist()))


def opened(dock: Dock, path: Path, origin: Origin, qtbot: Any) -> None:
    """Open a task of one example that was saved with this origin."""
    image, labels = stack(planes=1)
    support = SupportSet.of([image[0]], [labels[0]])
    write_task(SavedTask(support, Settings(), ModelChoice(), origin), path)
    before = dock.widget.examples.table.count()
    dock.widget.task_files.open(str(path))
    table = dock.widget.examples.table
    qtbot.waitUntil(lambda: table.count() == before + 1, timeout=20_000)
    dock.settle()


def saved(dock: Dock, path: Path, qtbot: Any) -> Origin:
    dock.widget.task_files.save(str(path))
    qtbot.waitUntil(path.exists, timeout=20_000)
    return read_task(path).origin


def test_images_are_seen_by_the_window_of_the_task(dock: Dock, tmp_path: Path, qtbot: Any) -> None:
    image, labels = stack(planes=4)
    raw = image.astype(np.int16) * 10 - 500
    raw[:, 0, 0] = 30_000
    dock.viewer.add_image(raw, name="scan")
    opened(dock, tmp_path / "a.iclsam", Origin(window=(-500, 2050)), qtbot)
    (job,) = dock.widget._plan().request.jobs
    expected = image[1].copy()
    expected[0, 0] = 255
    assert np.array_equal(job.slices[1], expected)
    assert "-500 is black, 2050 is white" in dock.widget.query.window.text()
    # slices of the viewer beside those of the task are on one scale
    dock.viewer.add_labels(some(labels, 2), name="painted")
    dock.settle()
    seen = dock.widget._plan().request.read_support().images
    assert {each.dtype for each in seen} == {np.dtype(np.uint8)}
    assert saved(dock, tmp_path / "b.iclsam", qtbot) == Origin(window=(-500, 2050), axis=0)


def test_images_of_8_bits_were_scaled_before(dock: Dock, tmp_path: Path, qtbot: Any) -> None:
    image, _ = stack(planes=4)
    dock.viewer.add_image(image, name="scan")
    opened(dock, tmp_path / "a.iclsam", Origin(window=(-500, 2050)), qtbot)
    (job,) = dock.widget._plan().request.jobs
    assert np.array_equal(job.slices[1], image[1])


def test_tasks_of_two_windows_are_not_mixed(dock: Dock, tmp_path: Path, qtbot: Any) -> None:
    dock.viewer.add_image(stack(planes=4)[0], name="scan")
    opened(dock, tmp_path / "a.iclsam", Origin(window=(-500, 2050)), qtbot)
    opened(dock, tmp_path / "b.iclsam", Origin(window=(0, 400)), qtbot)
    tip = dock.widget.bar.segment.toolTip()
    assert "see other grey values, -500 to 2050 and 0 to 400: untick" in tip
    assert not dock.widget.bar.segment.isEnabled()


def test_slices_lie_along_the_axis_of_the_task(dock: Dock, tmp_path: Path, qtbot: Any) -> None:
    image, _ = stack(planes=4)
    dock.viewer.add_image(image, name="scan")
    opened(dock, tmp_path / "a.iclsam", Origin(axis=2), qtbot)
    assert dock.widget.query.axis.currentIndex() == 2
    assert dock.widget._plan().request.jobs[0].slices.shape[0] == image.shape[2]
    # until the user chooses another
    dock.widget.query.axis.setCurrentIndex(1)
    dock.widget.query.axis.activated.emit(1)
    dock.viewer.add_image(image, name="another")
    dock.settle()
    assert dock.widget.query.axis.currentIndex() == 1


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (Origin(axis="coronal"), "are coronal slices: choose the axis"),
        (Origin(reference=AFFINE, axis=0), "lie as their file does"),
        (Origin(), ""),
    ],
)
def test_what_layers_do_not_say_is_said(
    dock: Dock, tmp_path: Path, qtbot: Any, origin: Origin, words: str
) -> None:
    dock.viewer.add_image(stack(planes=4)[0], name="scan")
    opened(dock, tmp_path / "a.iclsam", origin, qtbot)
    said = dock.widget.examples.summary.text()
    assert words in said
    assert ("opened task" in said) == bool(words)
    # and is not lost if the task is saved again
    assert saved(dock, tmp_path / "b.iclsam", qtbot) == origin


def test_a_task_saved_from_layers_knows_its_axis_pixels_and_limits(
    dock: Dock, tmp_path: Path, qtbot: Any
) -> None:
    image, labels = stack(planes=4)
    raw = image.astype(np.int16) * 10 - 500
    space = {**SPACE, "units": ("mm", "um", "um")}
    dock.viewer.add_image(raw, name="scan", contrast_limits=(-500, 2050), **space)
    dock.viewer.add_labels(some(labels, 2, 30, axis=2), name="painted", **space)
    dock.settle()
    along = dock.widget.examples.orientation()
    assert along is not None
    found = saved(dock, tmp_path / "a.iclsam", qtbot)
    # a slice of rows along z, 2 mm, and columns along y, 0.5 µm
    assert found == Origin(axis=2, pixel_size=pytest.approx((2000 * 0.5) ** 0.5))
    dock.widget.query.as_shown.setChecked(True)
    assert saved(dock, tmp_path / "b.iclsam", qtbot).window == (-500, 2050)
    assert read_task(tmp_path / "b.iclsam").support.images[0].dtype == np.uint8


def test_what_numbered_objects_have_taught_is_opened_with_a_task(
    dock: Dock, tmp_path: Path, qtbot: Any
) -> None:
    image, _ = stack(planes=1)
    cells = np.zeros(image[0].shape, np.int32)
    cells[2:9, 2:9] = 1
    cells[9:16, 2:9] = 2
    support = SupportSet.of([image[0]], [cells]).as_one_class()
    write_task(SavedTask(support, Settings(), ModelChoice(), Origin()), tmp_path / "a.iclsam")
    dock.viewer.add_image(image[0].copy(), name="field")
    dock.widget.task_files.open(str(tmp_path / "a.iclsam"))
    qtbot.waitUntil(lambda: dock.widget.examples.table.count() == 1, timeout=20_000)
    dock.settle()
    opened_support = dock.widget._plan().request.read_support()
    assert opened_support.separations == support.separations
