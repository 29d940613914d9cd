"""Labels of a stack, compressed plane by plane."""

from __future__ import annotations

import numpy as np
import pytest

from napari_iclsam.files import LabelPlanes, planes_in


def test_planes_come_back_as_they_were_written_and_begin_empty() -> None:
    labels = LabelPlanes((3, 4, 5))
    plane = np.arange(20, dtype=np.int32).reshape(4, 5)
    labels[1] = plane[::-1]
    assert (labels[1] == plane[::-1]).all()
    assert not labels[0].any()
    assert (np.asarray(labels) == np.stack([labels[0], plane[::-1], labels[2]])).all()
    assert (labels.ndim, labels.size, len(labels)) == (3, 60, 3)


def test_there_is_no_plane_beyond_the_last() -> None:
    labels = LabelPlanes((2, 4, 5))
    with pytest.raises(IndexError):
        labels[2]
    assert len(list(planes_in(labels))) == 2


def test_a_plane_of_its_own_is_the_one_plane() -> None:
    plane = np.ones((4, 5), np.uint8)
    assert [each.shape for each in planes_in(plane)] == [(4, 5)]
