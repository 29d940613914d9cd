"""Several 2D images: one on view, checked, corrected; files of a folder that are opened late."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from PIL import Image
from qtpy.QtCore import Qt

from napari_iclsam._qt.viewer import layers
from napari_iclsam.core.settings import Settings
from tests._qt.conftest import Dock, stack


@pytest.fixture
def series(dock: Dock) -> Dock:
    """Open four images of several sizes; the first two have labels."""
    dock.widget.settings.show_settings(Settings(fine_tune=False, cross_validate=False))
    for number, (height, width) in enumerate([(40, 48), (40, 48), (36, 50), (40, 48)]):
        images, labels = stack(8, height, width)
        dock.viewer.add_image(images[2 + number], name=f"cell{number}")
        if number < 2:
            dock.viewer.add_labels(labels[2 + number], name=f"cell{number} labels")
    dock.settle()
    return dock


def rows(dock: Dock) -> list[list[str]]:
    tree = dock.widget.series.list
    items = [tree.topLevelItem(number) for number in range(tree.topLevelItemCount())]
    return [[item.text(column) for column in range(3)] for item in items]


def visible(dock: Dock) -> list[str]:
    return [layer.name for layer in dock.viewer.layers if layer.visible]


def correct(result: Labels) -> None:
    """Paint as a mouse does: the stroke is announced when it has ended."""
    with result.block_history():
        result.paint((5, 5), result.data[5, 5] % 2 + 1)


def current(dock: Dock) -> str:
    return str(dock.widget.series.list.currentItem().text(0))


def test_images_are_listed_in_their_order_with_states(series: Dock) -> None:
    assert rows(series) == [
        ["cell0", "", "example"],
        ["cell1", "", "example"],
        ["cell2", "", ""],
        ["cell3", "", ""],
    ]
    series.segment()
    names, estimates, states = zip(*rows(series), strict=True)
    assert names == ("cell0", "cell1", "cell2", "cell3")
    assert states == ("example", "example", "done", "done")
    assert all(0 <= float(estimate) <= 1 for estimate in estimates[2:])


def test_an_image_is_shown_with_its_own_layers_alone(series: Dock) -> None:
    series.segment()
    form = series.widget.series
    form.next.click()
    assert visible(series) == ["cell0", "cell0 labels"]
    assert not form.previous.isEnabled()
    form.next.click()
    assert visible(series) == ["cell1", "cell1 labels"]
    form.next.click()
    assert visible(series) == ["cell2", "cell2 [ICL-SAM]"]
    assert form.place.text() == "3 of 4"
    # ready to be corrected
    assert series.viewer.layers.selection.active.name == "cell2 [ICL-SAM]"
    form.previous.click()
    assert visible(series) == ["cell1", "cell1 labels"]
    form.list.itemClicked.emit(form.list.topLevelItem(3), 0)
    assert visible(series) == ["cell3", "cell3 [ICL-SAM]"]
    assert not form.next.isEnabled()
    assert "last image" in form.next.toolTip()


def test_images_come_up_for_review_the_most_doubtful_first(series: Dock) -> None:
    series.segment()
    estimates = {name: float(dice) for name, dice, _ in rows(series) if dice}
    button = series.widget.bar.check
    seen = []
    while button.isEnabled():
        seen.append(button.text().removeprefix("Check image ").partition(":")[0])
        button.click()
        assert visible(series) == [seen[-1], f"{seen[-1]} [ICL-SAM]"]
        assert current(series) == seen[-1]
    assert seen == sorted(estimates, key=lambda name: estimates[name])
    on_screen = f"On screen: {seen[-1]}, overlap about {estimates[seen[-1]]:.2f}"
    assert button.text() == f"Check images\n{on_screen}"


def test_corrections_of_any_image_become_examples(series: Dock) -> None:
    series.viewer.add_image(stack()[0][5], name="cell4")
    series.segment()
    improve = series.widget.bar.improve
    assert (improve.isEnabled(), improve.text()) == (False, "Use corrected images as examples")
    for name in ("cell2", "cell3"):
        correct(series.viewer.layers[f"{name} [ICL-SAM]"])
    assert improve.text() == "Use 2 corrected images as examples"
    assert [row[2] for row in rows(series)[2:]] == ["corrected", "corrected", "done"]
    kept = series.viewer.layers["cell2 [ICL-SAM]"].data.copy()
    improve.click()
    series.finish()
    found = {example.image.name for example in series.widget.planner.layer_examples()}
    assert found == {"cell0", "cell1", "cell2", "cell3"}
    assert (series.viewer.layers["cell2 [ICL-SAM]"].data == kept).all()
    assert series.widget.bar.message.text().startswith("Done: 1 image")


def test_where_all_images_are_corrected_there_is_nothing_left_to_segment(series: Dock) -> None:
    series.segment()
    for name in ("cell2", "cell3"):
        correct(series.viewer.layers[f"{name} [ICL-SAM]"])
    series.widget.bar.improve.click()
    series.settle()
    assert series.widget.bar.message.text().startswith("The corrections are examples now.")
    assert not series.widget.run.runner.is_busy


def test_an_image_that_fails_is_named_and_the_others_are_segmented(series: Dock) -> None:
    broken = stack()[0][3].astype(np.float32)
    broken[0, 0] = np.nan
    series.viewer.add_image(broken, name="broken", contrast_limits=(0, 255))
    series.viewer.add_image(stack()[0][4], name="last")
    series.segment()
    states = {name: state for name, _, state in rows(series)}
    assert states["broken"] == "failed"
    assert states["cell2"] == states["last"] == "done"
    item = series.widget.series.list.topLevelItem(4)
    assert "finite" in item.toolTip(2)
    message = series.widget.bar.message.text()
    assert "Done: 3 images" in message
    assert "Not segmented: broken" in message
    assert "broken [ICL-SAM]" not in series.viewer.layers


def test_a_first_image_that_fails_leaves_the_next_its_own_result(series: Dock) -> None:
    # the topmost is the first of a run; its size is another
    broken = stack(8, 30, 30)[0][3].astype(np.float32)
    broken[0, 0] = np.nan
    series.viewer.add_image(broken, name="broken", contrast_limits=(0, 255))
    series.segment()
    assert series.viewer.layers["cell2 [ICL-SAM]"].data.shape == (36, 50)
    assert series.viewer.layers["cell3 [ICL-SAM]"].data.shape == (40, 48)


def write(folder: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        Image.fromarray(stack()[0][number]).save(folder / name)


def open_next(dock: Dock, qtbot: Any) -> None:
    count = len(dock.viewer.layers)
    dock.widget.series.next.click()
    qtbot.waitUntil(lambda: len(dock.viewer.layers) > count, timeout=20_000)


def test_files_of_a_folder_are_opened_when_they_are_shown(
    dock: Dock, tmp_path: Path, qtbot: Any
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write(folder, ["b.png", "a.png", "c.png"])
    (folder / "notes.txt").write_text("no image\n")
    dock.widget.review.series.add_folder(folder)
    assert rows(dock) == [[name, "", "not opened"] for name in ("a.png", "b.png", "c.png")]
    assert len(dock.viewer.layers) == 0
    open_next(dock, qtbot)
    open_next(dock, qtbot)
    assert [layer.name for layer in dock.viewer.layers] == ["a", "b"]
    assert visible(dock) == ["b"]
    assert [row[0] for row in rows(dock)] == ["a", "b", "c.png"]


def test_a_file_that_is_broken_is_said_and_the_next_one_can_be_opened(
    dock: Dock, tmp_path: Path, qtbot: Any, capture: list[str]
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_text("these are not pixels\n")
    write(folder, ["b.png"])
    dock.widget.review.series.add_folder(folder)
    with qtbot.waitSignal(dock.widget.review.failed, timeout=20_000) as heard:
        dock.widget.series.next.click()
    assert "a.png cannot be read as PNG" in str(heard.args[0])
    assert rows(dock)[0] == ["a.png", "", "failed"]
    open_next(dock, qtbot)
    assert [layer.name for layer in dock.viewer.layers] == ["b"]


def test_a_folder_without_images_is_said(dock: Dock, tmp_path: Path, qtbot: Any) -> None:
    with qtbot.waitSignal(dock.widget.review.failed, timeout=5_000) as heard:
        dock.widget.review.series.add_folder(tmp_path)
    assert "holds no image" in str(heard.args[0])


def test_labels_beside_a_file_are_opened_with_it(dock: Dock, tmp_path: Path, qtbot: Any) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write(folder, ["cell1.png", "cell2.png"])
    Image.fromarray(stack()[1][0]).save(folder / "cell1_mask.png")
    dock.widget.review.series.add_folder(folder)
    assert [row[0] for row in rows(dock)] == ["cell1.png", "cell2.png"]
    open_next(dock, qtbot)
    dock.settle()
    assert [layer.name for layer in dock.viewer.layers] == ["cell1", "cell1 labels"]
    assert rows(dock)[0] == ["cell1", "", "example"]
    assert dock.viewer.layers.selection.active.name == "cell1 labels"


def test_a_folder_that_is_added_again_lists_only_what_is_not_open(
    dock: Dock, tmp_path: Path, qtbot: Any
) -> None:
    write(tmp_path, ["a.png", "b.png"])
    control = dock.widget.review.series
    control.add_folder(tmp_path)
    open_next(dock, qtbot)
    control.add_folder(tmp_path)
    assert [row[0] for row in rows(dock)] == ["a", "b.png"]
    dock.viewer.layers.remove("a")
    control.add_folder(tmp_path)
    assert [row[0] for row in rows(dock)] == ["b.png", "a.png"]


def test_a_stack_among_the_files_is_said(dock: Dock, tmp_path: Path, qtbot: Any) -> None:
    tifffile.imwrite(tmp_path / "scan.tif", stack()[0])
    dock.widget.review.series.add_folder(tmp_path)
    with qtbot.waitSignal(dock.widget.review.failed, timeout=20_000) as heard:
        dock.widget.series.next.click()
    assert str(heard.args[0]) == "scan.tif is a stack: open it as a layer of its own."
    assert rows(dock) == [["scan.tif", "", "failed"]]


def test_new_labels_belong_to_the_image_on_view(series: Dock) -> None:
    form = series.widget.series
    assert not form.paint.isEnabled()
    assert "Show an image first" in form.paint.toolTip()
    form.list.itemClicked.emit(form.list.topLevelItem(2), 0)
    form.paint.click()
    labels = series.viewer.layers["cell2 labels"]
    assert labels.data.shape == (36, 50)
    assert labels.mode == "paint"
    labels.data[10:20, 10:20] = 1
    series.widget.examples.note_changed(labels)
    series.settle()
    assert rows(series)[2] == ["cell2", "", "example"]
    assert visible(series) == ["cell2", "cell2 labels"]


def test_results_of_images_that_are_not_on_view_are_hidden(series: Dock) -> None:
    form = series.widget.series
    form.list.itemClicked.emit(form.list.topLevelItem(2), 0)
    series.segment()
    assert visible(series) == ["cell2", "cell2 [ICL-SAM]"]
    assert series.viewer.layers.selection.active.name == "cell2 [ICL-SAM]"
    # what a user shows by hand stays
    series.viewer.layers["cell3 [ICL-SAM]"].visible = True
    series.widget.review.update()
    assert visible(series) == ["cell2", "cell2 [ICL-SAM]", "cell3 [ICL-SAM]"]


def test_results_of_images_under_another_one_are_hidden(dock: Dock) -> None:
    dock.widget.settings.show_settings(Settings(fine_tune=False, cross_validate=False))
    images, labels = stack()
    for number in range(4):
        # the last lies beside the others
        place = (0, 100 * (number == 3))
        dock.viewer.add_image(images[2 + number], name=f"cell{number}", translate=place)
    dock.viewer.add_labels(labels[2], name="cell0 labels")
    dock.segment()
    images_and_labels = ["cell0", "cell1", "cell2", "cell3", "cell0 labels"]
    assert visible(dock) == [*images_and_labels, "cell3 [ICL-SAM]", "cell2 [ICL-SAM]"]
    assert dock.viewer.layers.selection.active.visible
    # what a user shows by hand stays
    dock.viewer.layers["cell1 [ICL-SAM]"].visible = True
    dock.widget.review.update()
    assert dock.viewer.layers["cell1 [ICL-SAM]"].visible


def test_the_one_result_of_an_image_under_another_one_is_shown(dock: Dock) -> None:
    images, labels = stack()
    lower, upper = (dock.viewer.add_image(images[2 + n], name=f"cell{n}") for n in range(2))
    dock.viewer.add_labels(labels[2], name="cell labels")
    dock.settle()
    for image in (lower, upper):
        dock.widget.start_run(image).wait()
        assert dock.viewer.layers[f"{image.name} [ICL-SAM]"].visible
    # that of the image on top stays
    assert not dock.viewer.layers["cell0 [ICL-SAM]"].visible


@pytest.mark.parametrize("blending", ["additive", "translucent"])
def test_results_of_images_that_do_not_cover_others_are_shown(dock: Dock, blending: str) -> None:
    dock.widget.settings.show_settings(Settings(fine_tune=False, cross_validate=False))
    images, labels = stack()
    for number in range(3):
        dock.viewer.add_image(images[2 + number], name=f"channel{number}", blending=blending)
    dock.viewer.add_labels(labels[2], name="channel0 labels")
    layers.grid_of(dock.viewer).enabled = blending == "translucent"
    dock.segment()
    assert {"channel1 [ICL-SAM]", "channel2 [ICL-SAM]"} <= set(visible(dock))


def test_layers_of_no_image_stay_as_they_are(series: Dock) -> None:
    series.viewer.add_points([[3, 4]], name="landmarks")
    series.widget.series.next.click()
    assert visible(series) == ["cell0", "cell0 labels", "landmarks"]


def test_one_image_on_view_is_the_one_to_segment(dock: Dock) -> None:
    images, labels = stack()
    for number in range(2):
        dock.viewer.add_image(images[number], name=f"cell{number}")
        dock.viewer.add_labels(labels[number], name=f"cell{number} labels")
    dock.settle()
    assert dock.widget.query.chosen == "current"
    for number in range(2):
        dock.widget.series.next.click()
        assert dock.widget.query.image.layer.name == f"cell{number}"


def test_an_image_opened_later_is_ticked_beside_what_the_user_has_chosen(series: Dock) -> None:
    query = series.widget.query
    query.others.item(0).setCheckState(Qt.CheckState.Unchecked)
    kept = [layer.name for layer in query.ticked_layers()]
    series.viewer.add_image(stack()[0][6], name="late")
    assert [layer.name for layer in query.ticked_layers()] == ["late", *kept]


def test_words_say_images_where_images_are_meant(series: Dock) -> None:
    bar = series.widget.bar
    assert "Segment 2 images." in bar.segment.toolTip()
    series.segment()
    assert bar.line.text().endswith("an image")
    assert bar.message.text().startswith("Done: 2 images")
