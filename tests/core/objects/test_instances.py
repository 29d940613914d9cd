"""Touching objects are separated, each gets one id, and none is lost."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.objects.instances import (
    Separation,
    find_instances,
    learn_separation,
    separate,
)


def disks(*circles: tuple[int, int, int], shape: tuple[int, int] = (64, 64)) -> NDArray[np.int32]:
    """Return label images of disks (row, column, radius), later ones over earlier ones."""
    rows, columns = np.indices(shape)
    ids = np.zeros(shape, np.int32)
    for number, (row, column, radius) in enumerate(circles, start=1):
        ids[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = number
    return ids


TOUCHING = disks((30, 20, 10), (30, 38, 10))


def test_two_touching_disks_are_two_objects() -> None:
    objects = separate(TOUCHING > 0)
    assert objects.max() == 2
    assert objects[30, 20] != objects[30, 38]


def test_every_pixel_of_the_mask_belongs_to_an_object() -> None:
    mask = np.random.default_rng(0).random((40, 40)) > 0.6
    np.testing.assert_array_equal(separate(mask) > 0, mask)


def test_small_object_beside_a_large_one_is_kept() -> None:
    mask = disks((30, 20, 14)) > 0
    mask[30, 37] = True
    assert separate(mask, Separation(20, 2)).max() == 2


def test_empty_mask_has_no_object() -> None:
    assert not separate(np.zeros((5, 5), bool)).any()


def test_full_mask_is_one_object() -> None:
    assert (separate(np.ones((20, 20), bool)) == 1).all()


def test_mask_in_three_dimensions_is_separated() -> None:
    planes, rows, columns = np.indices((24, 24, 40))
    across = np.square(planes - 12) + np.square(rows - 12)
    left = across + np.square(columns - 11) <= 100
    right = across + np.square(columns - 29) <= 100
    objects = separate(left | right)
    assert objects.max() == 2
    assert objects[12, 12, 11] != objects[12, 12, 29]


def test_many_small_objects_beside_a_large_one_are_all_kept() -> None:
    mask = disks((30, 30, 12)) > 0
    mask[::2, 60] = True
    assert separate(mask, Separation(30, 0)).max() == 33


def test_object_of_constant_width_is_one_however_long_it_is() -> None:
    bar = np.zeros((20, 90), bool)
    bar[5:15, 5:85] = True
    assert separate(bar, Separation(2, 0)).max() == 1


def test_peaks_of_one_object_are_joined_under_a_learnt_distance() -> None:
    column = np.arange(90)
    half = np.where((column > 5) & (column < 85), 6 + np.sin(column / 4), 0)
    waves = np.abs(np.arange(20)[:, None] - 10) < half
    assert separate(waves, Separation(2, 0)).max() > 1
    learnt = learn_separation([waves.astype(np.int32)])
    assert separate(waves, learnt).max() < separate(waves, Separation(2, 0)).max()


def test_learnt_separation_finds_the_examples_again() -> None:
    learnt = learn_separation([TOUCHING])
    assert separate(TOUCHING > 0, learnt).max() == 2


def test_learning_from_background_says_what_is_needed() -> None:
    with pytest.raises(ValueError, match="at least one object"):
        learn_separation([np.zeros((4, 4), int)])


def test_learning_takes_ids_beyond_16_bits() -> None:
    large = np.where(TOUCHING > 0, TOUCHING + 2**30, 0)
    assert learn_separation([large]) == learn_separation([TOUCHING])


def test_ids_go_on_from_label_to_label() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[2:6, 2:6] = 7
    labels[2:6, 10:14] = 3
    labels[12:16, 2:6] = 7
    instances = find_instances(labels)
    assert len(instances) == 3
    np.testing.assert_array_equal(np.unique(instances.ids), [0, 1, 2, 3])
    np.testing.assert_array_equal(instances.labels, [0, 3, 7, 7])
    np.testing.assert_array_equal(instances.labels[instances.ids], labels)


def test_more_objects_than_16_bits_hold_have_their_own_ids() -> None:
    labels = np.zeros((600, 600), np.uint8)
    labels[::2, ::2] = 1
    instances = find_instances(labels, {1: Separation(1, 0)})
    assert len(instances) == 90_000
    assert instances.ids.max() == 90_000
