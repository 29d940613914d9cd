"""Labels in another guise: opened as images, one layer an object, a duplicated result."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from tests._qt.conftest import SPACE, Dock, some, stack


@pytest.fixture
def parts(dock: Dock) -> Dock:
    image, labels = stack(planes=5)
    dock.viewer.add_image(image, name="scan", **SPACE)
    for number, name in ((1, "shell"), (2, "core")):
        mask = some((labels == number).astype(np.uint8), 0, 2)
        dock.viewer.add_labels(mask, name=name, **SPACE)
    dock.settle()
    return dock


def test_one_layer_an_object_is_said_and_joined_on_request(parts: Dock) -> None:
    offers = parts.widget.examples.offers
    assert not offers.isHidden()
    assert (
        "'shell' and 'core' hold one object each; only 'shell' is used."
        in parts.widget.examples.summary.text()
    )
    offers.click()
    parts.settle()
    joined = parts.widget.examples.labels.layer
    assert joined is not None
    np.testing.assert_array_equal(joined.data, some(stack(planes=5)[1], 0, 2))
    assert list(joined.features["name"]) == ["background", "shell", "core"]
    np.testing.assert_array_equal(joined.scale, SPACE["scale"])
    assert offers.isHidden()
    assert [style.name for style in parts.widget.examples.styles().values()] == ["shell", "core"]
    parts.segment()
    assert set(np.unique(parts.result().data)) == {0, 1, 2}


def test_pixels_of_two_objects_are_counted(parts: Dock, capture: list[str]) -> None:
    parts.viewer.layers["shell"].data[0] |= parts.viewer.layers["core"].data[0]
    overlap = np.count_nonzero(parts.viewer.layers["core"].data[0])
    parts.widget.examples.offers.click()
    parts.settle()
    assert f"{overlap} pixels lie in two objects; each belongs to the upper layer's." in capture


def test_labels_of_several_objects_are_not_offered_to_be_joined(parts: Dock) -> None:
    parts.viewer.layers["core"].data[2, 0, 0] = 7
    parts.viewer.layers["core"].events.data()
    parts.settle()
    assert parts.widget.examples.offers.isHidden()


def test_two_pictures_with_a_mask_each_are_not_offered_to_be_joined(dock: Dock) -> None:
    image, labels = stack(planes=2)
    for plane in range(2):
        dock.viewer.add_image(image[plane], name=f"cell {plane}")
        dock.viewer.add_labels((labels[plane] > 1).astype(int), name=f"cell {plane} mask")
    dock.settle()
    assert dock.widget.examples.table.count() == 2
    assert dock.widget.examples.offers.isHidden()


def grey(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.uint8) * 255


def colored(mask: np.ndarray) -> np.ndarray:
    return np.stack([grey(mask), 0 * grey(mask), 0 * grey(mask)], axis=-1)


def as_float(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.float32)


@pytest.mark.parametrize("kind", [grey, colored, as_float])
def test_a_mask_opened_as_an_image_is_converted_on_request(dock: Dock, kind: Any) -> None:
    image, labels = stack(planes=1)
    dock.viewer.add_image(image[0], name="cell")
    dock.viewer.add_image(kind(labels[0] > 1), name="cell_mask")
    dock.settle()
    offers = dock.widget.examples.offers
    assert offers.sentence == "'cell_mask' looks like labels, opened as an image."
    assert offers.sentence in dock.widget.examples.summary.text()
    offers.click()
    dock.settle()
    converted = dock.viewer.layers["cell_mask"]
    assert isinstance(converted, Labels)
    np.testing.assert_array_equal(converted.data > 0, labels[0] > 1)
    assert dock.widget.examples.table.count() == 1
    assert offers.isHidden()


def test_pictures_are_not_taken_for_labels(dock: Dock) -> None:
    image, _ = stack(planes=2)
    dock.viewer.add_image(image[0], name="one")
    dock.viewer.add_image(image[1], name="two")
    dock.settle()
    assert dock.widget.examples.offers.isHidden()


def test_a_duplicate_of_a_result_serves_as_labels_if_there_are_no_others(dock: Dock) -> None:
    image, labels = stack(planes=5)
    dock.viewer.add_image(image, name="scan")
    painted = dock.viewer.add_labels(some(labels, 0, 2), name="painted")
    dock.segment()
    result = dock.result()
    copy = Labels(result.data.copy(), name="mine", metadata=deepcopy(result.metadata))
    dock.viewer.layers.remove(painted)
    dock.settle()
    assert dock.widget.examples.table.count() == 0
    dock.viewer.layers.remove(result)
    dock.viewer.add_layer(copy)
    dock.settle()
    assert dock.widget.examples.labels.layer is copy
    assert dock.widget.examples.table.count() == 5
