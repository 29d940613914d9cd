"""Images without the object, for the benchmark of what is marked in them."""

from __future__ import annotations

import numpy as np

from benchmarks.absent import beside_object, without_label
from benchmarks.image_sets import Sample


def sample_with(rows: slice, columns: slice) -> Sample:
    """An image of 100 x 200 whose label 1 fills a box."""
    mask = np.zeros((100, 200), np.uint8)
    mask[rows, columns] = 1
    image = np.arange(mask.size).reshape(mask.shape)
    return Sample(image, mask, None, "a", "")


def test_the_largest_part_beside_the_object_is_cut_out() -> None:
    whole = sample_with(slice(40, 60), slice(10, 30))
    part = beside_object(whole, 1)
    assert part is not None
    assert part.mask.shape == (100, 170)
    assert not part.mask.any()
    assert np.array_equal(part.image, whole.image[:, 30:])


def test_an_image_that_its_object_fills_has_no_part_beside_it() -> None:
    assert beside_object(sample_with(slice(5, 95), slice(5, 195)), 1) is None


def test_images_without_the_label_go_before_parts() -> None:
    without = sample_with(slice(0), slice(0))
    samples = [sample_with(slice(40, 60), slice(10, 30)), without]
    assert without_label(samples, 1) == [without]
