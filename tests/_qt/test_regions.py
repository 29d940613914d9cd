"""Regions in the dock: offered, drawn, or what is shown; the image is then seen in tiles."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Shapes
from numpy.typing import NDArray

from napari_iclsam._qt.viewer.example import FileExample, LayerExample, examples_of
from napari_iclsam.core.images.regions import LabelledRegion
from napari_iclsam.core.images.support import SupportSet
from tests._qt.conftest import Dock

CORNER = (90, 70)


def mosaic() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw squares all over an image, and label those of its corner."""
    painted = np.zeros((520, 130), np.uint8)
    for row in range(4, 510, 20):
        for column in range(4, 120, 20):
            painted[row : row + 9, column : column + 9] = 1
    noise = np.random.default_rng(0).normal(0, 6, painted.shape)
    image = np.clip(40 + 120 * painted + noise, 0, 255).astype(np.uint8)
    painted[CORNER[0] :] = 0
    painted[:, CORNER[1] :] = 0
    return image, painted


@pytest.fixture
def corner(dock: Dock) -> Dock:
    image, labels = mosaic()
    dock.viewer.add_image(image, name="mosaic")
    dock.viewer.add_labels(labels, name="painted")
    dock.settle()
    return dock


def examples(dock: Dock) -> list[LayerExample]:
    found = [row.example for row in dock.widget.examples.table.rows()]
    assert all(isinstance(each, LayerExample) for each in found)
    return found  # type: ignore[return-value]


def rectangle(top: float, left: float, bottom: float, right: float) -> NDArray[np.float64]:
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])


def draw(dock: Dock) -> Shapes:
    dock.widget.form.regions.draw_action.trigger()
    shapes = dock.viewer.layers["Labelled regions"]
    assert isinstance(shapes, Shapes)
    return shapes


def test_the_painted_part_of_a_large_image_is_offered_and_taken(corner: Dock) -> None:
    tools = corner.widget.form.regions
    assert "Only a part of 'mosaic' is painted" in tools.offer.text()
    assert not tools.take.isHidden()
    tools.take.click()
    corner.settle()
    (example,) = examples(corner)
    assert example.region == LabelledRegion(0, 1, 94, 73)
    assert tools.take.isHidden()
    text = corner.widget.examples.table.item(0).text()
    assert text == "mosaic, region at 0, 1 · 94 × 72\n1"


def test_image_is_seen_in_tiles_of_its_region(corner: Dock) -> None:
    corner.widget.form.regions.take.click()
    corner.segment()
    assert corner.result().data.shape == (520, 130)
    assert "Seen in tiles of 94 × 72 pixels." in corner.widget.bar.message.text()
    made = corner.result().metadata["napari_iclsam"]
    assert made["examples"] == 1
    assert made["settings"]["tile"] == "auto"


def test_image_that_is_labelled_all_over_offers_no_region(dock: Dock) -> None:
    image, _ = mosaic()
    dock.viewer.add_image(image, name="mosaic")
    dock.viewer.add_labels((image > 100).astype(np.uint8), name="painted")
    dock.settle()
    assert dock.widget.form.regions.take.isHidden()
    assert dock.widget.form.regions.label_region.isEnabled()


def test_without_labels_the_tooltip_says_what_is_missing(dock: Dock) -> None:
    dock.viewer.add_image(mosaic()[0], name="mosaic")
    dock.settle()
    assert not dock.widget.form.regions.label_region.isEnabled()
    assert "add a labels layer" in dock.widget.form.regions.label_region.toolTip()


def test_drawn_rectangles_are_examples_and_follow_when_they_are_moved(corner: Dock) -> None:
    shapes = draw(corner)
    assert shapes.mode == "add_rectangle"
    shapes.add_rectangles(rectangle(-4.2, 10.4, 30.4, 50.2))
    corner.settle()
    assert [each.region for each in examples(corner)] == [LabelledRegion(0, 10, 31, 51)]
    shapes.add_rectangles(rectangle(40, 0, 80, 40))
    corner.settle()
    assert len(examples(corner)) == 2
    shapes.data = [rectangle(0, 10, 60, 50)]
    corner.settle()
    assert [each.region for each in examples(corner)] == [LabelledRegion(0, 10, 61, 51)]


def test_region_in_which_nothing_is_painted_is_refused_in_words(corner: Dock) -> None:
    draw(corner).add_rectangles(rectangle(300, 0, 400, 100))
    corner.segment()
    message = corner.widget.bar.message.text()
    assert "The region 300 0 401 101 holds no labels: paint every object in it" in message


def test_field_of_view_is_a_region(corner: Dock) -> None:
    corner.viewer.layers["painted"].corner_pixels = np.array([[10, 0], [80, 60]])
    corner.widget.form.regions.shown_action.trigger()
    corner.settle()
    assert [each.region for each in examples(corner)] == [LabelledRegion(10, 0, 81, 61)]


def test_regions_of_a_task_file_stay_regions(dock: Dock) -> None:
    image, labels = mosaic()
    support = SupportSet.of_regions([image], [labels], [[(0, 0, *CORNER)]])
    dock.widget.examples.add_examples(examples_of("saved", support))
    dock.settle()
    (row,) = dock.widget.examples.table.rows()
    assert isinstance(row.example, FileExample)
    assert row.example.pair().was_region
