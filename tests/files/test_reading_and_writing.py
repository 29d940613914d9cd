"""Image files: pixels and places come back, and damage is said in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_iclsam.commands.placement import Placement
from napari_iclsam.files import (
    Part,
    Space,
    labels_suffix,
    read_image,
    read_labels,
    stem,
    suffix,
    write_labels,
)
from napari_iclsam.files.orientation import Turn

PLANE = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8)
STACK = np.arange(4 * 6 * 8, dtype=np.uint16).reshape(4, 6, 8) * 100
COLOR = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
LABELS = np.zeros((4, 6, 8), np.int32)
LABELS[1:3, 2:5, 1:7] = 3
AFFINE = np.array([[-0.5, 0, 0, 10], [0, 0.5, 0.1, -20], [0, 0, 2.0, 30], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plane.png", PLANE),
        ("deep.png", STACK[0]),
        ("color.png", COLOR),
        ("plane.tif", PLANE),
        ("stack.tiff", STACK),
        ("float.tif", STACK.astype(np.float32) / 7),
    ],
)
def test_pixels_come_back_as_they_were_written(
    tmp_path: Path, name: str, written: NDArray[Any]
) -> None:
    path = tmp_path / name
    if name.endswith("png"):
        Image.fromarray(written).save(path)
    else:
        tifffile.imwrite(path, written, photometric="minisblack")
    file = read_image(path)
    assert file.array.dtype == written.dtype
    assert (file.array == written).all()
    assert file.color == (written is COLOR)
    assert file.is_stack == (written.shape == STACK.shape)


@pytest.mark.parametrize(
    ("mode", "shape"),
    [("1", (6, 8)), ("P", (6, 8, 3)), ("LA", (6, 8)), ("RGBA", (6, 8, 4)), ("I;16", (6, 8))],
)
def test_every_mode_of_a_png_is_a_plane_or_a_color_picture(
    tmp_path: Path, mode: str, shape: tuple[int, ...]
) -> None:
    picture = Image.fromarray(STACK[0]) if mode == "I;16" else Image.fromarray(COLOR).convert(mode)
    picture.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").array.shape == shape


def test_a_jpeg_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((6, 8, 3), 90, np.uint8)).save(tmp_path / "a.JPG")
    file = read_image(tmp_path / "a.JPG")
    assert file.color
    assert np.abs(file.array.astype(int) - 90).max() <= 2


def test_colors_in_separate_planes_of_a_tiff_become_the_last_axis(tmp_path: Path) -> None:
    planes = np.ascontiguousarray(COLOR.transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    file = read_image(tmp_path / "a.tif")
    assert file.color
    assert (file.array == COLOR).all()


@pytest.mark.parametrize("compression", ["zlib", "lzw"])
def test_compressed_tiff_files_are_read(tmp_path: Path, compression: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, compression=compression, photometric="minisblack")
    assert (read_image(tmp_path / "a.tif").array == STACK).all()


def test_an_imagej_stack_keeps_its_spacing_and_unit(tmp_path: Path) -> None:
    meta = {"axes": "ZYX", "spacing": 2.5, "unit": "micron"}
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, resolution=(4.0, 2.0), metadata=meta)
    space = read_image(tmp_path / "a.tif").space
    assert (space.axes, space.spacing, space.unit) == ("ZYX", (2.5, 0.5, 0.25), "µm")
    write_labels(tmp_path / "labels.tif", LABELS, space)
    again = read_labels(tmp_path / "labels.tif")
    assert (again.array == LABELS).all()
    assert again.array.dtype == np.uint8
    assert (again.space.axes, again.space.spacing, again.space.unit) == (
        "ZYX",
        (2.5, 0.5, 0.25),
        "µm",
    )
    assert again.space.dialect == "imagej"


@pytest.mark.parametrize("name", ["labels.ome.tif", "labels.tif"])
def test_an_ome_stack_keeps_its_spacing_and_unit(tmp_path: Path, name: str) -> None:
    meta = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.5}
    meta |= {f"PhysicalSize{letter}Unit": "nm" for letter in "XYZ"}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, ome=True, metadata=meta)
    space = read_image(tmp_path / "a.ome.tif").space
    assert (space.axes, space.spacing, space.unit) == ("ZYX", (2.5, 0.5, 0.25), "nm")
    write_labels(tmp_path / name, LABELS, space)
    again = read_labels(tmp_path / name)
    assert (again.array == LABELS).all()
    assert (again.space.spacing, again.space.unit, again.space.dialect) == (
        (2.5, 0.5, 0.25),
        "nm",
        "ome",
    )


def test_a_time_series_stays_one(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "TYX"})
    space = read_image(tmp_path / "a.tif").space
    write_labels(tmp_path / "labels.tif", LABELS, space)
    assert (space.axes, read_labels(tmp_path / "labels.tif").space.axes) == ("TYX", "TYX")


def test_a_plain_tiff_keeps_its_resolution(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PLANE, resolution=(200, 100), resolutionunit="CENTIMETER")
    space = read_image(tmp_path / "a.tif").space
    write_labels(tmp_path / "labels.tif", LABELS[1], space)
    again = read_labels(tmp_path / "labels.tif").space
    assert (space.spacing, space.unit) == (again.spacing, again.unit) == ((0.01, 0.005), "cm")


def test_a_png_keeps_its_dots_per_inch(tmp_path: Path) -> None:
    Image.fromarray(PLANE).save(tmp_path / "a.png", dpi=(300, 150))
    write_labels(tmp_path / "labels.png", LABELS[1], read_image(tmp_path / "a.png").space)
    with Image.open(tmp_path / "labels.png") as written:
        assert np.allclose(written.info["dpi"], (300, 150), atol=0.1)  # PNG counts dots per metre
        assert (np.asarray(written) == LABELS[1]).all()


@pytest.mark.parametrize(
    "kind", [nibabel.Nifti1Image, nibabel.Nifti2Image], ids=["nifti-1", "nifti-2"]
)
@pytest.mark.parametrize("shape", [(8, 6, 4), (8, 6, 4, 1), (8, 6), (8, 6, 1)], ids=str)
def test_a_nifti_volume_keeps_its_affine_and_shape(
    tmp_path: Path, kind: Any, shape: tuple[int, ...]
) -> None:
    volume = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    source = kind(volume, AFFINE)
    source.header.set_xyzt_units("mm")
    source.header["cal_max"] = 700
    nibabel.save(source, tmp_path / "a.nii.gz")
    file = read_image(tmp_path / "a.nii.gz")
    assert (file.array == volume.squeeze().T).all()
    labels = (file.array % 3).astype(np.int32)
    write_labels(tmp_path / "labels.nii.gz", labels, file.space)
    written: Any = nibabel.load(tmp_path / "labels.nii.gz")
    assert type(written) is kind
    assert written.shape == shape
    assert np.allclose(written.affine, source.affine)
    assert (written.header["sform_code"], written.header["qform_code"]) == (
        source.header["sform_code"],
        source.header["qform_code"],
    )
    assert written.get_data_dtype() == np.uint8
    assert written.header.get_xyzt_units()[0] == "mm"
    assert written.header.get_intent()[0] == "label"
    assert written.header["cal_max"] == 0
    assert (np.asarray(written.dataobj) == volume % 3).all()
    assert (read_labels(tmp_path / "labels.nii.gz").array == labels).all()


def test_a_nifti_volume_says_its_spacing_plane_by_plane_first(tmp_path: Path) -> None:
    source = nibabel.Nifti1Image(STACK.T.astype(np.int16), np.diag([0.5, 0.75, 3, 1]))
    source.header.set_xyzt_units("mm")
    nibabel.save(source, tmp_path / "a.nii")
    space = read_image(tmp_path / "a.nii").space
    assert (space.axes, space.spacing, space.unit) == ("ZYX", (3.0, 0.75, 0.5), "mm")
    write_labels(tmp_path / "labels.tif", LABELS, space)
    again = read_labels(tmp_path / "labels.tif").space
    assert np.allclose(again.spacing, (3, 0.75, 0.5))
    assert again.unit == "mm"


def test_labels_of_a_tiff_stack_can_be_written_as_nifti(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.nii.gz", LABELS, Space("ZYX", (2.5, 0.5, 0.25), "micron"))
    written: Any = nibabel.load(tmp_path / "a.nii.gz")
    assert np.allclose(written.affine, np.diag([0.25, 0.5, 2.5, 1]))
    assert written.header.get_xyzt_units()[0] == "micron"
    assert (np.asarray(written.dataobj) == LABELS.T).all()


@pytest.mark.parametrize(
    ("highest", "dtype"),
    [(255, np.uint8), (256, np.uint16), (65_536, np.int32)],
    ids=["8-bit", "16-bit", "32-bit"],
)
@pytest.mark.parametrize("name", ["a.tif", "a.nii.gz", "a.ome.tif"])
def test_labels_take_the_smallest_integers_that_hold_them(
    tmp_path: Path, name: str, highest: int, dtype: Any
) -> None:
    labels = np.where(LABELS > 0, highest, 0)
    write_labels(tmp_path / name, labels, Space("ZYX", (1.0, 1.0, 1.0), "micron", "imagej"))
    again = read_labels(tmp_path / name).array
    assert again.dtype == dtype
    assert (again == labels).all()


def test_the_numbers_of_a_palette_are_the_labels(tmp_path: Path) -> None:
    picture = Image.fromarray(LABELS[1].astype(np.uint8), mode=None).convert("L")
    indexed = Image.frombytes("P", picture.size, picture.tobytes())
    indexed.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 9, 9])
    indexed.save(tmp_path / "a.png")
    assert (read_labels(tmp_path / "a.png").array == LABELS[1]).all()


def test_grey_labels_saved_as_colors_are_the_labels(tmp_path: Path) -> None:
    Image.fromarray(np.repeat(LABELS[1].astype(np.uint8)[..., None], 3, axis=2)).save(
        tmp_path / "a.png"
    )
    assert (read_labels(tmp_path / "a.png").array == LABELS[1]).all()


def test_whole_numbers_stored_as_floating_point_are_labels(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(LABELS.T.astype(np.float64), AFFINE), tmp_path / "a.nii.gz")
    labels = read_labels(tmp_path / "a.nii.gz").array
    assert np.issubdtype(labels.dtype, np.integer)
    assert (labels == LABELS).all()


def a_tiff(values: NDArray[Any]) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, values, photometric="minisblack")


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.tif", a_tiff(PLANE + 0.5), r"whole numbers .*; 48 of 48 pixels are not, such as 0\.5"),
        ("a.tif", a_tiff(np.where(PLANE == 7, np.nan, 1.0)), "1 of 48 pixels are not, such as nan"),
        (
            "a.tif",
            a_tiff(PLANE.astype(np.int16) - 1),
            r"positive; the smallest is -1\..*--ignore-label 255",
        ),
        ("a.png", lambda path: Image.fromarray(COLOR).save(path), "color picture of 48 colors"),
    ],
    ids=["fractions", "nan", "negative", "colors"],
)
def test_what_cannot_be_labels_is_said(
    tmp_path: Path, name: str, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / name)


def truncated(name: str) -> bytes:
    """Return the first half of a real file."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        noise = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
        if suffix(path) in (".png", ".jpg"):
            Image.fromarray(noise).save(path)
        elif suffix(path) == ".tif":
            tifffile.imwrite(path, noise)
        else:
            nibabel.save(nibabel.Nifti1Image(noise, AFFINE), path)
        data = path.read_bytes()
    return data[: len(data) // 2]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.nii", "a.nii.gz"])
@pytest.mark.parametrize("content", ["text", "nothing", "half"])
@pytest.mark.filterwarnings("ignore")  # the libraries may warn before they give up
def test_a_file_that_is_no_image_or_half_of_one_is_said(
    tmp_path: Path, name: str, content: str
) -> None:
    contents = {"text": b"these are not pixels\n" * 30, "nothing": b"", "half": truncated(name)}
    (tmp_path / name).write_bytes(contents[content])
    with pytest.raises(
        ValueError, match="empty file" if content == "nothing" else "cannot be read as"
    ) as error:
        read_image(tmp_path / name)
    assert name in str(error.value)


@pytest.mark.parametrize("name", ["a.txt", "a", "a.bmp"])
def test_a_file_of_another_kind_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"1 2 3")
    with pytest.raises(ValueError, match="give TIFF, PNG, JPEG, NIfTI"):
        read_image(tmp_path / name)


