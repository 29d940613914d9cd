"""From layers to a result: what a newcomer does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests._qt.conftest import NAMES, SPACE, Dock, some, stack


@pytest.fixture
def filled(dock: Dock) -> Dock:
    image, labels = stack()
    dock.viewer.add_image(image, name="scan", **SPACE)
    dock.viewer.add_labels(some(labels, 2, 4, 6), name="painted", features=NAMES, **SPACE)
    dock.settle()
    return dock


def test_an_empty_viewer_is_told_what_to_do_first(dock: Dock) -> None:
    dock.settle()
    assert not dock.widget.bar.segment.isEnabled()
    assert "open an image" in dock.widget.bar.segment.toolTip()
    assert "open an image" in dock.widget.examples.summary.text()
    # an empty label would take a line
    assert dock.widget.query.level.isHidden()


def test_the_form_fills_itself_from_a_stack_with_three_labelled_slices(filled: Dock) -> None:
    widget = filled.widget
    assert (
        widget.examples.summary.text() == "3 labelled slices found along z: labels 1 shell, 2 core"
    )
    titles = [row.example.title() for row in widget.examples.table.ticked()]
    assert titles == ["scan, z 2", "scan, z 4", "scan, z 6"]
    assert widget.query.chosen == "rest"
    assert "5 slices" in widget.bar.segment.toolTip()


def test_pressing_segment_fills_the_rest_of_the_stack(filled: Dock) -> None:
    filled.segment()
    result, painted = filled.result(), filled.viewer.layers["painted"]
    assert result.name == "scan [ICL-SAM]"
    assert result.data.shape == painted.data.shape
    for plane in (2, 4, 6):
        np.testing.assert_array_equal(result.data[plane], painted.data[plane])
    assert all(result.data[plane].any() for plane in (0, 1, 3, 5, 7))
    assert filled.widget.bar.message.text().startswith("Done: 5 slices")


def test_the_result_keeps_names_and_colors_of_the_labels(filled: Dock) -> None:
    filled.segment()
    result, painted = filled.result(), filled.viewer.layers["painted"]
    assert list(result.features["name"]) == ["background", "shell", "core"]
    for label in (1, 2):
        np.testing.assert_allclose(result.get_color(label), painted.get_color(label), atol=1e-3)
    assert result.data.dtype == painted.data.dtype


def test_the_result_keeps_what_made_it(filled: Dock) -> None:
    filled.segment()
    made = filled.result().metadata["napari_iclsam"]
    assert made["models"] == {"sam": "small_sam", "icl": "small_icl"}
    assert made["checksums"] == {"sam": "a", "icl": "b"}
    assert made["examples"] == 3
    assert made["image"] == "scan"
    assert made["labels"] == {1: "shell", 2: "core"}
    assert made["settings"]["mode"] == "auto"


SPATIAL: dict[str, Any] = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (10.0, -3.0, 4.0),
    "rotate": [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]],
    "shear": [0.1, 0.2, 0.3],
    "affine": [[1, 0, 0, 5], [0, 1, 0.2, 6], [0, 0, 1, 7], [0, 0, 0, 1]],
    "units": ("mm", "um", "um"),
    "axis_labels": ("z", "y", "x"),
}


@pytest.mark.parametrize("name", SPATIAL)
def test_the_result_lies_where_the_image_lies(dock: Dock, name: str) -> None:
    image, labels = stack(planes=4)
    place = {name: SPATIAL[name]}
    dock.viewer.add_image(image, name="scan", **place)
    dock.viewer.add_labels(some(labels, 1, 2), name="painted", **place)
    dock.segment()
    result, scan = dock.result(), dock.viewer.layers["scan"]
    given, kept = getattr(scan, name), getattr(result, name)
    if name in ("units", "axis_labels"):
        assert kept == given
    else:
        np.testing.assert_allclose(np.asarray(kept), np.asarray(given))
    corner = (3, 20, 30)
    np.testing.assert_allclose(result.data_to_world(corner), scan.data_to_world(corner))


def test_planes_appear_one_by_one(filled: Dock, qtbot: Any) -> None:
    seen: list[int] = []

    def note(step: Any) -> None:
        if step.done and step.prediction is not None:
            result = filled.result()
            seen.append(sum(bool(result.data[plane].any()) for plane in (0, 1, 3, 5, 7)))

    filled.widget.run.runner.stepped.connect(note)
    filled.segment()
    filled.widget.run.runner.stepped.disconnect(note)
    # later steps settle the slices that are there
    assert seen[:5] == [1, 2, 3, 4, 5]


def test_the_slice_on_view_is_shown_before_the_examples_are_cross_validated(filled: Dock) -> None:
    filled.viewer.dims.set_current_step(0, 5)
    steps: list[Any] = []
    filled.widget.run.runner.stepped.connect(steps.append)
    filled.segment()
    filled.widget.run.runner.stepped.disconnect(steps.append)
    messages = [step.message for step in steps]
    predictions = [step for step in steps if step.prediction is not None]
    positions = filled.widget.planner.query_slices()[0].positions
    assert positions[predictions[0].slice_number.number] == (5,)
    assert messages.index(predictions[0].message) < min(
        n for n, m in enumerate(messages) if m.startswith("Cross-validating")
    )
    assert [step.done for step in predictions] == [0, 1, 2, 3, 4, 5, *[5] * 5]
    settled = [step for step in predictions if positions[step.slice_number.number] == (5,)]
    assert len(settled) == 3
    np.testing.assert_array_equal(filled.result().data[5], settled[-1].prediction.labels)


def test_painting_another_slice_adds_an_example(filled: Dock) -> None:
    painted = filled.viewer.layers["painted"]
    filled.viewer.dims.set_current_step(0, 7)
    painted.paint((7, 20, 24), 1)
    filled.settle()
    titles = [row.example.title() for row in filled.widget.examples.table.ticked()]
    assert titles == ["scan, z 2", "scan, z 4", "scan, z 6", "scan, z 7"]
    assert "4 slices" in filled.widget.bar.segment.toolTip()


def test_an_image_of_so_few_columns_that_they_look_like_colors_is_refused(dock: Dock) -> None:
    image, labels = stack()
    dock.viewer.add_image(image[:, :, :4], name="scan")
    dock.viewer.add_labels(labels[:, :, :4], name="painted")
    dock.settle()
    assert not dock.widget.bar.segment.isEnabled()
    assert "'scan' is 8 × 40 × 4: at least 5 columns are needed" in (
        dock.widget.bar.segment.toolTip()
    )


def test_labels_of_another_size_are_refused_in_words(dock: Dock) -> None:
    image, labels = stack()
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(labels[:, :-2], name="painted")
    dock.settle()
    assert not dock.widget.bar.segment.isEnabled()
    assert "Sizes differ: image 'scan' is 8 × 40 × 48, labels 'painted' are 8 × 38 × 48." in (
        dock.widget.bar.segment.toolTip()
    )
