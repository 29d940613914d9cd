"""Objects are measured in the units of their image; one odd object costs no table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from napari_iclsam.core.objects.measure import Pixels, Scale, measure


def square(number: int = 1) -> np.ndarray:
    ids = np.zeros((20, 30), np.int64)
    ids[4:10, 5:11] = number
    return ids


def test_area_and_center_are_in_physical_units() -> None:
    table = measure(square(), scale=Scale((0.5, 0.5), "µm"))
    assert table.columns["area"][0] == pytest.approx(36 * 0.25)
    assert table.columns["centroid_y"][0] == pytest.approx(6.5 * 0.5)
    assert table.columns["centroid_x"][0] == pytest.approx(7.5 * 0.5)
    assert table.unit == "µm"


def test_unequal_spacing_has_area_and_no_perimeter() -> None:
    table = measure(square(), scale=Scale((2.0, 0.5), "mm"))
    assert table.columns["area"][0] == pytest.approx(36)
    assert "perimeter" not in table.columns
    assert "perimeter" in measure(square()).columns


def test_unequal_spacing_without_objects_is_an_empty_table() -> None:
    assert len(measure(np.zeros((4, 4), int), scale=Scale((2.0, 0.5)))) == 0


def test_flat_object_in_a_volume_leaves_the_others_in_the_table() -> None:
    ids = np.zeros((6, 20, 20), int)
    ids[1:5, 2:8, 2:8] = 1
    ids[3, 12:16, 12:16] = 2
    ids[0, 19, 19] = 3
    table = measure(ids, scale=Scale((2.0, 1.0, 1.0)))
    np.testing.assert_allclose(table.columns["volume"], [288, 32, 2])
    assert (table.columns["surface"] > 0).all()
    assert table.columns["axis_major_length"][0] > 0


def test_surface_of_a_ball_is_near_its_formula() -> None:
    grid = np.indices((41, 41, 41)) - 20
    ball = (np.square(grid).sum(axis=0) <= 15**2).astype(int)
    surface = measure(ball).columns["surface"][0]
    assert surface == pytest.approx(4 * np.pi * 15**2, rel=0.1)


def test_means_of_image_colors_and_probabilities() -> None:
    image = np.zeros((20, 30, 3))
    image[4:10, 5:11] = (1, 2, 3)
    table = measure(square(), Pixels(image, np.full((20, 30), 0.75)))
    assert [table.columns[f"mean_intensity_{channel}"][0] for channel in range(3)] == [1, 2, 3]
    assert table.columns["mean_probability"][0] == 0.75


def test_labels_come_by_id() -> None:
    ids = square()
    ids[15:18, 20:25] = 2
    table = measure(ids, Pixels(labels=np.array([0, 4, 9])))
    np.testing.assert_array_equal(table.columns["label"], [4, 9])


def test_ids_beyond_16_bits_are_kept() -> None:
    table = measure(square(2**31 - 1))
    np.testing.assert_array_equal(table.columns["id"], [2**31 - 1])
    assert table.columns["area"][0] == 36


def test_image_full_of_one_object_is_measured() -> None:
    assert measure(np.ones((4, 5), int)).columns["area"][0] == 20


def test_without_objects_the_file_has_its_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "objects.csv"
    measure(np.zeros((4, 4), int)).write_csv(path)
    (header,) = csv.reader(path.read_text(encoding="utf-8").splitlines())
    assert header[:3] == ["id", "label", "area"]


def test_file_has_a_line_an_object_and_its_unit(tmp_path: Path) -> None:
    path = tmp_path / "objects.csv"
    measure(square(), scale=Scale((0.5, 0.5), "µm")).write_csv(path)
    (row,) = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    assert (row["id"], row["label"], row["area"], row["unit"]) == ("1", "1", "9.0", "µm")


def test_features_have_a_row_for_the_background_and_rows_are_ids() -> None:
    features = measure(square()).features()
    np.testing.assert_array_equal(features["index"], [0, 1])
    np.testing.assert_array_equal(features["area"], [np.nan, 36])
    np.testing.assert_array_equal(features["label"], [0, 1])


def test_features_refuse_ids_with_gaps() -> None:
    with pytest.raises(ValueError, match="without gaps"):
        measure(square(5)).features()


def test_spacing_of_another_number_of_axes_is_refused() -> None:
    with pytest.raises(ValueError, match="each of 2 axes"):
        measure(square(), scale=Scale((1.0, 1.0, 1.0)))


def test_four_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="two or three axes"):
        measure(np.zeros((2, 2, 2, 2), int))
