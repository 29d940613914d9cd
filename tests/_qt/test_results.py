"""Where results go, what else is shown, and that what a person painted stays."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Labels

from napari_iclsam._qt.run.session import Session
from napari_iclsam._qt.widget import ICLSAMWidget
from napari_iclsam.core.settings import Settings
from napari_iclsam.core.volume import plane_interpolation
from tests._qt.conftest import NAMES, SPACE, Dock, some, stack
from tests._qt.test_query import choose


@pytest.fixture
def filled(dock: Dock) -> Dock:
    image, labels = stack(planes=6)
    dock.viewer.add_image(image, name="scan", **SPACE)
    dock.viewer.add_labels(some(labels, 2, 4), name="painted", features=NAMES, **SPACE)
    dock.settle()
    return dock


def write_to(dock: Dock, target: str) -> None:
    combo = dock.widget.output.destination
    index = combo.findData(target)
    assert combo.model().item(index).isEnabled(), combo.model().item(index).toolTip()
    combo.setCurrentIndex(index)
    combo.activated.emit(index)


def results(dock: Dock) -> list[Any]:
    return [layer for layer in dock.viewer.layers if layer.name.startswith("scan [ICL-SAM]")]


def test_a_second_run_updates_the_first_result(filled: Dock) -> None:
    filled.segment()
    first = filled.result()
    filled.segment()
    assert results(filled) == [first]


def test_the_tools_of_a_result_draw_like_those_of_any_labels(filled: Dock) -> None:
    def visible(layer: Labels) -> dict[str, bool]:
        return {name: overlay.visible for name, overlay in layer._overlays.items()}

    filled.segment()
    filled._qtbot.waitUntil(
        lambda: visible(filled.result()) == visible(Labels(np.zeros((2, 2), int)))
    )


def test_a_new_layer_is_made_on_request(filled: Dock) -> None:
    filled.segment()
    write_to(filled, "new")
    filled.segment()
    one, two = results(filled)
    np.testing.assert_array_equal(one.data, two.data)


def test_filling_writes_only_where_nothing_is_painted(filled: Dock) -> None:
    painted = filled.viewer.layers["painted"]
    painted.data[3, 5:9, 5:9] = 2
    before = painted.data.copy()
    choose(filled, "all")
    write_to(filled, "fill")
    filled.segment()
    assert not results(filled)
    np.testing.assert_array_equal(painted.data[before > 0], before[before > 0])
    assert (painted.data[0] > 0).any()


def test_corrected_planes_survive_an_update(filled: Dock) -> None:
    filled.segment()
    result = filled.result()
    result.data[3] = 0
    result.paint((3, 3, 3), 2)
    corrected = result.data[3].copy()
    choose(filled, "all")
    filled.segment()
    np.testing.assert_array_equal(result.data[3], corrected)
    assert "Kept as you corrected them: 1." in filled.widget.bar.message.text()


def test_corrected_planes_are_replaced_on_request(filled: Dock) -> None:
    filled.segment()
    result = filled.result()
    before = result.data[3].copy()
    result.data[3] = 0
    result.paint((3, 3, 3), 2)
    filled.widget.output.replace.setChecked(True)
    filled.segment()
    np.testing.assert_array_equal(result.data[3], before)


def test_maps_of_each_label_are_shown_on_request(filled: Dock) -> None:
    for key in ("probability", "confidence", "icl", "sam"):
        filled.widget.output.extras[key].setChecked(True)
    filled.segment()
    layers = {layer.name.removeprefix("scan [ICL-SAM] "): layer for layer in filled.viewer.layers}
    titles = {
        f"{kind} {label}"
        for kind in ("probability of", "confidence map of")
        for label in ("shell", "core")
    }
    assert titles | {"in-context model only", "SAM only"} <= set(layers)
    result = filled.result()
    for number, name in ((1, "shell"), (2, "core")):
        probability = layers[f"probability of {name}"].data
        assert 0 <= probability.min() <= probability.max() <= 1
        for plane in (0, 1, 3, 5):
            assert (probability[plane][result.data[plane] == number] >= 0.5).all()
    for title in titles:
        # it would cover the image
        assert not layers[title].visible
        np.testing.assert_allclose(layers[title].scale, SPACE["scale"])
        assert layers[title].units == result.units
        assert layers[title].axis_labels == result.axis_labels
    assert filled.viewer.layers[-1].name == result.name


def test_slices_that_are_interpolated_are_counted(
    filled: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane_interpolation, "_LEAST_AGREEMENT", 0)
    filled.segment()
    sentence = "1 of them interpolated."
    assert sentence in filled.widget.bar.message.text()
    filled.widget.output.extras["confidence"].setChecked(True)
    filled.segment()
    assert "interpolated" not in filled.widget.bar.message.text()
    filled.widget.output.extras["confidence"].setChecked(False)
    filled.widget.settings.controls["interpolate_slices"].setChecked(False)
    filled.segment()
    assert "interpolated" not in filled.widget.bar.message.text()


@pytest.mark.parametrize(
    ("key", "seen"),
    [("probability", False), ("confidence", True), ("icl", True), ("sam", True), ("boxes", True)],
)
def test_what_the_models_say_is_shown_of_every_slice(filled: Dock, key: str, seen: bool) -> None:
    filled.widget.output.extras[key].setChecked(True)
    planned = filled.widget.planner.plan(
        filled.widget.models.models(), Settings(), filled.widget.output.options()
    )
    assert planned.request.interpolate != seen


class Boxed:
    """A session whose predictions have a box of label 1 on each plane."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def steps(self, request: Any) -> Generator[Any, None, Any]:
        steps = self._session.steps(request)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value
            if step.prediction is not None:
                boxes = {1: np.array([[5, 6, 20, 25 + step.slice_number.number]])}
                step = replace(step, prediction=replace(step.prediction, boxes=boxes))
            yield step


