"""Large planes stay on disk and are read part by part; labels grow there in several resolutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_iclsam.files import read_image, read_labels
from napari_iclsam.files.label_pyramid import LabelPyramid
from napari_iclsam.files.space import Space
from napari_iclsam.files.tiff_plane import TiffPlane


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_iclsam.files.tiff_plane.LARGE", 1000)


def image(*colors: int) -> Any:
    return np.random.default_rng(0).integers(0, 255, (70, 50, *colors)).astype(np.uint8)


@pytest.mark.parametrize(
    "how",
    [{}, {"compression": "zlib", "rowsperstrip": 16}, {"compression": "zlib", "tile": (32, 16)}],
    ids=["contiguous", "strips", "tiles"],
)
@pytest.mark.parametrize("colors", [(), (3,)], ids=["grey", "colors"])
def test_part_of_a_tiff_is_that_of_the_whole(
    tmp_path: Path, how: dict[str, Any], colors: tuple[int, ...]
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image(*colors), resolution=(2, 2), resolutionunit="CENTIMETER", **how)
    whole = read_image(path)
    file = read_image(path, in_memory=False)
    assert isinstance(file.array, TiffPlane)
    assert file.color == bool(colors)
    assert (file.shape, file.array.dtype) == (whole.shape, np.uint8)
    assert (file.space.spacing, file.space.unit) == (whole.space.spacing, whole.space.unit)
    np.testing.assert_array_equal(file.array[20:33, 7:40], image(*colors)[20:33, 7:40])
    np.testing.assert_array_equal(np.asarray(file.array), whole.array)


@pytest.mark.parametrize(
    "how",
    [
        {"photometric": "miniswhite"},
        {"extratags": [(274, "H", 1, 6, True)]},
        {"photometric": "palette", "colormap": np.arange(768, dtype=np.uint16).reshape(3, 256)},
    ],
    ids=["counts from white", "turned", "palette"],
)
def test_plane_that_is_not_stored_as_it_is_shown_is_read_as_a_whole(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image(), **how)
    file = read_image(path, in_memory=False)
    assert isinstance(file.array, np.ndarray)
    np.testing.assert_array_equal(file.array, read_image(path).array)


def test_damaged_part_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image(), compression="zlib", rowsperstrip=16)
    file = read_image(path, in_memory=False)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        start = tif.pages[0].dataoffsets[2]
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    np.testing.assert_array_equal(file.array[:16], image()[:16])
    with pytest.raises(ValueError, match=r"a\.tif cannot be read as TIFF"):
        file.array[32:48]


def test_labels_that_grow_have_every_second_pixel_in_coarser_levels(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 9, (1301, 1100)).astype(np.int32)
    path = tmp_path / "a.ome.zarr"
    pyramid = LabelPyramid.create(path, (1301, 1100), Space("YX", (0.5, 0.5), "µm"), np.int32)
    for rows in (slice(0, 3), slice(3, 4), slice(4, 701), slice(701, 1301)):
        pyramid[rows] = labels[rows]
    assert [level.shape for level in pyramid.levels] == [(1301, 1100), (651, 550), (326, 275)]
    for number, level in enumerate(pyramid.levels):
        np.testing.assert_array_equal(level[:], labels[:: 2**number, :: 2**number])
    file = read_labels(path)
    np.testing.assert_array_equal(file.array, labels)
    assert (file.space.spacing, file.space.unit) == ((0.5, 0.5), "µm")
