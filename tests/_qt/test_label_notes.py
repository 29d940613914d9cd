"""What the dock says about labels that seem to be meant otherwise."""

from __future__ import annotations

import numpy as np
from skimage.measure import label

from napari_iclsam._qt.run.request import Pair, Request
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.settings import Settings
from tests._qt.conftest import Dock, some, stack


def summary_of(dock: Dock, labels: np.ndarray) -> str:
    image = np.random.default_rng(0).integers(0, 255, labels.shape, np.uint8)
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(labels, name="painted")
    dock.settle()
    return str(dock.widget.examples.summary.text())


def test_instances_are_recognized_and_said_before_a_run(dock: Dock) -> None:
    rows, columns = np.mgrid[:60, :60]
    cells = label(((rows % 10) < 6) & ((columns % 10) < 6)).astype(np.int32)
    text = summary_of(dock, cells)
    assert "The labels look like instances: scan has 36 numbers" in text
    assert "--" not in text


def test_a_rim_of_255_is_said(dock: Dock) -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[10:40, 10:40] = 255
    labels[13:37, 13:37] = 1
    assert "Labels hold 255 beside 1" in summary_of(dock, labels)


def test_a_few_painted_pixels_are_said_and_whole_objects_are_not(dock: Dock) -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[30, 20:28] = 1
    assert "only 8 of 3600 pixels are painted" in summary_of(dock, labels)
    dock.viewer.layers["painted"].data = np.pad(np.ones((40, 40), np.uint8), 10)
    dock.settle()
    assert "painted, and" not in dock.widget.examples.summary.text()


def test_an_example_far_smaller_than_the_others_is_said(dock: Dock) -> None:
    _, labels = stack(planes=6)
    painted = some((labels > 0).astype(np.uint8), 2, 3, 4)
    painted[4] = 0
    painted[4, 4:9, 4:9] = 1
    assert "axis 0 4: label 1 covers 25 pixels" in summary_of(dock, painted)


def test_masks_of_1_and_of_255_are_one_object() -> None:
    image, labels = stack(planes=2)
    mask = (labels[0] > 1).astype(np.uint8)
    pairs = (Pair(image[0], mask), Pair(image[1], mask * 255))
    support = Request(ModelChoice(), Settings(), pairs, {}, ()).read_support()
    assert support.ids == (1,)
