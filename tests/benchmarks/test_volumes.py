"""The benchmark of volumes: which planes are labelled, and interpolation between them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from benchmarks import volumes


def test_labelled_planes_are_spread_over_those_that_hold_a_label() -> None:
    truth = np.zeros((20, 4, 4), np.int32)
    truth[4:13, 1, 1] = 1
    assert volumes.labelled_planes(truth, 3) == [5, 8, 11]
    assert volumes.labelled_planes(truth, 1) == [8]


def test_interpolation_lies_between_the_outermost_labelled_planes() -> None:
    mask = np.zeros((30, 30), bool)
    mask[10:20, 10:20] = True
    smaller = np.zeros_like(mask)
    smaller[13:17, 13:17] = True
    filled = volumes.interpolated({2: mask, 6: smaller}, 9)
    assert not filled[[0, 1, 7, 8]].any()
    assert mask.sum() > filled[4].sum() > smaller.sum()


def test_a_volume_has_its_planes_along_the_first_axis(tmp_path: Path) -> None:
    image = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    labels = (image > 20).astype(np.uint8)
    affine = np.diag([0.5, 2.0, 3.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(image, affine), tmp_path / "image.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels, affine), tmp_path / "labels.nii.gz")
    (tmp_path / "meta.json").write_text(json.dumps({"axis": 1, "labels": {"1": "object"}}))
    volume = volumes.read_volume(tmp_path)
    assert volume.image.shape == (3, 4, 2)
    assert volume.spacing == pytest.approx((2.0, 3.0, 0.5))
    assert (volume.truth > 0).sum() == labels.sum()


def test_what_is_expected_stands_beside_what_was_reached() -> None:
    truth = np.zeros((5, 6, 6), np.int32)
    truth[1:4, 2:4, 2:4] = 1
    volume = volumes.Volume("made", truth, truth, {1: "object"}, (1.0, 1.0, 1.0))
    labels = truth.copy()
    labels[1, 2] = 0  # half of the object is lost
    labels[4, 0, 0] = 1
    filled = volumes.Filled(labels, {1: {1: 0.6}, 3: {1: 0.9}, 4: {1: 0.3}}, {}, 0.0)
    row = volumes.scored(volume, [2], filled)[0]
    assert (row.marked, row.without_label, row.emptied, row.with_label) == (1, 2, 0, 2)
    assert row.expected == pytest.approx(0.6)
    assert row.plane_dice == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_the_first_and_the_last_plane_of_a_label_are_drawn(tmp_path: Path) -> None:
    truth = np.zeros((5, 30, 30), np.int32)
    truth[1:4, 12:20, 12:20] = 1
    volume = volumes.Volume("made", truth, truth, {1: "object"}, (1.0, 1.0, 1.0))
    labels = np.zeros_like(truth)
    labels[4, 12:20, 12:20] = 1
    volumes.draw(volume, [2], volumes.Filled(labels, {}, {}, 0.0), tmp_path)
    picture = np.asarray(Image.open(tmp_path / "made_object_1.png")).astype(int)
    height, width = picture.shape[0] // 3, picture.shape[1] // 2
    # truth in the first plane on the left alone, the result in the last one on the right alone
    green = picture[..., 1] - picture[..., 0] > 100
    red = picture[..., 0] - picture[..., 1] > 100
    assert green[:height, :width].any()
    assert not red[:height].any()
    assert red[-height:, width:].any()
    assert not green[-height:].any()