def test_boxes_lie_around_their_pixels_on_their_plane(filled: Dock) -> None:
    filled.widget.run.session = Boxed(filled.widget.run.session)
    filled.widget.output.extras["boxes"].setChecked(True)
    filled.segment()
    boxes = filled.viewer.layers["scan [ICL-SAM] boxes"]
    wanted = [(plane, 5.5, 4.5, 25.5 + number, 20.5) for number, plane in enumerate((0, 1, 3, 5))]
    drawn = [(box[0, 0], *box[:, 1:].min(0), *box[:, 1:].max(0)) for box in boxes.data]
    assert sorted(drawn) == wanted
    np.testing.assert_allclose(boxes.scale, SPACE["scale"])
    filled.segment()
    assert len(boxes.data) == len(wanted)


def test_exactly_the_corrected_planes_become_examples(filled: Dock) -> None:
    filled.segment()
    result, bar = filled.result(), filled.widget.bar
    assert not bar.improve.isEnabled()
    assert "Correct a slice" in bar.improve.toolTip()
    for plane in (1, 5):
        result.paint((plane, 3, 3), 1)
    result.paint((3, 3, 3), 1)
    result.undo()
    result.selected_label = 2
    kept = {plane: result.data[plane].copy() for plane in (1, 5)}
    filled.settle()
    assert bar.improve.isEnabled()
    assert bar.improve.text() == "Use 2 corrected slices as examples"
    bar.improve.click()
    filled.finish()
    filled.settle()
    rows = filled.widget.examples.table.ticked()
    assert [(row.example.labels.name, row.example.position) for row in rows] == [
        ("painted", (2,)),
        ("painted", (4,)),
        (result.name, (1,)),
        (result.name, (5,)),
    ]
    found = "2 labelled slices found along z, 2 more examples: labels 1 shell, 2 core"
    assert filled.widget.examples.summary.text() == found
    assert result.metadata["napari_iclsam"]["examples"] == 4
    for plane, data in kept.items():
        np.testing.assert_array_equal(result.data[plane], data)
    assert bar.message.text().startswith("Done: 2 slices")


def test_painting_can_be_undone_after_another_run(filled: Dock) -> None:
    filled.segment()
    result = filled.result()
    before = result.data[1].copy()
    result.paint((1, 3, 3), 2)
    assert not np.array_equal(result.data[1], before)
    filled.widget.bar.improve.click()
    filled.finish()
    result.undo()
    np.testing.assert_array_equal(result.data[1], before)


def assign(result: Any, data: np.ndarray) -> None:
    result.data = data


def write_and_refresh(result: Any, data: np.ndarray) -> None:
    result.data[...] = data
    result.refresh()


def write_alone(result: Any, data: np.ndarray) -> None:
    result.data[...] = data


@pytest.mark.parametrize("change", [assign, write_and_refresh, write_alone])
def test_what_another_tool_changed_in_a_result_is_kept_like_a_correction(
    filled: Dock, change: Callable[[Any, np.ndarray], None]
) -> None:
    filled.segment()
    result = filled.result()
    mine = result.data.copy()
    mine[3] = 0
    mine[3, 2:5, 2:5] = 2
    change(result, mine)
    filled.segment()
    np.testing.assert_array_equal(filled.result().data[3], mine[3])
    assert "Kept as you corrected them: 1." in filled.widget.bar.message.text()


