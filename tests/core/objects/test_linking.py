"""Objects of neighboring planes become one, and no two become one by mistake."""

from __future__ import annotations

import numpy as np

from napari_iclsam.core.objects.linking import link_planes, stack_instances


def planes(*columns: dict[int, slice]) -> np.ndarray:
    """Return planes of one row, each with objects at some columns."""
    volume = np.zeros((len(columns), 1, 20), np.int32)
    for plane, objects in zip(volume, columns, strict=True):
        for number, place in objects.items():
            plane[0, place] = number
    return volume


def test_objects_on_each_other_have_one_id() -> None:
    linked = link_planes(planes({5: slice(0, 6)}, {9: slice(1, 7)}))
    assert linked[0, 0, 2] == linked[1, 0, 2] == 1


def test_overlap_counts_by_the_smaller_object() -> None:
    linked = link_planes(planes({1: slice(0, 12)}, {1: slice(0, 3)}))
    assert linked.max() == 1


def test_objects_that_barely_overlap_stay_apart() -> None:
    linked = link_planes(planes({1: slice(0, 6)}, {1: slice(5, 11)}))
    assert linked.max() == 2


def test_object_that_vanishes_for_one_plane_keeps_its_id() -> None:
    linked = link_planes(planes({1: slice(0, 6)}, {}, {4: slice(0, 6)}))
    assert linked.max() == 1


def test_object_that_vanishes_for_two_planes_is_a_new_one() -> None:
    linked = link_planes(planes({1: slice(0, 6)}, {}, {}, {4: slice(0, 6)}))
    assert linked.max() == 2


def test_object_that_divides_has_one_successor() -> None:
    linked = link_planes(planes({1: slice(0, 10)}, {1: slice(0, 6), 2: slice(6, 10)}))
    np.testing.assert_array_equal(np.unique(linked[1]), [0, 1, 2])


def test_two_objects_that_merge_are_one_of_them() -> None:
    linked = link_planes(planes({1: slice(0, 6), 2: slice(6, 10)}, {1: slice(0, 10)}))
    np.testing.assert_array_equal(np.unique(linked), [0, 1, 2])


def test_objects_of_a_stack_are_separated_in_planes_and_joined_along_its_axis() -> None:
    labels = np.zeros((20, 3, 30), np.int32)
    labels[4:14, :, 2:12] = 1
    labels[4:14, :, 16:26] = 1
    found = stack_instances(labels, axis=1)
    assert len(found) == 2
    assert len(np.unique(found.ids[:, :, 5])) == 2
    np.testing.assert_array_equal(found.ids > 0, labels > 0)


def test_objects_of_two_labels_are_never_one() -> None:
    labels = np.zeros((2, 20, 20), np.int32)
    labels[0, 4:14, 4:14] = 1
    labels[1, 4:14, 4:14] = 2
    found = stack_instances(labels)
    np.testing.assert_array_equal(found.labels, [0, 1, 2])
    assert found.ids[0, 5, 5] != found.ids[1, 5, 5]
