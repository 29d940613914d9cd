"""The benchmark of objects: mosaics hold whole images, and objects are scored as the field does."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from benchmarks.objects import Sample, Score, Times, make_mosaic, plain_watershed, read_set


def sample(number: int, side: int = 20) -> Sample:
    ids = np.zeros((side, side), np.int32)
    ids[2:8, 2:8] = 1
    ids[10:16, 10:16] = 2
    return Sample(np.full((side, side), number, np.uint8), ids, str(number))


def test_mosaic_numbers_all_objects_and_leaves_out_images_of_other_sizes() -> None:
    mosaic = make_mosaic([sample(1), sample(2), sample(9, side=31)], side=50, seed=0)
    assert mosaic.image.shape == (50, 50)
    assert set(np.unique(mosaic.image)) == {1, 2}
    # four whole tiles, four halves and a quarter that is too small for the second object
    assert mosaic.ids.max() == len(np.unique(mosaic.ids)) - 1
    assert mosaic.ids.max() >= 8


def test_scores_are_summed_over_images() -> None:
    score = Score()
    truth = sample(1).ids
    score.add(truth, truth)
    score.add(0 * truth, truth)
    row = score.row(("set", "single"), "ours", 0.5, Times(1.0, 2.0))
    assert (row.truth, row.found) == (4, 2)
    assert row.f1 == pytest.approx(2 * 2 / 6)
    assert row.ap50 == row.ap75 == pytest.approx(0.5)


def test_watershed_separates_touching_disks() -> None:
    y, x = np.indices((40, 70))
    mask = (np.hypot(y - 20, x - 20) < 14) | (np.hypot(y - 20, x - 44) < 14)
    assert plain_watershed(mask).max() == 2


def test_set_is_read_with_its_instances(tmp_path: Path) -> None:
    one = sample(3)
    iio.imwrite(tmp_path / "a.png", one.image)
    iio.imwrite(tmp_path / "b.png", one.ids.astype(np.uint16))
    entry = {"image": "a.png", "instances": "b.png", "subject": "s"}
    (tmp_path / "meta.json").write_text(json.dumps({"samples": [entry]}))
    (read,) = read_set(tmp_path)
    np.testing.assert_array_equal(read.ids, one.ids)
    assert read.subject == "s"
