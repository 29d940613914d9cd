"""Shapes of many objects at once are those that scikit-image measures one by one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops

from napari_iclsam.core.objects.shapes import measure_shapes


def blobs(shape: tuple[int, ...], seed: int = 0) -> tuple[NDArray[np.int32], int]:
    """Draw objects of many shapes, some of them at the border, touching, or of one pixel."""
    noise = np.random.default_rng(seed).normal(size=shape)
    numbers, count = ndimage.label(ndimage.gaussian_filter(noise, 1.2) > 0.1)
    # cut in two, so that objects touch
    upper = numbers[: shape[0] // 2]
    upper[upper > 0] += count
    _, index = np.unique(numbers, return_inverse=True)
    return index.reshape(shape).astype(np.int32), int(index.max())


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5), (2.0, 0.5)], ids=str)
def test_objects_of_planes(spacing: tuple[float, float]) -> None:
    numbers, count = blobs((60, 70))
    columns = measure_shapes(numbers, count, spacing)
    names = ["area", "axis_major_length", "axis_minor_length", "eccentricity"]
    if spacing[0] == spacing[1]:
        names.append("perimeter")
    assert set(names) == set(columns) - {"centroid_y", "centroid_x"}
    regions = regionprops(numbers, spacing=spacing)
    for name in names:
        expected = [getattr(region, name) for region in regions]
        np.testing.assert_allclose(columns[name], expected, rtol=1e-6, atol=1e-6, err_msg=name)
    centers = [region.centroid for region in regions]
    found = np.stack([columns["centroid_y"], columns["centroid_x"]], axis=1)
    np.testing.assert_allclose(found, centers)


def test_objects_of_volumes() -> None:
    numbers, count = blobs((14, 16, 18))
    spacing = (2.0, 1.0, 0.5)
    columns = measure_shapes(numbers, count, spacing)
    regions = regionprops(numbers, spacing=spacing)
    for ours, theirs in (("volume", "area"), ("axis_major_length", "axis_major_length")):
        expected = [getattr(region, theirs) for region in regions]
        np.testing.assert_allclose(columns[ours], expected, rtol=1e-6, err_msg=ours)
    assert (columns["surface"] > 0).all()


def test_small_object_far_from_the_origin_keeps_its_shape() -> None:
    numbers = np.zeros((4000, 40), np.int32)
    numbers[3990:3994, 10:12] = 1
    near = np.zeros((10, 20), np.int32)
    near[2:6, 10:12] = 1
    far = measure_shapes(numbers, 1, (1.0, 1.0))
    for name, values in measure_shapes(near, 1, (1.0, 1.0)).items():
        if not name.startswith("centroid"):
            np.testing.assert_allclose(far[name], values, rtol=1e-9, err_msg=name)
