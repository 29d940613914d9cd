"""Which labels belong to which image, among several of one size."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_iclsam._qt.viewer.layers import likely_image, misfit
from napari_iclsam._qt.viewer.turned_labels import turn_between, turned_onto
from tests._qt.conftest import Dock, some, stack

SIZE = (12, 16)


def image(name: str, **place: Any) -> Image:
    return Image(np.zeros(SIZE, np.uint8), name=name, **place)


def labels(name: str, **place: Any) -> Labels:
    return Labels(np.zeros(SIZE, np.uint8), name=name, **place)


def test_of_two_tiles_the_labels_belong_to_the_one_in_their_place() -> None:
    left = image("tile 1", scale=(0.5, 0.5))
    right = image("tile 2", scale=(0.5, 0.5), translate=(0, 8))
    on_right = labels("tile 1 labels", scale=(0.5, 0.5), translate=(0, 8))
    assert likely_image(on_right, [left, right]) is right


def test_labels_of_another_tile_are_refused_with_both_names() -> None:
    left = image("tile 1", scale=(0.5, 0.5))
    right = image("tile 2", scale=(0.5, 0.5), translate=(0, 8))
    on_right = labels("cells", scale=(0.5, 0.5), translate=(0, 8))
    assert "'cells' lie beside image 'tile 1', where it has no pixels." in misfit(left, on_right)
    assert likely_image(on_right, [left]) is None
    assert misfit(right, on_right) == ""
    # moved by less than themselves, or never placed, as after "New labels"
    assert misfit(left, labels("near", scale=(0.5, 0.5), translate=(0, 7))) == ""
    assert misfit(right, labels("new", scale=(0.5, 0.5))) == ""


def test_labels_of_a_plane_lie_in_the_stack_whatever_its_slice() -> None:
    volume = Image(np.zeros((5, *SIZE)), name="scan", translate=(100, 0, 0))
    assert misfit(volume, labels("plane", translate=(2, 2))) == ""
    assert "lie beside" in misfit(volume, labels("plane", translate=(50, 0)))


def test_labels_that_nobody_placed_go_by_name() -> None:
    one = image("one", scale=(2, 2), translate=(5, 5))
    two = image("two", scale=(2, 2))
    assert likely_image(labels("one mask"), [one, two]) is one


def test_labels_turned_against_their_image_are_refused_with_both_orientations() -> None:
    volume = Image(np.zeros((4, 6, 6)), name="scan", affine=np.diag([2, 2, 2, 1]))
    turned = Labels(np.zeros((4, 6, 6), int), name="seg", affine=np.diag([2, -2, -2, 1]))
    assert "(+0, -1, -2)" in misfit(volume, turned)
    assert "(+0, +1, +2)" in misfit(volume, turned)
    assert misfit(volume, Labels(np.zeros((4, 6, 6), int), name="unplaced")) == ""
    assert misfit(turned, turned) == ""


@pytest.mark.parametrize("as_image", [False, True])
def test_turned_labels_are_turned_onto_their_image_on_request(dock: Dock, as_image: bool) -> None:
    pixels, painted = stack(planes=5, height=20, width=24)
    painted = some(painted, 1, 3)
    dock.viewer.add_image(pixels, name="scan", affine=np.diag([2.0, -1, -1, 1]))
    # the same voxels, stored with other axes: (column, row backwards, slice)
    moved = painted.transpose(2, 1, 0)[:, ::-1]
    affine = np.array([[0, 0, 2, 0], [0, 1, 0, -19], [-1, 0, 0, 0], [0, 0, 0, 1]], float)
    add = dock.viewer.add_image if as_image else dock.viewer.add_labels
    add(moved, name="seg", affine=affine)
    dock.settle()
    offers = dock.widget.examples.offers
    if as_image:
        assert offers.text() == "Convert to labels"
        offers.click()
        dock.settle()
    assert dock.widget.examples.table.count() == 0
    assert offers.text() == "Turn labels"
    offers.click()
    dock.settle()
    turned = dock.viewer.layers["seg (turned)"]
    np.testing.assert_array_equal(turned.data, painted)
    np.testing.assert_array_equal(turned.affine.affine_matrix, np.diag([2.0, -1, -1, 1]))
    assert dock.widget.examples.labels.layer is turned
    assert dock.widget.examples.table.count() == 2
    assert not dock.viewer.layers["seg"].visible


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_a_flipped_plane_is_turned_and_another_grid_is_not(shift: float) -> None:
    flipped = labels("seg", scale=(1, -1), translate=(0, 15 + shift))
    turn = turn_between(image("scan", scale=(1, 1)), flipped)
    assert (turn is None) == (shift > 0)
    if turn is not None:
        assert turned_onto(image("scan"), flipped, turn).data.shape == SIZE


@pytest.mark.parametrize("flat", [True, False])
def test_a_pair_once_shown_stays_when_another_image_of_its_size_is_opened(
    dock: Dock, flat: bool
) -> None:
    pixels, painted = stack(planes=4)
    if flat:
        pixels, painted = pixels[1], painted[1]
    else:
        painted = some(painted, 1, 2)
    a = dock.viewer.add_image(pixels, name="A")
    dock.viewer.add_labels(painted, name="B mask")
    dock.settle()
    b = dock.viewer.add_image(255 - pixels, name="B")
    dock.settle()
    examples = [row.example for row in dock.widget.examples.table.rows()]
    assert examples
    assert {example.image for example in examples} == {a}
    # until the user says otherwise
    combo = dock.widget.examples.image
    combo.setCurrentText("B")
    combo.activated.emit(combo.currentIndex())
    dock.settle()
    examples = [row.example for row in dock.widget.examples.table.rows()]
    assert {example.image for example in examples} == {b}


@pytest.mark.parametrize("multiscale", [False, True])
def test_an_axis_of_size_one_is_dropped_on_request(dock: Dock, multiscale: bool) -> None:
    pixels, painted = stack(planes=5, height=20, width=24)
    painted = some(painted, 1, 3)
    dock.viewer.add_image(pixels, name="scan", scale=(3, 0.5, 0.5))
    levels = [da.from_array(painted[None]), da.from_array(painted[None, :, ::2, ::2])]
    dock.viewer.add_labels(
        levels if multiscale else painted[None],
        multiscale=multiscale,
        name="cells",
        scale=(1, 3, 0.5, 0.5),
    )
    dock.settle()
    offers = dock.widget.examples.offers
    assert offers.text() == "Drop axis of size one"
    offers.click()
    dock.settle()
    used = dock.widget.examples.labels.layer
    assert used is not None
    assert used.ndim == 3
    assert tuple(used.scale) == (3, 0.5, 0.5)
    examples = [row.example for row in dock.widget.examples.table.rows()]
    assert [example.position for example in examples] == [(1,), (3,)]
    assert np.array_equal(examples[0].pair().read_labels(), painted[1])
