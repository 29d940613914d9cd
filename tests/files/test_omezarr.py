"""OME-Zarr: channels, levels and labels read as they are meant; labels written beside them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.files import (
    Part,
    Space,
    publish,
    read_image,
    read_labels,
    read_pair,
    write_labels,
)
from napari_iclsam.files.omezarr_metadata import label_names
from napari_iclsam.files.omezarr_planes import ZarrPlanes

SLASHES: Any = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
VERSIONS = ["0.4", "0.5"]
STYLES = {1: LabelStyle("cell", (1.0, 0.0, 0.0, 1.0)), 3: LabelStyle("Kern", (0.0, 0.0, 1.0, 1.0))}


def image_of(shape: tuple[int, ...]) -> NDArray[np.uint16]:
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


def halved(array: NDArray[Any]) -> NDArray[Any]:
    """Return means of two by two pixels."""
    *rest, height, width = array.shape
    blocks = array.reshape(*rest, height // 2, 2, width // 2, 2)
    return np.asarray(blocks.mean((-3, -1)).astype(array.dtype))


def put(group: zarr.Group, name: str, data: NDArray[Any], **options: Any) -> None:
    """Write an array into a group, in a way that the oldest zarr knows, too."""
    array = group.create_array(name, shape=data.shape, dtype=data.dtype, **options)
    array[...] = data


def save(
    path: Path,
    levels: Sequence[NDArray[Any]],
    axes: str = "zyx",
    version: str = "0.4",
    *,
    scale: Sequence[float] | None = (2.0, 0.5, 0.5),
    unit: str | None = "micrometer",
    whole: Sequence[Mapping[str, Any]] = (),
    shift: bool = True,
    **more: Any,
) -> Path:
    """Write an image by hand, as the specification says; each level halves rows and columns."""
    v3 = version == "0.5"
    group = zarr.open_group(path, mode="w-", zarr_format=3 if v3 else 2)
    datasets = []
    for number, array in enumerate(levels):
        chunks = (*[1] * (array.ndim - 2), *(max(1, size // 2) for size in array.shape[-2:]))
        options = {"dimension_names": list(axes)} if v3 else SLASHES
        put(group, str(number), array, chunks=chunks, **options)
        times = [2**number if letter in "yx" else 1 for letter in axes]
        own = scale or [1.0] * len(axes)
        transformations: list[dict[str, Any]] = []
        if scale:
            scales = [a * b for a, b in zip(own, times, strict=True)]
            transformations.append({"type": "scale", "scale": scales})
        if scale and shift:
            shifts = [a * (b - 1) / 2 for a, b in zip(own, times, strict=True)]
            transformations.append({"type": "translation", "translation": shifts})
        datasets.append({"path": str(number), "coordinateTransformations": transformations})
        if not transformations:
            del datasets[-1]["coordinateTransformations"]
    kinds = {"t": "time", "c": "channel"}
    named = []
    for letter in axes:
        axis = {"name": letter, "type": kinds.get(letter, "space")}
        if letter in "zyx" and unit:
            axis["unit"] = unit
        named.append(axis)
    image: dict[str, Any] = {"axes": named, "datasets": datasets}
    if whole:
        image["coordinateTransformations"] = list(whole)
    if not v3:
        image["version"] = version
    values = {"multiscales": [image], **more}
    group.attrs.update({"ome": {"version": "0.5", **values}} if v3 else values)
    return path


def save_labels(
    image: Path, name: str, levels: Sequence[NDArray[Any]], axes: str = "zyx", **more: Any
) -> Path:
    version = "0.5" if (image / "zarr.json").exists() else "0.4"
    path = image / "labels" / name
    return save(path, levels, axes, version, **{"image-label": {}, **more})


@pytest.mark.parametrize("version", VERSIONS)
def test_a_channel_is_chosen_by_number_or_name(tmp_path: Path, version: str) -> None:
    pixels = image_of((2, 3, 8, 6))
    channels = {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}
    path = save(tmp_path / "a.ome.zarr", [pixels], "czyx", version, scale=None, omero=channels)
    assert (read_image(path, Part(channel="gfp")).array == pixels[1]).all()
    assert (read_image(path, Part(channel="0")).array == pixels[0]).all()
    with pytest.raises(ValueError, match=r"a.ome.zarr.*2 channels \(0 DAPI, 1 GFP\)"):
        read_image(path)


def test_a_stack_can_stay_on_disk(tmp_path: Path) -> None:
    pixels = image_of((2, 5, 4, 6))
    path = save(tmp_path / "a.ome.zarr", [pixels], "czyx", scale=None)
    file = read_image(path, Part(channel="1"), in_memory=False)
    assert isinstance(file.array, ZarrPlanes)
    assert (file.array.shape, file.array.dtype, file.is_stack) == ((5, 4, 6), np.uint16, True)
    assert (file.array[3] == pixels[1, 3]).all()
    assert (file.array[:, 2] == pixels[1, :, 2]).all()
    assert (np.asarray(file.array) == pixels[1]).all()


def test_colors_of_a_stack_on_disk_are_the_last_axis(tmp_path: Path) -> None:
    pixels = image_of((3, 2, 4, 6)).astype(np.uint8)
    path = save(tmp_path / "a.ome.zarr", [pixels], "czyx", scale=None)
    file = read_image(path, Part(channel="rgb"), in_memory=False)
    assert (file.array.shape, file.shape, file.color) == ((2, 4, 6, 3), (2, 4, 6), True)
    assert (file.array[1] == np.moveaxis(pixels[:, 1], 0, -1)).all()
    assert (np.asarray(file.array) == np.moveaxis(pixels, 0, -1)).all()


def test_a_plane_is_in_memory_at_once(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ome.zarr", [image_of((1, 4, 6))])
    assert isinstance(read_image(path, in_memory=False).array, np.ndarray)


def test_a_damaged_chunk_of_a_stack_on_disk_names_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ome.zarr", [image_of((2, 4, 6))])
    (path / "0" / "1" / "0" / "0").write_bytes(b"no chunk")
    planes = read_image(path, in_memory=False).array
    assert planes[0].any()
    with pytest.raises(ValueError, match=r"a.ome.zarr cannot be read as OME-Zarr"):
        planes[1]


def test_red_green_and_blue_are_one_picture(tmp_path: Path) -> None:
    pixels = image_of((3, 8, 6)).astype(np.uint8)
    named = {"channels": [{"label": "Red"}, {"label": "Green"}, {"label": "Blue"}]}
    path = save(tmp_path / "a.zarr", [pixels], "cyx", scale=None, omero=named)
    unnamed = save(tmp_path / "b.zarr", [pixels], "cyx", scale=None)
    for file in (read_image(path), read_image(unnamed, Part(channel="rgb"))):
        assert file.color
        assert (file.array == np.moveaxis(pixels, 0, -1)).all()
    assert read_image(path, Part(channel="green")).array.shape == (8, 6)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_level_is_read_with_its_spacing_and_said(tmp_path: Path, version: str) -> None:
    pixels = image_of((3, 8, 8))
    path = save(tmp_path / "a.zarr", [pixels, halved(pixels)], version=version)
    file = read_image(path, Part(level=1))
    assert (file.array == halved(pixels)).all()
    assert (file.space.axes, file.space.spacing, file.space.unit) == ("ZYX", (2, 1, 1), "µm")
    assert file.notes[0].startswith("Level 1 with pixels of 1 µm was read, of 0 (8 x 8), 1 (4 x 4)")
    with pytest.raises(ValueError, match=r"no level 2; its levels are 0 \(8 x 8\), 1 \(4 x 4\)"):
        read_image(path, Part(level=2))


def test_the_level_nearest_to_a_pixel_size_is_read(tmp_path: Path) -> None:
    pixels = image_of((3, 8, 8))
    path = save(tmp_path / "a.zarr", [pixels, halved(pixels)])
    assert read_image(path, Part(pixel_size=0.8)).array.shape == (3, 4, 4)
    assert read_image(path, Part(pixel_size=0.6)).array.shape == (3, 8, 8)


def test_transformations_of_level_and_image_are_combined(tmp_path: Path) -> None:
    whole = [
        {"type": "scale", "scale": [3, 1, 2]},
        {"type": "translation", "translation": [9, 0, 1]},
    ]
    path = save(tmp_path / "a.zarr", [image_of((2, 4, 4)), image_of((2, 2, 2))], whole=whole)
    space = read_image(path, Part(level=1)).space
    assert space.spacing == (6, 1, 2)
    assert space.omezarr is not None
    assert space.omezarr.image.starts(1, "ZYX") == (9, 0.25, 1.5)


def test_axes_in_different_units_come_in_one(tmp_path: Path) -> None:
    path = save(tmp_path / "a.zarr", [image_of((2, 4, 4))], scale=(0.001, 0.5, 0.5))
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["axes"][0]["unit"] = "millimeter"
    (path / ".zattrs").write_text(json.dumps(attributes))
    space = read_image(path).space
    assert (space.spacing, space.unit) == ((0.001, 0.0005, 0.0005), "mm")


@pytest.mark.parametrize("bad", [0.0, -0.5])
def test_a_scale_that_is_no_distance_is_not_known(tmp_path: Path, bad: float) -> None:
    file = read_image(save(tmp_path / "a.zarr", [image_of((2, 4, 4))], scale=(1.0, bad, 0.5)))
    assert file.space.spacing == (1.0, None, 0.5)
    assert file.notes == (f"Its scale along Y is {bad:g}, no distance: taken as not known.",)


def test_an_image_without_scale_has_no_spacing(tmp_path: Path) -> None:
    file = read_image(save(tmp_path / "a.zarr", [image_of((2, 4, 4))], scale=None, unit=None))
    assert (file.space.spacing, file.space.unit) == ((), "")


def test_a_unit_without_scale_is_the_size_of_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "a.zarr", [image_of((2, 4, 4))], scale=None, unit="micrometer")
    file = read_image(path)
    assert (file.space.spacing, file.space.unit) == ((), "")
    assert file.notes == ("It has a unit (µm) and no scale: the size of its pixels is not known.",)
    write_labels(tmp_path / "labels.zarr", np.ones((2, 4, 4), np.uint8), file.space)
    again = read_image(tmp_path / "labels.zarr")
    assert (again.space.spacing, again.space.unit, again.notes) == ((), "", ())


@pytest.mark.parametrize("unit", ["µm", "mm"])
def test_a_distance_of_slices_that_is_not_known_is_not_invented(tmp_path: Path, unit: str) -> None:
    space = Space("ZYX", (None, 0.5, 0.25), unit)
    write_labels(tmp_path / "a.zarr", np.ones((2, 4, 4), np.uint8), space)
    again = read_image(tmp_path / "a.zarr")
    assert (again.space.spacing, again.space.unit) == ((None, 0.5, 0.25), unit)
    # the same inside of an image
    write_labels(tmp_path / "b.zarr", np.ones((2, 4, 4), np.uint8), again.space)
    assert read_image(tmp_path / "b.zarr").space.spacing == (None, 0.5, 0.25)


def test_all_axes_of_labels_have_one_unit(tmp_path: Path) -> None:
    path = save(tmp_path / "a.zarr", [image_of((2, 4, 4))])
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["axes"][0]["unit"] = "millimeter"
    (path / ".zattrs").write_text(json.dumps(attributes))
    write_labels(tmp_path / "b.zarr", np.ones((2, 4, 4), np.uint8), read_image(path).space)
    (written,) = json.loads((tmp_path / "b.zarr" / ".zattrs").read_text())["multiscales"]
    assert [axis["unit"] for axis in written["axes"]] == ["millimeter"] * 3
    assert written["datasets"][0]["coordinateTransformations"][0]["scale"] == [2, 0.0005, 0.0005]


def test_axes_of_size_one_are_dropped_and_a_series_is_a_stack(tmp_path: Path) -> None:
    single = save(tmp_path / "a.zarr", [image_of((1, 1, 1, 4, 6))], "tczyx", scale=None)
    assert read_image(single).array.shape == (4, 6)
    series = save(tmp_path / "b.zarr", [image_of((5, 1, 4, 6))], "tzyx", scale=None)
    assert read_image(series).space.axes == "TYX"


def test_more_axes_than_a_stack_has_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.zarr", [image_of((2, 3, 4, 6))], "tzyx", scale=None)
    with pytest.raises(ValueError, match="a stack 3"):
        read_image(path)


@pytest.mark.parametrize("version", VERSIONS)
def test_chunks_that_are_missing_are_said(tmp_path: Path, version: str) -> None:
    pixels = image_of((3, 8, 8)) + 1
    path = save(tmp_path / "a.zarr", [pixels], version=version)
    assert read_image(path).notes == ()
    chunk = path / "0" / ("c/1/0/1" if version == "0.5" else "1/0/1")
    chunk.unlink()
    file = read_image(path)
    assert file.notes == (
        (
            "1 of 12 chunks are not stored and were read as 0: they are blank, or the copy is not "
            "complete."
        ),
    )


def test_a_missing_chunk_of_another_channel_does_not_matter(tmp_path: Path) -> None:
    path = save(tmp_path / "a.zarr", [image_of((2, 4, 4)) + 1], "cyx", scale=None, unit=None)
    (path / "0" / "1" / "0" / "0").unlink()
    assert read_image(path, Part(channel="0")).notes == ()


def test_missing_shards_are_counted_as_what_is_stored(tmp_path: Path) -> None:
    path = save(tmp_path / "a.zarr", [image_of((4, 8, 8))], version="0.5")
    shutil.rmtree(path / "0")
    group = zarr.open_group(path, mode="r+")
    put(group, "0", image_of((4, 8, 8)) + 1, chunks=(1, 4, 4), shards=(2, 8, 8))
    assert read_image(path).notes == ()
    (path / "0" / "c" / "1" / "0" / "0").unlink()
    assert read_image(path).notes[0].startswith("1 of 2 chunks")


@pytest.mark.parametrize("version", VERSIONS)
def test_reading_changes_nothing(tmp_path: Path, version: str) -> None:
    path = save(tmp_path / "a.zarr", [image_of((3, 8, 8))], version=version)
    save_labels(path, "cells", [image_of((3, 8, 8)) % 3])
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    read_pair(path, path)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_inside_are_examples_of_their_image_with_names_and_colors(
    tmp_path: Path, version: str
) -> None:
    pixels = image_of((3, 8, 8))
    path = save(tmp_path / "a.zarr", [pixels], version=version)
    image_label = {
        "colors": [{"label-value": 2, "rgba": [255, 0, 51, 255]}],
        "properties": [{"label-value": 1, "name": "Kern"}],
    }
    labels = save_labels(path, "cells", [pixels % 3], **{"image-label": image_label})
    for named in (path, labels):
        pair = read_pair(path, named)
        assert (pair.labels.array == pixels % 3).all()
        assert pair.labels.styles == {
            1: LabelStyle("Kern"),
            2: LabelStyle("", (1.0, 0.0, 0.2, 1.0)),
        }


def test_several_label_groups_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.zarr", [image_of((3, 8, 8))])
    for name in ("cells", "nuclei"):
        save_labels(path, name, [image_of((3, 8, 8)) % 3])
    with pytest.raises(ValueError, match=r"several label groups \(cells, nuclei\); name one"):
        read_pair(path, path)
    assert read_labels(path / "labels" / "nuclei").array.max() == 2


@pytest.mark.parametrize("listed", [[], ["gone"], ["cells"]], ids=str)
def test_labels_are_found_whether_or_not_they_are_listed(tmp_path: Path, listed: list[str]) -> None:
    path = save(tmp_path / "a.zarr", [image_of((3, 8, 8))], version="0.5")
    save_labels(path, "cells", [image_of((3, 8, 8)) % 3])
    # Without a version, as ome-zarr 0.21 leaves it, or emptied, as ngio does.
    attributes = {"ome": {"labels": listed}}
    values = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (path / "labels" / "zarr.json").write_text(json.dumps(values))
    assert label_names(path) == ("cells",)


def test_labels_added_after_consolidation_are_found(tmp_path: Path) -> None:
    path = save(tmp_path / "a.zarr", [image_of((3, 8, 8))])
    zarr.consolidate_metadata(path, zarr_format=2)
    save_labels(path, "cells", [image_of((3, 8, 8)) % 3])
    assert read_pair(path, path).labels.array.max() == 2


def test_labels_of_a_coarser_level_are_read_with_that_level(tmp_path: Path) -> None:
    pixels = image_of((3, 8, 8))
    path = save(tmp_path / "a.zarr", [pixels, halved(pixels)])
    save_labels(path, "cells", [halved(pixels) % 3], scale=(2.0, 1.0, 1.0), whole=[
        {"type": "translation", "translation": [0, 0.25, 0.25]}
    ])  # fmt: skip
    pair = read_pair(path, path)
    assert pair.image.shape == pair.labels.shape == (3, 4, 4)
    with pytest.raises(ValueError, match=r"Level 0 of .* 3x8x8, 3x4x4, those of the labels 3x4x4"):
        read_pair(path, path, Part(level=0))


def test_labels_of_no_level_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.zarr", [image_of((3, 8, 8))])
    save_labels(path, "cells", [image_of((3, 5, 8)) % 3])
    with pytest.raises(ValueError, match=r"No level of .* its levels are 3x8x8"):
        read_pair(path, path)


def test_labels_of_the_same_size_in_another_place_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.zarr", [image_of((3, 8, 8))])
    whole = [{"type": "translation", "translation": [0, 4, 0]}]
    save_labels(path, "cells", [image_of((3, 8, 8)) % 3], whole=whole)
    with pytest.raises(ValueError, match="not one place: along ZYX they lie 0, 8, 0 pixels apart"):
        read_pair(path, path)
    assert read_pair(path, path, ignore_affine=True).labels.array.max() == 2


def test_labels_of_a_tiff_choose_the_level_of_their_size(tmp_path: Path) -> None:
    pixels = image_of((3, 8, 8))
    path = save(tmp_path / "a.zarr", [pixels, halved(pixels)])
    tifffile.imwrite(tmp_path / "l.tif", (halved(pixels) % 3).astype(np.uint8), photometric=1)
    assert read_pair(path, tmp_path / "l.tif").image.shape == (3, 4, 4)


def test_objects_choose_the_level_of_large_images(tmp_path: Path) -> None:
    y, x = np.indices((2048, 2048))
    levels: list[NDArray[Any]] = [(np.hypot(y - 900, x - 900) < 300).astype(np.uint8)]
    small = [(np.hypot(y - 900, x - 900) < 50).astype(np.uint8)]
    for each in (levels, small):
        for _ in range(2):
            each.append(each[-1][::2, ::2])
    path = save(tmp_path / "a.zarr", levels, "yx", scale=(1, 1))
    save_labels(path, "large", levels, "yx", scale=(1, 1))
    save_labels(path, "small", small, "yx", scale=(1, 1))
    # At 1024 pixels, planes are quick anyway; smaller objects need the finest level.
    assert read_pair(path, path / "labels" / "large").image.shape == (1024, 1024)
    assert read_pair(path, path / "labels" / "small").image.shape == (2048, 2048)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"plate": {}}, "it is a plate; name one of its images"),
        ({"multiscales": [{"datasets": [{"path": "9"}]}]}, "the array 9 that it names"),
        ({}, "name one of the groups in it: 0"),
    ],
    ids=["plate", "array missing", "no image"],
)
def test_groups_that_are_no_image_are_refused(
    tmp_path: Path, attributes: dict[str, Any], said: str
) -> None:
    path = save(tmp_path / "a.zarr", [image_of((3, 8, 8))])
    (path / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(ValueError, match=said):
        read_image(path)


def test_without_zarr_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.zarr", [image_of((3, 8, 8))])
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "napari-iclsam\[zarr\]"'):
        read_image(path)


def written(path: Path, number: int) -> NDArray[Any]:
    return np.asarray(zarr.open_array(path / str(number), mode="r")[...])


def transformations(path: Path) -> list[list[Mapping[str, Any]]]:
    attributes = zarr.open_group(path, mode="r").attrs.asdict()
    attributes = attributes.get("ome", attributes)
    return [each["coordinateTransformations"] for each in attributes["multiscales"][0]["datasets"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_go_into_their_image_with_its_levels_and_place(tmp_path: Path, version: str) -> None:
    pixels = image_of((2, 3, 8, 8))
    path = save(
        tmp_path / "a.zarr", [pixels, halved(pixels)], "czyx", version, scale=(1, 2, 0.5, 0.5)
    )
    file = read_image(path, Part(channel="1"))
    labels = np.zeros(file.shape, np.int32)
    labels[1, 2:6, 2:6] = 3
    labels[0, 0:2, 0:4] = 1
    place = tmp_path / "new.ome.zarr"
    target = path / "labels" / "cells"
    target.parent.mkdir()
    write_labels(place, labels, file.space, STYLES)
    publish(place, target)
    assert label_names(path) == ("cells",)
    back = read_pair(path, path, Part(channel="1"))
    assert (back.labels.array == labels).all()
    assert back.labels.styles == STYLES
    assert (written(target, 1) == labels[:, ::2, ::2]).all()
    assert transformations(target) == [
        [
            {"type": "scale", "scale": [2.0, 0.5, 0.5]},
            {"type": "translation", "translation": [0.0, 0.0, 0.0]},
        ],
        [
            {"type": "scale", "scale": [2.0, 1.0, 1.0]},
            {"type": "translation", "translation": [0.0, 0.25, 0.25]},
        ],
    ]
    array = zarr.open_array(target / "0", mode="r")
    # a plane a file: workers that write planes never share one
    assert array.chunks == (1, 8, 8)
    assert array.shards is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "beside"])
def test_what_is_written_is_valid(tmp_path: Path, version: str, *, inside: bool) -> None:
    yaozarrs = pytest.importorskip("yaozarrs")
    pixels = image_of((3, 8, 8))
    path = save(tmp_path / "a.zarr", [pixels, halved(pixels)], version=version)
    place = tmp_path / "new.ome.zarr"
    write_labels(place, (pixels % 4).astype(np.int32), read_image(path).space, STYLES)
    if inside:
        (path / "labels").mkdir()
        publish(place, path / "labels" / "cells")
    yaozarrs.validate_zarr_store(str(path if inside else place))


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_are_named_as_their_group(tmp_path: Path, version: str) -> None:
    path = save(tmp_path / "a.ome.zarr", [image_of((3, 8, 8))], version=version)
    (path / "labels").mkdir()
    place = tmp_path / "0-found.ome.zarr"
    write_labels(place, np.ones((3, 8, 8), np.uint8), read_image(path).space)
    publish(place, path / "labels" / "found")
    attributes = dict(zarr.open_group(path / "labels" / "found", mode="r").attrs)
    named: Any = attributes.get("ome", attributes)
    assert named["multiscales"][0]["name"] == "found"


def test_a_label_group_of_0_5_has_a_version(tmp_path: Path) -> None:
    path = save(tmp_path / "a.zarr", [image_of((3, 8, 8))], version="0.5")
    (path / "labels").mkdir()
    for name in ("cells", "nuclei"):
        place = tmp_path / f"{name}.ome.zarr"
        write_labels(place, np.ones((3, 8, 8), np.int32), read_image(path).space)
        publish(place, path / "labels" / name)
    values = json.loads((path / "labels" / "zarr.json").read_text())
    assert values["attributes"]["ome"] == {"version": "0.5", "labels": ["cells", "nuclei"]}


@pytest.mark.parametrize("shift", [True, False], ids=["shift said", "shift left out"])
def test_labels_of_a_coarse_level_are_enlarged_to_where_they_lie(
    tmp_path: Path, *, shift: bool
) -> None:
    pixels = image_of((3, 8, 8))
    path = save(tmp_path / "a.zarr", [pixels, halved(pixels)], shift=shift)
    file = read_image(path, Part(level=1))
    labels = np.zeros((3, 4, 4), np.int32)
    labels[1, 1, 2] = 1
    write_labels(tmp_path / "l.ome.zarr", labels, file.space)
    expected = np.zeros((3, 8, 8), np.int32)
    expected[1, 2:4, 4:6] = 1
    assert (written(tmp_path / "l.ome.zarr", 0) == expected).all()
    assert (written(tmp_path / "l.ome.zarr", 1) == labels).all()


def test_colors_are_left_out_unless_each_label_has_one(tmp_path: Path) -> None:
    space = read_image(save(tmp_path / "a.zarr", [image_of((3, 8, 8))])).space
    labels = np.zeros((3, 8, 8), np.int32)
    labels[0, 0, :3] = [1, 2, 3]
    write_labels(tmp_path / "l.ome.zarr", labels, space, STYLES)
    styles = read_labels(tmp_path / "l.ome.zarr").styles
    assert styles == {1: LabelStyle("cell"), 3: LabelStyle("Kern")}


def test_labels_of_other_files_are_halved_until_they_are_small(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.zeros((2, 1030, 700), np.uint8),
        imagej=True,
        resolution=(4, 4),
        metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"},
    )
    space = read_image(tmp_path / "a.tif").space
    labels = np.zeros((2, 1030, 700), np.int32)
    labels[1, 4:8, 4:8] = 1
    write_labels(tmp_path / "l.ome.zarr", labels, space)
    file = read_labels(tmp_path / "l.ome.zarr")
    assert (file.array == labels).all()
    assert (file.space.spacing, file.space.unit) == ((2, 0.25, 0.25), "µm")
    assert [written(tmp_path / "l.ome.zarr", number).shape for number in range(3)] == [
        (2, 1030, 700),
        (2, 515, 350),
        (2, 258, 175),
    ]


def test_an_image_is_never_replaced_by_a_result(tmp_path: Path) -> None:
    from napari_iclsam.files import check_replaceable

    path = save(tmp_path / "a.zarr", [image_of((3, 8, 8))])
    with pytest.raises(IsADirectoryError, match="does not hold labels"):
        check_replaceable(path)
