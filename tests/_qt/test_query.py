"""What can be segmented: slices of any orientation, ranges, further axes, colors, levels."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

from tests._qt.conftest import Dock, some, stack


def choose(dock: Dock, scope: str) -> None:
    """Choose a scope as a user does."""
    combo = dock.widget.query.scope
    index = combo.findData(scope)
    assert combo.model().item(index).isEnabled()
    combo.setCurrentIndex(index)
    combo.activated.emit(index)


def filled_planes(result: Any, axis: int = 0) -> list[int]:
    """Return the planes along an axis in which anything is labelled."""
    others = tuple(a for a in range(result.data.ndim) if a != axis)
    return np.flatnonzero(result.data.any(axis=others)).tolist()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_labelled_slices_are_found_along_the_axis_they_lie_along(dock: Dock, axis: int) -> None:
    image, labels = stack(planes=8, height=10, width=12)
    image, labels = np.moveaxis(image, 0, axis), np.moveaxis(labels, 0, axis)
    dock.viewer.add_image(image, name="scan", axis_labels=("p", "q", "r"))
    dock.viewer.add_labels(
        some(labels, 3, 5, axis=axis), name="painted", axis_labels=("p", "q", "r")
    )
    dock.settle()
    assert f"2 labelled slices found along {'pqr'[axis]}" in dock.widget.examples.summary.text()
    assert dock.widget.query.axis.currentText() == f"{'pqr'[axis]} (8 slices)"
    dock.segment()
    assert set(filled_planes(dock.result(), axis)) <= set(range(8))
    kept = dock.result().data.take(3, axis)
    np.testing.assert_array_equal(kept, labels.take(3, axis))


def test_a_range_of_slices_is_segmented_and_nothing_else(dock: Dock) -> None:
    image, labels = stack()
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 4, 6), name="painted")
    dock.settle()
    choose(dock, "range")
    dock.widget.query.first.setValue(1)
    dock.widget.query.last.setValue(2)
    assert "2 slices" in dock.widget.bar.segment.toolTip()
    dock.segment()
    assert filled_planes(dock.result()) == [1, 2]


def test_the_whole_stack_includes_the_examples(dock: Dock) -> None:
    image, labels = stack(planes=4)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 2), name="painted")
    dock.settle()
    choose(dock, "all")
    assert "4 slices" in dock.widget.bar.segment.toolTip()


@pytest.mark.parametrize(
    ("order", "axis"), [((0, 1, 2), 0), ((0, 2, 1), 0), ((1, 0, 2), 1), ((2, 0, 1), 2)], ids=str
)
def test_the_current_slice_is_the_one_on_screen_after_rolling(
    dock: Dock, order: tuple[int, ...], axis: int
) -> None:
    image, labels = stack(planes=12, height=20, width=24)
    dock.viewer.add_image(image, name="scan", scale=(2, 1, 1))
    dock.viewer.add_labels(some(labels, 5, 6), name="painted", scale=(2, 1, 1))
    dock.settle()
    choose(dock, "current")
    dock.viewer.dims.order = order
    dock.viewer.dims.set_current_step(axis, 7)
    targets = dock.widget.planner.query_slices()
    assert [target.positions for target in targets] == [((7,),)]
    assert targets[0].orientation.stack_axes == (axis,)
    dock.segment()
    assert np.any(dock.result().data.take(7, axis))


def test_in_four_dimensions_the_leading_axis_is_held_or_iterated(dock: Dock) -> None:
    image, labels = stack(planes=4)
    series = np.stack([image, image[::-1]])
    painted = np.zeros_like(series)
    painted[1, 2] = labels[::-1][2]
    dock.viewer.add_image(series, name="series", axis_labels=("t", "z", "y", "x"))
    dock.viewer.add_labels(painted, name="painted", axis_labels=("t", "z", "y", "x"))
    dock.settle()
    dock.viewer.dims.set_current_step(0, 1)
    assert "1 labelled slice found along t and z" in dock.widget.examples.summary.text()
    further = dock.widget.query.further
    assert not further.isHidden()
    assert further.itemText(0) == "t: as shown now"
    further.setCurrentIndex(0)
    further.activated.emit(0)
    assert [t.positions for t in dock.widget.planner.query_slices()] == [((1, 0), (1, 1), (1, 3))]
    further.setCurrentIndex(1)
    further.activated.emit(1)
    assert sum(len(t.positions) for t in dock.widget.planner.query_slices()) == 7
    dock.segment()
    assert dock.result().data.shape == series.shape
    np.testing.assert_array_equal(dock.result().data[1, 2], painted[1, 2])


def test_labels_without_the_images_leading_axis_belong_to_what_is_shown(dock: Dock) -> None:
    image, labels = stack(planes=4)
    dock.viewer.add_image(np.stack([image // 2, image]), name="channels")
    dock.viewer.dims.set_current_step(0, 1)
    dock.viewer.add_labels(some(labels, 1), name="painted")
    dock.settle()
    (row,) = dock.widget.examples.table.ticked()
    assert row.example.image_position == (1, 1)
    pair = row.example.pair()
    np.testing.assert_array_equal(pair.image[0], image[1])


def test_channels_are_not_taken_for_slices(dock: Dock) -> None:
    image, labels = stack(planes=3)
    dock.viewer.add_image(image, name="cells", axis_labels=("c", "y", "x"))
    dock.viewer.add_labels(some(labels, 1), name="painted")
    dock.settle()
    assert not dock.widget.bar.segment.isEnabled()
    said = dock.widget.bar.segment.toolTip()
    assert "Axis 'c' of 'cells' holds channels and not slices: right-click" in said
    # one that is on screen can be segmented
    dock.widget.query.scope.setCurrentIndex(dock.widget.query.scope.findData("current"))
    dock.widget.query.scope.activated.emit(dock.widget.query.scope.currentIndex())
    assert dock.widget.bar.segment.isEnabled()


def test_color_images_are_segmented(dock: Dock) -> None:
    image, labels = stack(planes=4)
    dock.viewer.add_image(np.stack([image, image // 2, image], axis=-1), name="color", rgb=True)
    dock.viewer.add_labels(some(labels, 1, 2), name="painted")
    dock.segment()
    assert dock.result().data.shape == labels.shape
    assert filled_planes(dock.result()) == [0, 1, 2, 3]


def test_of_a_multiscale_image_the_level_of_the_labels_is_taken_and_shown(dock: Dock) -> None:
    image, labels = stack(planes=4, height=80, width=96)
    coarse = image[:, ::2, ::2]
    dock.viewer.add_image([image, coarse], name="pyramid", multiscale=True, scale=(2, 0.5, 0.5))
    dock.viewer.add_labels(
        some(labels[:, ::2, ::2], 1), name="painted", scale=(2, 1, 1), translate=(0, 0.25, 0.25)
    )
    dock.settle()
    assert "level 1 is segmented: 4 × 40 × 48" in dock.widget.query.level.text()
    dock.segment()
    result, pyramid = dock.result(), dock.viewer.layers["pyramid"]
    assert result.data.shape == coarse.shape
    np.testing.assert_allclose(result.scale, (2, 1, 1))
    np.testing.assert_allclose(
        result.data_to_world((0, 0, 0)), pyramid.data_to_world((0, 0.5, 0.5))
    )


def test_of_a_dask_stack_only_the_planes_wanted_are_computed(dock: Dock) -> None:
    image, labels = stack(planes=6)
    computed: list[int] = []

    def plane(block_info: Any = None) -> np.ndarray:
        index = block_info[None]["chunk-location"][0]
        computed.append(index)
        return image[index][None]

    lazy = da.map_blocks(
        plane, chunks=((1,) * 6, (40,), (48,)), dtype=np.uint8, meta=np.zeros((0, 0, 0), np.uint8)
    )
    dock.viewer.add_image(lazy, name="lazy", contrast_limits=(0, 255), cache=False)
    dock.viewer.add_labels(some(labels, 2, 3), name="painted")
    dock.settle()
    choose(dock, "range")
    dock.widget.query.first.setValue(4)
    dock.widget.query.last.setValue(4)
    dock.viewer.dims.set_current_step(0, 2)
    dock.settle()
    computed.clear()
    dock.segment()
    assert set(computed) <= {2, 3, 4}
    assert 4 in computed
    assert filled_planes(dock.result()) == [4]


def test_flat_pairs_are_matched_by_name_and_the_rest_is_segmented(dock: Dock) -> None:
    images, labels = stack(planes=4)
    for n in range(4):
        dock.viewer.add_image(images[n], name=f"cell {n}")
    for n in (2, 0):
        dock.viewer.add_labels(labels[n], name=f"mask of cell {n}")
    dock.settle()
    rows = dock.widget.examples.table.ticked()
    assert {(r.example.image.name, r.example.labels.name) for r in rows} == {
        ("cell 0", "mask of cell 0"),
        ("cell 2", "mask of cell 2"),
    }
    assert dock.widget.query.chosen == "layers"
    assert {layer.name for layer in dock.widget.query.ticked_layers()} == {"cell 1", "cell 3"}
    dock.segment()
    names = {layer.name for layer in dock.viewer.layers}
    assert {"cell 1 [ICL-SAM]", "cell 3 [ICL-SAM]"} <= names


def test_a_single_labelled_picture_offers_what_is_possible_only(dock: Dock) -> None:
    images, labels = stack(planes=2)
    dock.viewer.add_image(images[0], name="one")
    dock.viewer.add_labels(labels[0], name="mask")
    dock.settle()
    model = dock.widget.query.scope.model()
    enabled = {
        dock.widget.query.scope.itemData(n): model.item(n).isEnabled()
        for n in range(model.rowCount())
    }
    assert enabled == {
        "rest": False,
        "all": False,
        "range": False,
        "current": True,
        "layers": False,
    }
    assert model.item(0).toolTip() == "The image is a single plane."


def test_grey_values_are_taken_as_shown_on_request(dock: Dock) -> None:
    image, labels = stack(planes=5)
    outlier = image.astype(np.int16) * 10 - 500
    outlier[:, 0, 0] = 30_000
    dock.viewer.add_image(outlier, name="scan", contrast_limits=(-500, 2050))
    dock.viewer.add_labels(some(labels, 1, 3), name="painted")
    dock.settle()
    dock.widget.query.as_shown.setChecked(True)
    request = dock.widget._plan().request
    expected = image.copy()
    expected[:, 0, 0] = 255
    first, second = request.read_support().images
    assert np.array_equal(first, expected[1])
    assert np.array_equal(second, expected[3])
    (job,) = request.jobs
    assert job.slices.dtype == np.uint8
    assert np.array_equal(job.slices[0], expected[job.slices.positions[0]])
    # slices of the stack that the examples are of are still known as such
    assert {id(pair.image.array) for pair in request.pairs} == {id(job.slices.array)}
    dock.segment()
    assert np.array_equal(dock.result().data[1], labels[1])


def test_colors_are_as_they_are_whatever_the_limits(dock: Dock) -> None:
    image, labels = stack(planes=1)
    color = np.stack([image[0]] * 3, axis=-1)
    dock.viewer.add_image(color, name="photo", contrast_limits=(100, 120))
    dock.viewer.add_labels(labels[0], name="painted")
    dock.settle()
    dock.widget.query.as_shown.setChecked(True)
    (pair,) = dock.widget._plan().request.pairs
    assert np.array_equal(pair.read_image(), color)
