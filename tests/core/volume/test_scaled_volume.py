"""Volumes whose planes are read on one scale of grey values."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from napari_iclsam.core.images.planes import plane
from napari_iclsam.core.volume.scaled_volume import ScaledVolume


@pytest.fixture(scope="module")
def deep() -> NDArray[np.uint16]:
    """Six planes of 16 bits, each twice as bright as the one before."""
    noise = np.random.default_rng(0).integers(50, 100, (6, 20, 30))
    return (noise << np.arange(6)[:, None, None]).astype(np.uint16)


def scaled(volume: Any, axis: int = 0, labelled: tuple[int, ...] = (0,)) -> ScaledVolume:
    return ScaledVolume.of(volume, axis, labelled, range(volume.shape[axis]))


def test_8_bit_planes_are_as_they_were(deep: NDArray[np.uint16]) -> None:
    volume = (deep // 16).clip(0, 255).astype(np.uint8)
    made = scaled(volume)
    for number in range(6):
        assert np.array_equal(plane(made, 0, number), volume[number])


def test_all_planes_are_on_one_scale(deep: NDArray[np.uint16]) -> None:
    made = scaled(deep)
    assert (made.shape, made.dtype) == (deep.shape, np.uint8)
    planes = np.stack([plane(made, 0, number) for number in range(6)])
    assert planes.dtype == np.uint8
    order = np.argsort(deep, axis=None)
    assert (np.diff(planes.ravel()[order].astype(int)) >= 0).all()
    assert planes[3].mean() == pytest.approx(planes[5].mean() / 4, abs=3)
    assert planes.min() == 0
    assert planes.max() == 255


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_along_any_axis(deep: NDArray[np.uint16], axis: int) -> None:
    made = scaled(np.moveaxis(deep, 0, axis), axis)
    for number in range(6):
        assert np.array_equal(plane(made, axis, number), plane(scaled(deep), 0, number))


@pytest.mark.parametrize("channels", [3, 4], ids=["rgb", "rgba"])
def test_colors_are_scaled_together(deep: NDArray[np.uint16], channels: int) -> None:
    color = np.stack([deep // (n + 1) for n in range(channels)], axis=-1)
    made = scaled(color)
    assert made.shape == (6, 20, 30, channels)
    found = plane(made, 0, 5)
    assert (found.shape, found.dtype) == ((20, 30, channels), np.uint8)
    assert found[..., 0].mean() > 1.7 * found[..., 1].mean()


@pytest.mark.parametrize("kind", [da.from_array, zarr.array], ids=["dask", "zarr"])
def test_of_lazy_arrays_one_plane_is_read(deep: NDArray[np.uint16], kind: Any) -> None:
    assert np.array_equal(plane(scaled(kind(deep)), 0, 3), plane(scaled(deep), 0, 3))


def test_nothing_is_read_before_it_is_asked_for(deep: NDArray[np.uint16]) -> None:
    made = scaled(deep)
    asked: list[Any] = []

    class Counted:
        shape, dtype = deep.shape, deep.dtype

        def __getitem__(self, key: Any) -> Any:
            asked.append(key)
            return deep[key]

    counted = ScaledVolume(Counted(), 0, made.scale)
    assert counted.shape == deep.shape
    assert not asked
    plane(counted, 0, 2)
    assert asked == [(2,)]


def test_a_plane_that_is_not_finite_is_refused_when_it_is_read(deep: NDArray[np.uint16]) -> None:
    broken = deep.astype(np.float32)
    broken[2, 3, 4] = np.nan
    made = scaled(broken)
    assert np.array_equal(plane(made, 0, 1), plane(scaled(deep.astype(np.float32)), 0, 1))
    with pytest.raises(ValueError, match="1 of 600 values that are not finite"):
        plane(made, 0, 2)


def test_constant_planes_do_not_change_the_scale(deep: NDArray[np.uint16]) -> None:
    with_blank = np.concatenate([deep, np.full((1, 20, 30), 60_000, np.uint16)])
    made = scaled(with_blank)
    assert np.array_equal(plane(made, 0, 3), plane(scaled(deep), 0, 3))
    assert (plane(made, 0, 6) == 255).all()


def test_a_constant_volume_is_black() -> None:
    assert not plane(scaled(np.full((3, 5, 5), 7.0)), 0, 1).any()


def test_of_many_planes_labelled_ones_are_sampled() -> None:
    volume = np.random.default_rng(0).normal(0, 1, (200, 8, 8))
    volume[101] *= 1000
    other, labelled = scaled(volume, labelled=(0,)), scaled(volume, labelled=(101,))
    assert labelled.scale.high > 50 * other.scale.high


def test_only_planes_that_are_labelled_or_wanted_are_sampled(deep: NDArray[np.uint16]) -> None:
    asked: list[Any] = []

    class Counted:
        shape, dtype = deep.shape, deep.dtype

        def __getitem__(self, key: Any) -> Any:
            asked.append(key)
            return deep[key]

    ScaledVolume.of(Counted(), 0, (4,), (1, 2))
    assert asked == [(1,), (2,), (4,)]
