"""Where results go, what else is shown, and that what a person painted stays."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

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
        np.testing.assert_allclose(layers[title].scale, SPACE["scale"])
        assert layers[title].units == result.units
        assert layers[title].axis_labels == result.axis_labels
    assert filled.viewer.layers[-1].name == result.name


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
