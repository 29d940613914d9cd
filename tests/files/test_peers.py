"""What is written here, read by the libraries of others, and the other way round.

They are in the dependency group ``peers``, as their own requirements hold others back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_iclsam.files import Part, Space, publish, read_image, read_pair, write_labels
from tests.files.test_omezarr import STYLES, VERSIONS, halved, image_of, save


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", VERSIONS)
def test_ome_zarr_reads_labels_inside_their_image(tmp_path: Path, version: str) -> None:
    reader = pytest.importorskip("ome_zarr.reader")
    io = pytest.importorskip("ome_zarr.io")
    pixels = image_of((2, 3, 8, 8))
    path = save(
        tmp_path / "a.zarr", [pixels, halved(pixels)], "czyx", version, scale=(1, 2, 0.5, 0.5)
    )
    labels = np.zeros((3, 8, 8), np.int32)
    labels[1, 2:6, 2:6] = 3
    labels[0, 0:2, 0:4] = 1
    (path / "labels").mkdir()
    place = tmp_path / "new.ome.zarr"
    write_labels(place, labels, read_image(path, Part(channel="0")).space, STYLES)
    publish(place, path / "labels" / "cells")
    nodes = list(reader.Reader(io.parse_url(str(path)))())
    node = next(each for each in nodes if "color" in each.metadata)
    assert [np.asarray(level).shape for level in node.data] == [(3, 8, 8), (3, 4, 4)]
    assert (np.asarray(node.data[0]) == labels).all()
    metadata: dict[str, Any] = node.metadata
    assert metadata["color"] == {1: [1, 0, 0, 1], 3: [0, 0, 1, 1]}
    assert metadata["properties"] == {1: {"name": "cell"}, 3: {"name": "Kern"}}
    assert metadata["coordinateTransformations"][1] == [
        {"type": "scale", "scale": [2, 1, 1]},
        {"type": "translation", "translation": [0, 0.25, 0.25]},
    ]


@pytest.mark.filterwarnings("ignore")
def test_what_ome_zarr_writes_is_an_image_with_examples(tmp_path: Path) -> None:
    writer = pytest.importorskip("ome_zarr.writer")
    import zarr

    pixels = image_of((3, 64, 64))
    root = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    writer.write_image(pixels, root, axes="zyx")
    writer.write_labels((pixels % 3).astype(np.uint8), root, name="cells", axes="zyx")
    pair = read_pair(tmp_path / "a.zarr", tmp_path / "a.zarr")
    assert (pair.image.array == pixels).all()
    assert (pair.labels.array == pixels % 3).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("unit", ["nm", "µm", "mm"])
@pytest.mark.parametrize(
    ("reader", "name", "dialect"),
    [
        ("bioio_tifffile", "a.tif", "plain"),
        ("bioio_tifffile", "a.tif", "imagej"),
        ("bioio_ome_tiff", "a.ome.tif", "plain"),
        ("bioio_ome_tiff", "a.ome.tif", "ome"),
        ("bioio_ome_zarr", "a.ome.zarr", "plain"),
    ],
)
def test_bioio_reads_the_spacing_that_was_written(
    tmp_path: Path, reader: str, name: str, dialect: Any, unit: str
) -> None:
    bioio = pytest.importorskip("bioio")
    module = pytest.importorskip(reader)
    labels = np.arange(4 * 6 * 8, dtype=np.int32).reshape(4, 6, 8)
    space = Space("ZYX", (2.0, 0.5, 0.25), unit, dialect)
    write_labels(tmp_path / name, labels, space)
    image = bioio.BioImage(tmp_path / name, reader=module.Reader)
    assert (image.get_image_data("ZYX") == labels).all()
    found = tuple(image.physical_pixel_sizes)
    # of OME formats, bioio gives numbers in the unit of the file
    expected = space.spacing_in("µm") if reader == "bioio_tifffile" else space.spacing
    assert found == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore")
def test_bioio_reads_of_labels_what_it_reads_of_their_image(tmp_path: Path) -> None:
    bioio = pytest.importorskip("bioio")
    module = pytest.importorskip("bioio_ome_tiff")
    writers = pytest.importorskip("bioio_ome_tiff.writers")
    base = pytest.importorskip("bioio_base.types")
    pixels = image_of((3, 8, 8))
    sizes = base.PhysicalPixelSizes(Z=1.5, Y=0.2, X=0.2)
    path = tmp_path / "a.ome.tif"
    writers.OmeTiffWriter.save(pixels, str(path), dim_order="ZYX", physical_pixel_sizes=sizes)
    file = read_image(path)
    assert (file.array == pixels).all()
    write_labels(tmp_path / "labels.ome.tif", (pixels % 2).astype(np.int32), file.space)
    for name in ("a.ome.tif", "labels.ome.tif"):
        image = bioio.BioImage(tmp_path / name, reader=module.Reader)
        assert tuple(image.physical_pixel_sizes) == pytest.approx((1.5, 0.2, 0.2))
