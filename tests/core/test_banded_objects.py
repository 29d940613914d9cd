"""Objects found band by band are those of the whole image, also across the seams."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.banded_objects import find_instances_into
from napari_iclsam.core.metrics import match_objects
from napari_iclsam.core.objects.instances import Separation, find_instances


def disks(height: int, width: int, step: int, radius: int) -> NDArray[np.int32]:
    """Draw disks of two labels that touch their neighbors."""
    y, x = np.indices((height, width))
    centers = np.hypot(y % step - step // 2, x % step - step // 2) <= radius
    return np.where(centers, 1 + (x // (width // 2)), 0).astype(np.int32)


def in_bands(
    labels: NDArray[np.int32], separations: Mapping[int, Separation] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    ids = np.zeros(labels.shape, np.int32)
    owners = find_instances_into(labels, ids, separations, pixels=1)
    return ids, owners


def test_objects_are_those_of_the_whole_image() -> None:
    labels = disks(1100, 48, 12, 6)
    separations = {1: Separation(4, 0.5), 2: Separation(4, 0.5)}
    whole = find_instances(labels, separations)
    ids, owners = in_bands(labels, separations=separations)
    assert match_objects(ids, whole.ids, 0.99).f1 == 1
    np.testing.assert_array_equal(np.unique(ids), np.arange(len(owners)))
    np.testing.assert_array_equal(owners[ids], labels)


def test_object_that_is_larger_than_the_overlap_is_one() -> None:
    labels = np.zeros((1200, 30), np.int32)
    labels[10:1190, 10:20] = 1
    ids, owners = in_bands(labels, separations={1: Separation(2000, 0)})
    assert len(owners) == 2
    np.testing.assert_array_equal(ids, labels)


def test_no_pixel_is_lost_and_ids_have_no_gaps() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((1500, 20)) < 0.6).astype(np.int32)
    ids, owners = in_bands(labels)
    np.testing.assert_array_equal(ids > 0, labels > 0)
    np.testing.assert_array_equal(np.unique(ids), np.arange(len(owners)))


@pytest.mark.parametrize("height", [1, 64, 384, 385, 513], ids=str)
def test_any_height_is_covered(height: int) -> None:
    labels = np.ones((height, 5), np.int32)
    ids, _ = in_bands(labels)
    assert (ids > 0).all()


def test_image_without_objects_has_none() -> None:
    ids, owners = in_bands(np.zeros((900, 10), np.int32))
    assert not ids.any()
    np.testing.assert_array_equal(owners, [0])
