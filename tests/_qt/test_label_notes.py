"""What the dock says about labels that seem to be meant otherwise."""

from __future__ import annotations

import numpy as np
import pandas as pd
from skimage.measure import label

from napari_iclsam._qt.run.request import Pair, Request
from napari_iclsam._qt.viewer.example import FileExample
from napari_iclsam.core.images.unknown import UNKNOWN
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.objects.instances import learn_separation
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


def test_labels_with_names_of_their_own_are_no_instances(dock: Dock) -> None:
    labels = np.zeros((60, 60), np.uint8)
    for number in range(5):
        labels[10:20, 12 * number : 12 * number + 7] = number + 1
    names = ["background", "heart", "liver", "spleen", "left kidney", "right kidney"]
    dock.viewer.add_image(np.zeros((60, 60)), name="scan")
    features = pd.DataFrame({"index": range(6), "name": names})
    dock.viewer.add_labels(labels, name="organs", features=features)
    dock.settle()
    text = dock.widget.examples.summary.text()
    assert "1 heart" in text
    assert "instances" not in text


def test_a_rim_of_255_is_said(dock: Dock) -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[10:40, 10:40] = 255
    labels[13:37, 13:37] = 1
    assert "Labels hold 255 beside 1" in summary_of(dock, labels)


def test_a_rim_of_255_is_ignored_on_request_and_taken_back(dock: Dock) -> None:
    labels = np.zeros((60, 60), np.uint8)
    labels[10:40, 10:40] = 255
    labels[13:37, 13:37] = 1
    summary_of(dock, labels)
    form = dock.widget.examples
    assert form.offers.text() == "Ignore 255"
    form.offers.click()
    dock.settle()
    assert "Labels hold 255" not in form.summary.text()
    assert "255 is ignored" in form.summary.text()
    assert list(form.styles()) == [1]
    (pair,) = form.ready_pairs()
    assert ((pair.read_labels() == UNKNOWN) == (labels == 255)).all()
    support = Request(ModelChoice(), Settings(), (pair,), {}, ()).read_support()
    assert support.ids == (1,)
    assert (support.known(0) == (labels != 255)).all()
    form.offers.click()
    dock.settle()
    assert form.ready_pairs()[0].read_labels().max() == 255


def test_what_labels_mean_outlives_the_dock_and_is_in_the_result(dock: Dock) -> None:
    image, labels = stack(planes=5)
    labels[labels == 2] = 255
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(some(labels, 1, 3), name="painted")
    dock.settle()
    dock.widget.examples.offers.click()
    dock.widget.close_down()
    dock.widget.open_up()
    dock.segment()
    assert set(np.unique(dock.result().data)) == {0, 1}
    assert set(np.unique(dock.viewer.layers["painted"].data)) == {0, 1, 255}


def test_instances_become_one_class_on_request(dock: Dock) -> None:
    rows, columns = np.mgrid[:60, :60]
    cells = label(((rows % 10) < 6) & ((columns % 10) < 6)).astype(np.int32)
    summary_of(dock, cells)
    form = dock.widget.examples
    assert form.offers.text() == "One class"
    form.offers.click()
    dock.settle()
    assert "taken for one class" in form.summary.text()
    assert (form.ready_pairs()[0].read_labels() == (cells > 0)).all()
    fill = dock.widget.output.destination
    dock.widget.query.choose("current")
    dock.widget.examples.changed.emit()
    assert not fill.model().item(fill.findData("fill")).isEnabled()
    form.offers.click()
    dock.settle()
    assert form.ready_pairs()[0].read_labels().max() == 36


def test_instances_of_one_class_teach_how_objects_are_told_apart(dock: Dock) -> None:
    rows, columns = np.mgrid[:60, :60]
    cells = label(((rows % 10) < 6) & ((columns % 10) < 6)).astype(np.int32)
    summary_of(dock, cells)
    form = dock.widget.examples
    form.offers.click()
    dock.settle()
    # a corrected result beside it has one number for all
    corrected = Pair(cells.astype(np.uint8), (cells > 0).astype(np.int32))
    request = Request(ModelChoice(), Settings(), (*form.ready_pairs(), corrected), {}, ())
    assert request.read_support().separations == {1: learn_separation([cells])}
    form.offers.click()
    dock.settle()
    request = Request(ModelChoice(), Settings(), tuple(form.ready_pairs()), {}, ())
    assert request.read_support().separations == {}


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
    assert "slice 4: label 1 covers 25 pixels" in summary_of(dock, painted)


def test_masks_of_1_and_of_255_are_one_object() -> None:
    image, labels = stack(planes=2)
    mask = (labels[0] > 1).astype(np.uint8)
    pairs = (Pair(image[0], mask), Pair(image[1], mask * 255))
    support = Request(ModelChoice(), Settings(), pairs, {}, ()).read_support()
    assert support.ids == (1,)


def test_a_rim_in_dropped_files_is_ignored_on_request(dock: Dock) -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[10:40, 10:40] = 255
    labels[13:37, 13:37] = 1
    image = np.random.default_rng(0).integers(0, 255, labels.shape, np.uint8)
    form = dock.widget.examples
    form.add_examples([FileExample("a.png", image, labels)])
    dock.settle()
    assert form.offers.text() == "Ignore 255"
    form.offers.click()
    dock.settle()
    (row,) = form.table.rows()
    assert row.picture is not None
    assert row.picture.ids == (1,)
    assert (form.ready_pairs()[0].read_labels() == UNKNOWN).any()
    assert labels.max() == 255


def test_pixels_of_minus_one_are_said_to_be_unknown_in_one_line(dock: Dock) -> None:
    image, labels = stack(planes=5)
    painted = some(labels.astype(np.int32), 1, 3)
    painted[1, :5] = painted[3, :5] = UNKNOWN
    painted[2] = UNKNOWN
    dock.viewer.add_image(image, name="scan")
    dock.viewer.add_labels(painted, name="painted")
    dock.settle()
    text = dock.widget.examples.summary.text()
    assert "slice 1 and 1 more: pixels of -1 are unknown, neither an object nor" in text
    assert text.count("unknown") == 1
    # nobody labelled a slice of which nothing is known
    pairs = dock.widget.examples.ready_pairs()
    assert [np.unique(pair.read_labels())[0] for pair in pairs] == [UNKNOWN, UNKNOWN]
    support = Request(ModelChoice(), Settings(), pairs, {}, ()).read_support()
    assert not support.known(0)[:5].any()
    assert support.known(0)[5:].all()


def test_labels_without_the_pixel_size_of_their_image_are_said(dock: Dock) -> None:
    image, labels = stack()
    dock.viewer.add_image(image, name="scan", scale=(2, 1, 1))
    painted = dock.viewer.add_labels(some(labels, 3), name="painted")
    dock.settle()
    text = dock.widget.examples.summary.text()
    assert "'painted' are shown in the size 8 × 40 × 48, image 'scan' in 16 × 40 × 48" in text
    painted.scale = (2, 1, 1)
    dock.settle()
    assert "are shown in the size" not in dock.widget.examples.summary.text()