def test_a_file_that_is_not_there_and_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file .*a\.tif"):
        read_image(tmp_path / "a.tif")
    (tmp_path / "b.tif").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_image(tmp_path / "b.tif")


def test_more_than_a_stack_is_said_with_what_to_do(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 3, 6, 8), np.uint8), photometric="minisblack")
    with pytest.raises(ValueError, match=r"4 axes of size \(2, 3, 6, 8\).*Save the channel"):
        read_image(tmp_path / "a.tif")


def test_images_of_several_sizes_in_one_file_are_said(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PLANE, metadata=None)
        writer.write(PLANE[:4], metadata=None)
    with pytest.raises(ValueError, match="2 images of different kinds"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("a.jpg", LABELS[1], "JPEG changes the numbers"),
        ("a.bmp", LABELS[1], "is not among them"),
        ("a.png", LABELS, "one plane and this is a stack"),
        ("a.png", LABELS[1] * 30_000, "up to 65535"),
    ],
)
def test_labels_that_a_kind_of_file_cannot_hold_are_not_written(
    tmp_path: Path, name: str, labels: NDArray[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_labels(tmp_path / name, labels, Space("ZYX"))
    assert not (tmp_path / name).exists()


def test_names_have_a_stem_and_a_suffix() -> None:
    names = ["b.c.nii.gz", "b.OME.TIF", "b.jpeg", "b"]
    assert [suffix(Path(name)) for name in names] == [".nii.gz", ".ome.tif", ".jpeg", ""]
    assert [stem(Path(name)) for name in names] == ["b.c", "b", "b", "b"]
    assert [labels_suffix(Path(name)) for name in names] == [".nii.gz", ".ome.tif", ".png", ""]


@pytest.mark.parametrize("channels", ["RGB", "RGBA"])
def test_colors_of_nifti_are_the_last_axis(tmp_path: Path, channels: str) -> None:
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 255, (3, 6, 8, len(channels)), np.uint8)
    voxels = np.zeros((8, 6, 3), [(name, "u1") for name in channels])
    for number, name in enumerate(channels):
        voxels[name] = colors[..., number].T
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 2, 3, 1])), path)
    file = read_image(path)
    assert file.color
    assert file.shape == (3, 6, 8)
    assert (file.array == colors).all()
    assert (read_image(path, Part(channel="green")).array == colors[..., 1]).all()
    flipped = Turn((0, 1, 2), (False, True, False))
    turned = Placement(0, flipped, file.shape, file.shape, (8, 6, 3)).apply(file.array, file)
    assert (turned == colors[:, ::-1]).all()


