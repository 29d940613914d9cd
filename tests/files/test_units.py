"""Units of length: spellings, exact conversion, and what is unknown stays unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_iclsam.files import Space, read_image, write_labels
from napari_iclsam.files.units import ascii_unit, convert, unit_of

PLANE = np.arange(48, dtype=np.uint8).reshape(6, 8)
STACK = np.stack([PLANE] * 4)
LABELS = (STACK > 20).astype(np.int32)


@pytest.mark.parametrize(
    ("unit", "spellings"),
    [
        (
            "µm",
            ["µm", "μm", "um", "micron", "Microns", "micrometer", "micrometres", "\\u00B5m", "Âµm"],
        ),
        ("nm", ["nm", "nanometer", "NM", "nanometres"]),
        ("mm", ["mm", "millimeters", "Millimetre"]),
        ("cm", ["cm", "centimeter"]),
        ("inch", ["inch", "in", "inches", '"']),
        ("Å", ["Å", "Å", "angstrom"]),
        ("", ["", "pixel", "pixels", "unknown", "None"]),
        ("furlong", ["furlong"]),
    ],
)
def test_all_spellings_mean_one_unit(unit: str, spellings: list[str]) -> None:
    assert {unit_of(spelling) for spelling in spellings} == {unit}


def test_bytes_and_nothing_are_read_too() -> None:
    assert unit_of("µm".encode()) == "µm"
    assert unit_of(None) == ""


@pytest.mark.parametrize(
    ("value", "unit", "into", "expected"),
    [
        (0.00025, "mm", "µm", 0.25),
        (1, "inch", "mm", 25.4),
        (500, "nm", "µm", 0.5),
        (0.1, "µm", "µm", 0.1),
    ],
)
def test_lengths_are_converted_without_stray_digits(
    value: float, unit: str, into: str, expected: float
) -> None:
    assert convert(value, unit, into) == expected


def test_units_of_imagej_are_ascii() -> None:
    assert [ascii_unit(unit) for unit in ("µm", "mm", "Å")] == ["micron", "mm", "\\u00C5"]


@pytest.mark.parametrize("spelling", ["micron", "\\u00B5m", "um"])
def test_an_imagej_file_in_micrometers_is_one_whatever_its_spelling(
    tmp_path: Path, spelling: str
) -> None:
    meta = {"axes": "ZYX", "spacing": 2.0, "unit": spelling}
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, resolution=(4.0, 2.0), metadata=meta)
    space = read_image(tmp_path / "a.tif").space
    assert (space.spacing, space.unit) == ((2.0, 0.5, 0.25), "µm")


def test_imagej_axes_in_several_units_are_read_in_one(tmp_path: Path) -> None:
    meta = {"axes": "ZYX", "spacing": 500.0, "unit": "micron", "zunit": "nm"}
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, resolution=(4.0, 2.0), metadata=meta)
    space = read_image(tmp_path / "a.tif").space
    assert (space.spacing, space.unit) == ((0.5, 0.5, 0.25), "µm")


def test_ome_axes_in_several_units_are_read_in_one(tmp_path: Path) -> None:
    meta = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm"}
    meta |= {"PhysicalSizeZ": 0.002, "PhysicalSizeZUnit": "mm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, ome=True, metadata=meta)
    space = read_image(tmp_path / "a.ome.tif").space
    assert (space.spacing, space.unit) == ((2.0, 0.25, 0.25), "µm")


def test_a_distance_of_slices_that_is_not_known_is_not_invented(tmp_path: Path) -> None:
    meta = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, ome=True, metadata=meta)
    space = read_image(tmp_path / "a.ome.tif").space
    assert space.spacing == (None, 0.25, 0.25)
    write_labels(tmp_path / "labels.ome.tif", LABELS, space)
    with tifffile.TiffFile(tmp_path / "labels.ome.tif") as written:
        assert written.ome_metadata is not None
        assert "PhysicalSizeX=" in written.ome_metadata
        assert "PhysicalSizeZ" not in written.ome_metadata


@pytest.mark.parametrize(
    "options", [{}, {"imagej": True}, {"ome": True}], ids=["plain", "imagej", "ome"]
)
def test_a_file_without_calibration_has_none_and_neither_has_its_result(
    tmp_path: Path, options: Any
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, metadata={"axes": "ZYX"}, photometric="minisblack", **options)
    space = read_image(path).space
    assert (space.spacing, space.unit) == ((), "")
    write_labels(tmp_path / "labels.tif", LABELS, space)
    again = read_image(tmp_path / "labels.tif").space
    assert (again.spacing, again.unit, again.dialect) == ((), "", space.dialect)


@pytest.mark.parametrize("unit", ["nm", "µm", "mm", "cm", "inch"])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.nii.gz"])
@pytest.mark.parametrize("dialect", ["plain", "imagej", "ome"])
def test_a_length_stays_the_same_length_in_every_kind_of_file(
    tmp_path: Path, unit: str, name: str, dialect: Any
) -> None:
    space = Space("ZYX", (2.0, 0.5, 0.25), unit, dialect)
    write_labels(tmp_path / name, LABELS, space)
    again = read_image(tmp_path / name).space
    assert np.allclose(np.array(again.spacing_in(unit), float), space.spacing)


@pytest.mark.parametrize("dialect", ["plain", "imagej", "ome"])
def test_large_labels_keep_spacing_and_unit(tmp_path: Path, dialect: Any) -> None:
    write_labels(tmp_path / "a.tif", LABELS * 70_000, Space("ZYX", (2.0, 0.5, 0.25), "µm", dialect))
    again = read_image(tmp_path / "a.tif")
    assert (again.space.spacing, again.space.unit) == ((2.0, 0.5, 0.25), "µm")
    assert again.array.max() == 70_000


@pytest.mark.parametrize("unit", ["µm", "μm", "Ångström-ish"])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.nii.gz", "a.png"])
@pytest.mark.parametrize("dialect", ["plain", "imagej", "ome"])
def test_letters_that_are_not_ascii_never_cost_a_result(
    tmp_path: Path, unit: str, name: str, dialect: Any
) -> None:
    write_labels(tmp_path / name, LABELS[0], Space("YX", (0.5, 0.25), unit, dialect))
    assert (read_image(tmp_path / name).array == LABELS[0]).all()


def test_nifti_in_nanometers_is_written_in_a_unit_that_nifti_has(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.nii", LABELS, Space("ZYX", (2e3, 500.0, 250.0), "nm"))
    written: Any = nibabel.load(tmp_path / "a.nii")
    assert written.header.get_xyzt_units()[0] == "mm"
    assert np.allclose(written.affine, np.diag([2.5e-4, 5e-4, 2e-3, 1]))


def test_a_png_in_micrometers_has_dots_per_inch(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.png", LABELS[0], Space("YX", (50.8, 25.4), "µm"))
    with Image.open(tmp_path / "a.png") as written:
        assert np.allclose(written.info["dpi"], (1000, 500), atol=0.1)


@pytest.mark.parametrize("size", [1e-9, 1e-3, 1e9], ids=str)
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.nii.gz", "a.png"])
def test_no_pixel_is_too_small_or_too_large_to_write(
    tmp_path: Path, size: float, name: str
) -> None:
    for dialect in ("plain", "imagej", "ome"):
        write_labels(tmp_path / name, LABELS[0], Space("YX", (size, size), "nm", dialect))  # type: ignore[arg-type]
        assert (read_image(tmp_path / name).array == LABELS[0]).all()


@pytest.mark.parametrize("axes", ["IYX", "QYX", "TYX", "ZYX"])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
@pytest.mark.parametrize("dialect", ["plain", "imagej", "ome"])
def test_pages_of_any_program_can_be_written(
    tmp_path: Path, axes: str, name: str, dialect: Any
) -> None:
    write_labels(tmp_path / name, LABELS, Space(axes, dialect=dialect))
    again = read_image(tmp_path / name)
    assert (again.array == LABELS).all()
    assert again.is_stack


@pytest.mark.parametrize(
    ("name", "spacing"), [("a.nii.gz", (0.25, 0.5, 3.0)), ("a.ome.tif", (0.00025, 0.0005))]
)
def test_simpleitk_reads_the_spacing_that_was_written(
    tmp_path: Path, name: str, spacing: tuple[float, ...]
) -> None:
    sitk = pytest.importorskip("SimpleITK")
    unit = "mm" if name.endswith(".gz") else "µm"
    write_labels(tmp_path / name, LABELS, Space("ZYX", (3.0, 0.5, 0.25), unit))
    # millimeters; of the distance of slices, ITK reads nothing from a TIFF
    found = sitk.ReadImage(str(tmp_path / name)).GetSpacing()
    assert np.allclose(found[: len(spacing)], spacing)
