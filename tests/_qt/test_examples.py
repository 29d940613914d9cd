"""The support table: thumbnails, ticks, order, files, tasks, and what the model sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent

from napari_iclsam._qt.background.model_input import model_input_steps
from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.run.session import Session
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.task_file import read_task
from tests._qt.conftest import NAMES, Dock, some, stack

# PySide calls the constructors of drag and drop deprecated; tests have no others.
pytestmark = pytest.mark.filterwarnings("ignore:Function. .Q(Drag|Drop).*:DeprecationWarning")


@pytest.fixture
def filled(dock: Dock) -> Dock:
    image, labels = stack(planes=6)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 1, 2, 4), name="painted", features=NAMES)
    dock.settle()
    return dock


def titles(dock: Dock) -> list[str]:
    return [row.example.title() for row in dock.widget.examples.table.ticked()]


def drop(dock: Dock, paths: list[Path]) -> None:
    """Drop files on the table as a file manager does."""
    table = dock.widget.examples.table
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, data, buttons, keys)
    table.dragEnterEvent(enter)
    assert enter.isAccepted()
    table.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, buttons, keys))


def test_each_row_shows_image_and_labels(filled: Dock) -> None:
    table = filled.widget.examples.table
    assert table.count() == 3
    assert table.item(0).text() == "scan, slice 1 · 40 × 48\n1 shell, 2 core"
    picture = table.item(0).icon().pixmap(56, 56).toImage()
    middle, corner = picture.pixelColor(28, 28), picture.pixelColor(2, 14)
    assert middle != corner
    assert table.rows()[0].picture.ids == (1, 2)


def test_unticked_examples_are_not_used(filled: Dock) -> None:
    filled.widget.examples.table.item(1).setCheckState(Qt.CheckState.Unchecked)
    assert titles(filled) == ["scan, slice 1", "scan, slice 4"]
    assert "4 slices" in filled.widget.bar.segment.toolTip()
    filled.segment()
    assert filled.result().metadata["napari_iclsam"]["examples"] == 2


def test_without_a_tick_the_tooltip_tells_what_to_do(filled: Dock) -> None:
    for n in range(3):
        filled.widget.examples.table.item(n).setCheckState(Qt.CheckState.Unchecked)
    assert not filled.widget.bar.segment.isEnabled()
    assert "tick at least one" in filled.widget.bar.segment.toolTip()


def test_a_removed_example_does_not_come_back_by_itself(filled: Dock) -> None:
    form = filled.widget.examples
    form.table.setCurrentRow(0)
    form.buttons.remove.click()
    filled.viewer.layers["painted"].paint((5, 20, 20), 1)
    filled.settle()
    assert titles(filled) == ["scan, slice 2", "scan, slice 4", "scan, slice 5"]


def test_the_slice_on_screen_is_added_by_hand(filled: Dock) -> None:
    filled.viewer.dims.set_current_step(0, 3)
    filled.widget.examples.buttons.add.click()
    filled.settle()
    assert titles(filled)[-1] == "scan, slice 3"


def test_a_slice_without_labels_is_declared_empty(filled: Dock) -> None:
    filled.viewer.dims.set_current_step(0, 3)
    filled.widget.examples.buttons.nothing.click()
    filled.settle()
    assert titles(filled)[-1] == "scan, slice 3"
    filled.segment()
    assert filled.result().metadata["napari_iclsam"]["examples"] == 4


def test_a_slice_with_labels_is_not_declared_empty(filled: Dock, capture: list[str]) -> None:
    before = titles(filled)
    filled.viewer.dims.set_current_step(0, 2)
    filled.widget.examples.buttons.nothing.click()
    assert titles(filled) == before
    assert "slice 2 holds labels" in capture[-1]
    assert "Erase them" in capture[-1]


def test_the_order_can_be_changed(filled: Dock) -> None:
    form = filled.widget.examples
    form.table.setCurrentRow(2)
    form.buttons.up.click()
    assert titles(filled) == ["scan, slice 1", "scan, slice 4", "scan, slice 2"]
    form.buttons.down.click()
    assert titles(filled) == ["scan, slice 1", "scan, slice 2", "scan, slice 4"]


def test_a_double_click_goes_to_the_slice(filled: Dock) -> None:
    table = filled.widget.examples.table
    table.setCurrentRow(2)
    table.itemDoubleClicked.emit(table.item(2))
    assert filled.viewer.dims.current_step[0] == 4


def test_what_the_model_sees_is_shown(filled: Dock, qtbot: Any) -> None:
    preview = filled.widget.form.model_input
    filled.widget.examples.buttons.model_input.click()
    qtbot.waitUntil(lambda: bool(preview.icl_text.text()), timeout=20_000)
    assert preview.isVisible()
    assert "40 × 48" in preview.sam_text.text()
    assert "color, 128 × 128" in preview.icl_text.text()
    assert not preview.icl.pixmap().isNull()


@pytest.mark.parametrize(
    ("icl", "height", "side", "grey"),
    [("starter", 100, 128, False), ("starter", 900, 256, False), ("universeg", 900, 128, True)],
)
def test_an_example_is_shown_as_the_chosen_model_sees_it(
    icl: str, height: int, side: int, grey: bool
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (height, 120, 3)).astype(np.uint8)
    labels = np.zeros((height, 120), np.uint8)
    labels[:, 60:] = 7
    steps = model_input_steps(Pair(image, labels), icl, Settings())
    next(steps)
    with pytest.raises(StopIteration) as end:
        next(steps)
    seen = end.value.value
    assert seen.small.shape == (side, side, 3)
    assert seen.small.min() == 0
    assert seen.small.max() == 255
    assert seen.is_grey is grey is bool((np.ptp(seen.small, axis=2) == 0).all())
    assert (seen.small_labels[:, : side // 2] == 0).all()
    assert (seen.small_labels[:, side // 2 :] == 7).all()


def test_dropped_pictures_become_examples(dock: Dock, tmp_path: Path, qtbot: Any) -> None:
    images, labels = stack(planes=2)
    dock.viewer.add_image(images[1], name="query")
    iio.imwrite(tmp_path / "cell.png", images[0])
    iio.imwrite(tmp_path / "cell_labels.png", labels[0])
    dock.settle()
    drop(dock, [tmp_path / "cell_labels.png", tmp_path / "cell.png"])
    qtbot.waitUntil(lambda: dock.widget.examples.table.count() == 1, timeout=20_000)
    dock.segment()
    assert dock.result().name == "query [ICL-SAM]"


def test_what_was_noticed_of_dropped_files_is_shown(
    dock: Dock, tmp_path: Path, qtbot: Any, capture: list[str]
) -> None:
    images, labels = stack(planes=2)
    for name, value in (("a", 1), ("b", 255)):
        iio.imwrite(tmp_path / f"{name}.png", images[0])
        iio.imwrite(
            tmp_path / f"{name}_mask.png", (labels[0] > 0).astype(np.uint8) * np.uint8(value)
        )
    dock.settle()
    drop(dock, sorted(tmp_path.glob("*.png")))
    qtbot.waitUntil(lambda: dock.widget.examples.table.count() == 2, timeout=20_000)
    assert any("taken as the same object" in message for message in capture), capture


def test_dropped_pictures_without_labels_are_refused_in_words(
    dock: Dock, tmp_path: Path, qtbot: Any
) -> None:
    iio.imwrite(tmp_path / "one.png", np.zeros((8, 8), np.uint8))
    with qtbot.waitSignal(dock.widget.examples.failed, timeout=20_000) as caught:
        drop(dock, [tmp_path / "one.png"])
    assert "image one.png, no labels" in str(caught.args[0])


def test_a_colleague_segments_with_a_task_file_and_no_labels(
    filled: Dock,
    make_napari_viewer_proxy: Callable[..., Any],
    small: Callable[[], Session],
    tmp_path: Path,
    qtbot: Any,
) -> None:
    painted = filled.viewer.layers["painted"]
    painted.colormap = DirectLabelColormap(color_dict={1: "red", 2: "blue", None: "white"})
    filled.widget.examples.redraw()
    filled.settle()
    filled.widget.settings.controls["seed"].setValue(7)
    path = tmp_path / "brain.iclsam"
    filled.widget.task_files.save(str(path))
    qtbot.waitUntil(path.exists, timeout=20_000)
    saved = read_task(path)
    assert len(saved.support) == 3
    assert saved.settings == Settings(seed=7)
    assert saved.support.styles[1].name == "shell"

    filled.viewer.layers.clear()
    other = filled
    image, _ = stack(planes=3)
    other.viewer.add_image(image, name="theirs")
    other.widget.settings.show_settings(Settings())
    other.settle()
    drop(other, [path])
    qtbot.waitUntil(lambda: other.widget.examples.table.count() == 3, timeout=20_000)
    other.settle()
    assert other.widget.settings.settings().seed == 7
    assert other.widget.query.chosen == "all"
    other.segment()
    result = other.result()
    assert list(result.features["name"]) == ["background", "shell", "core"]
    np.testing.assert_allclose(result.get_color(1), (1, 0, 0, 1))


def test_a_damaged_task_file_is_refused_in_words(dock: Dock, tmp_path: Path, qtbot: Any) -> None:
    path = tmp_path / "broken.iclsam"
    path.write_bytes(b"no zip")
    with qtbot.waitSignal(dock.widget.task_files.runner.failed, timeout=20_000) as caught:
        dock.widget.task_files.open(str(path))
    assert "is not a complete task file" in str(caught.args[0])


def test_of_many_labelled_slices_sixteen_are_taken(dock: Dock) -> None:
    image, labels = stack(planes=40, height=30, width=30)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, *range(0, 40, 2)), name="painted")
    dock.settle()
    assert dock.widget.examples.table.count() == 16
    assert (
        "20 labelled slices found along axis 0, 16 of them taken"
        in dock.widget.examples.summary.text()
    )


def test_the_sparsest_labels_are_taken_not_the_truth(dock: Dock) -> None:
    image, labels = stack(planes=6)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(labels, name="truth")
    dock.viewer.add_labels(some(labels, 3), name="painted")
    dock.viewer.add_labels(np.zeros_like(labels), name="empty")
    dock.settle()
    assert dock.widget.examples.labels.currentText() == "painted"


def test_the_user_may_choose_other_labels(dock: Dock) -> None:
    image, labels = stack(planes=6)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 1, 2), name="two")
    dock.viewer.add_labels(some(labels, 3), name="one")
    dock.settle()
    combo = dock.widget.examples.labels
    combo.setCurrentText("two")
    combo.activated.emit(combo.currentIndex())
    dock.settle()
    assert titles(dock) == ["scan, slice 1", "scan, slice 2"]