def test_ome_results_say_their_pixel_size_to_programs_that_read_no_ome(tmp_path: Path) -> None:
    space = Space("ZYX", (3.0, 0.5, 0.25), "µm", "ome")
    write_labels(tmp_path / "l.ome.tif", LABELS, space)
    with tifffile.TiffFile(tmp_path / "l.ome.tif") as tif:
        tags = tif.pages[0].tags
        assert tags["ResolutionUnit"].value == 3
        across, down = (tags[f"{axis}Resolution"].value for axis in "XY")
    assert across[0] / across[1] == pytest.approx(40_000)
    assert down[0] / down[1] == pytest.approx(20_000)
    assert read_labels(tmp_path / "l.ome.tif").space.spacing == (3.0, 0.5, 0.25)


def test_a_pyramid_is_read_at_full_size_with_the_sizes_of_its_ome_xml(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = np.arange(3 * 64 * 64, dtype=np.uint16).reshape(3, 64, 64)
    sizes = {"PhysicalSizeZ": 2.0, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.5}
    options: dict[str, Any] = {"photometric": "minisblack", "tile": (16, 16)}
    with tifffile.TiffWriter(path) as writer:
        writer.write(pixels, subifds=1, metadata={"axes": "ZYX", **sizes}, **options)
        writer.write(pixels[:, ::2, ::2], subfiletype=1, **options)
    file = read_image(path)
    assert (file.array == pixels).all()
    assert file.space.spacing == (2.0, 0.5, 0.5)
    assert file.space.unit == "µm"