def test_a_change_by_another_tool_on_screen_is_offered_as_an_example(filled: Dock) -> None:
    filled.segment()
    result = filled.result()
    filled.viewer.dims.set_point(0, filled.viewer.layers["scan"].data_to_world((3, 0, 0))[0])
    # seen as it was written
    filled._qtbot.waitUntil(lambda: result in filled.widget._redraws._shown)
    result.data[3, 2:5, 2:5] = 2
    result.refresh()
    filled._qtbot.waitUntil(
        lambda: filled.widget.results.corrections(filled.viewer.layers["scan"]) == {result: [(3,)]}
    )


def test_a_result_that_was_cropped_is_no_result_any_more(filled: Dock) -> None:
    filled.segment()
    result = filled.result()
    result.data = result.data[:3]
    assert filled.widget.results.record(result) is None
    filled.segment()
    assert results(filled)[-1].data.shape == filled.viewer.layers["scan"].data.shape


def test_a_result_follows_its_image_when_that_is_calibrated(filled: Dock) -> None:
    filled.widget.output.extras["probability"].setChecked(True)
    filled.segment()
    scan = filled.viewer.layers["scan"]
    scan.scale = (5.0, 0.25, 0.25)
    scan.translate = (1.0, 2.0, 3.0)
    np.testing.assert_array_equal(filled.result().scale, scan.scale)
    np.testing.assert_array_equal(filled.result().translate, scan.translate)
    filled.segment()
    for layer in results(filled):
        np.testing.assert_array_equal(layer.scale, scan.scale)


def test_a_result_carries_what_the_reader_knows_of_the_image(filled: Dock) -> None:
    filled.viewer.layers["scan"].metadata["nifti"] = {"affine": "that of the file"}
    filled.segment()
    assert filled.result().metadata["nifti"] == {"affine": "that of the file"}
    assert filled.result().metadata["napari_iclsam"]["image"] == "scan"
    assert "napari_iclsam" not in filled.viewer.layers["scan"].metadata


def test_filling_is_undone_in_one_step_and_makes_no_examples(filled: Dock) -> None:
    painted = filled.viewer.layers["painted"]
    before = painted.data.copy()
    titles = [row.example.title() for row in filled.widget.examples.table.rows()]
    write_to(filled, "fill")
    filled.segment()
    assert (painted.data[0] > 0).any()
    assert (painted.data[5] > 0).any()
    filled.settle()
    assert [row.example.title() for row in filled.widget.examples.table.rows()] == titles
    assert filled.widget.examples.labels.layer is painted
    painted.undo()
    np.testing.assert_array_equal(painted.data, before)
    painted.redo()
    assert (painted.data[0] > 0).any()


def test_a_filled_slice_that_was_corrected_becomes_an_example(filled: Dock) -> None:
    painted = filled.viewer.layers["painted"]
    count = filled.widget.examples.table.count()
    write_to(filled, "fill")
    filled.segment()
    filled.settle()
    painted.paint((3, 3, 3), 2)
    filled.settle()
    assert filled.widget.examples.table.count() == count + 1


def read_only(labels: np.ndarray) -> np.ndarray:
    labels.flags.writeable = False
    return labels


def lazy(labels: np.ndarray) -> Any:
    return da.from_array(labels, chunks=(1, -1, -1))


@pytest.mark.parametrize("kind", [read_only, lazy])
def test_filling_is_offered_only_where_it_can_write(
    dock: Dock, kind: Callable[[np.ndarray], Any]
) -> None:
    image, labels = stack()
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(kind(some(labels, 2, 4)), name="painted")
    dock.settle()
    combo = dock.widget.output.destination
    item = combo.model().item(combo.findData("fill"))
    assert not item.isEnabled()
    assert "cannot be written to" in item.toolTip()


def test_a_dock_that_is_opened_again_knows_results_and_corrections(
    filled: Dock, small: Callable[[], Session]
) -> None:
    filled.segment()
    result = filled.result()
    filled.close()
    result.data[3] = 0
    result.paint((3, 3, 3), 2)
    mine = result.data[3].copy()
    again = Dock(filled.viewer, ICLSAMWidget(filled.viewer), filled._qtbot)
    filled._qtbot.addWidget(again.widget)
    again.widget.run.session = small()
    scan = filled.viewer.layers["scan"]
    assert again.widget.results.corrections(scan) == {result: [(3,)]}
    again.segment()
    assert results(again) == [result]
    np.testing.assert_array_equal(result.data[3], mine)
    again.close()
