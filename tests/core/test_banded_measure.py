"""Objects measured band by band: the same table as of an image in memory."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.banded_measure import StoredObjects, measure_steps, measure_stored
from napari_iclsam.core.objects.measure import Pixels, Scale, measure
from napari_iclsam.core.steps import drain


@pytest.fixture
def ids() -> NDArray[np.int32]:
    """Objects that go through several bands of rows, touch, and have holes."""
    y, x = np.indices((90, 70))
    numbers = 1 + (y // 17) * 4 + x // 18
    kept = (np.hypot(y % 17 - 8, x % 18 - 9) < 9) & (np.hypot(y % 17 - 8, x % 18 - 9) > 2)
    painted = np.where(kept, numbers, 0)
    # one that lies beside itself, over all rows
    painted[:, 66:] = 1
    return np.unique(painted, return_inverse=True)[1].reshape(painted.shape).astype(np.int32)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5), (0.5, 0.2)], ids=str)
@pytest.mark.parametrize("colors", [(), (3,)], ids=["grey", "colors"])
def test_table_is_that_of_the_image_in_memory(
    ids: NDArray[np.int32], spacing: tuple[float, float], colors: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60_000, (*ids.shape, *colors)).astype(np.uint16)
    certainty = rng.random(ids.shape).astype(np.float16)
    labels = np.concatenate([[0], rng.integers(1, 4, ids.max())])
    scale = Scale(spacing, "µm")
    whole = measure(ids, Pixels(image, certainty, labels), scale)
    stored = StoredObjects(da.from_array(ids), labels, da.from_array(image), certainty)
    banded = drain(measure_steps(stored, scale, pixels=70 * 7))
    assert banded.unit == "µm"
    assert list(banded.columns) == list(whole.columns)
    for name, values in whole.columns.items():
        np.testing.assert_allclose(banded.columns[name], values, rtol=1e-9, err_msg=name)


def test_without_a_scale_lengths_are_in_pixels(ids: NDArray[np.int32]) -> None:
    labels = np.ones(ids.max() + 1, np.int32)
    table = measure_stored(StoredObjects(ids, labels))
    assert table.unit == "pixel"
    np.testing.assert_array_equal(table.columns["area"], np.bincount(ids.ravel())[1:])


def test_plane_without_objects_has_an_empty_table_with_all_columns() -> None:
    ids = np.zeros((20, 30), np.int32)
    labels = np.zeros(1, np.int32)
    whole = measure(ids, Pixels(ids, None, labels))
    banded = drain(measure_steps(StoredObjects(ids, labels, ids), Scale.pixels(2), pixels=100))
    assert len(banded) == 0
    assert list(banded.columns) == list(whole.columns)
