"""Which labels belong to which image, among several of one size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_iclsam._qt.viewer.layers import likely_image, misfit
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


def test_labels_that_nobody_placed_go_by_name() -> None:
    one = image("one", scale=(2, 2), translate=(5, 5))
    two = image("two", scale=(2, 2))
    assert likely_image(labels("one mask"), [one, two]) is one


def test_labels_turned_against_their_image_are_refused_with_both_orientations() -> None:
    volume = Image(np.zeros((4, 4, 4)), name="scan", affine=np.diag([2, 2, 2, 1]))
    turned = Labels(np.zeros((4, 4, 4), int), name="seg", affine=np.diag([2, -2, -2, 1]))
    assert "(+0, -1, -2)" in misfit(volume, turned)
    assert "(+0, +1, +2)" in misfit(volume, turned)
    assert misfit(volume, Labels(np.zeros((4, 4, 4), int), name="unplaced")) == ""
    assert misfit(turned, turned) == ""


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
