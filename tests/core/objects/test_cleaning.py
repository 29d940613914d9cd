"""Specks and holes, far smaller than the objects of examples."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.objects.cleaning import Cleaning, learn_cleaning
from napari_iclsam.core.objects.instances import find_instances, learn_separation


def disk(radius: int) -> NDArray[np.bool_]:
    """A disk in its box."""
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(np.hypot(rows, columns) <= radius)


def ring(radius: int) -> NDArray[np.bool_]:
    """A disk with a hole."""
    hollow = disk(radius)
    inner = disk(radius // 2)
    first = radius - radius // 2
    hollow[first : first + len(inner), first : first + len(inner)] &= ~inner
    return hollow


@pytest.fixture
def example() -> NDArray[np.int32]:
    """Six disks of a radius of 8, each with its own number."""
    ids = np.zeros((40, 60), np.int32)
    for number in range(6):
        top, left = 20 * (number // 3) + 1, 20 * (number % 3) + 1
        ids[top : top + 17, left : left + 17] = (number + 1) * disk(8)
    return ids


def test_parts_far_smaller_than_the_examples_are_no_objects(example: NDArray[np.int32]) -> None:
    learnt = {1: learn_separation([example])}
    found = np.zeros((60, 60), np.int32)
    found[5:22, 5:22] = disk(8)
    # a small object stays: a third of the usual area, but no speck
    found[30:41, 30:41] = disk(5)
    found[50:53, 10:13] = 1
    instances = find_instances(found, learnt)
    assert len(instances) == 2
    assert not instances.ids[50:53, 10:13].any()


def test_without_examples_nothing_is_a_speck() -> None:
    found = np.zeros((60, 60), np.int32)
    found[5:22, 5:22] = disk(8)
    found[50:53, 10:13] = 1
    assert len(find_instances(found)) == 2


def test_a_small_hole_is_filled_where_no_example_has_one(example: NDArray[np.int32]) -> None:
    learnt = {1: learn_separation([example])}
    found = np.zeros((40, 40), np.int32)
    found[5:22, 5:22] = disk(8)
    found[12:15, 12:15] = 0
    ids = find_instances(found, learnt).ids
    assert ids.max() == 1
    assert ids[13, 13] == 1


def test_holes_stay_where_examples_have_them() -> None:
    cleaning = learn_cleaning([ring(8), ring(9), disk(8)])
    assert cleaning.hole == 0
    assert np.array_equal(cleaning.of(ring(8)), ring(8))


def test_a_hole_that_holds_another_label_stays_with_it(example: NDArray[np.int32]) -> None:
    separation = learn_separation([example])
    labels = np.zeros((40, 40), np.int32)
    labels[5:22, 5:22] = 2 * disk(8)
    labels[12:15, 12:15] = 1
    instances = find_instances(labels, {2: separation})
    assert instances.labels[instances.ids[13, 13]] == 1
    assert instances.labels[instances.ids[8, 13]] == 2


def test_background_that_reaches_the_border_is_no_hole() -> None:
    mask = np.pad(~disk(3), 2, constant_values=True)
    mask[0, :3] = False
    filled = Cleaning(hole=100).of(mask)
    assert not filled[0, :3].any()
    assert filled[5, 5]


def test_specks_and_holes_of_a_volume_are_counted_in_voxels() -> None:
    mask = np.zeros((5, 20, 20), bool)
    mask[:, 2:12, 2:12] = True
    mask[2, 6, 6] = False
    mask[4, 18, 18] = True
    cleaned = Cleaning(speck=2, hole=1).of(mask)
    assert cleaned[2, 6, 6]
    assert not cleaned[4, 18, 18]
