"""DICOM series: sorted by place, rescaled plane by plane, refused where they are not one volume."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.files import (
    Part,
    check_writable_as,
    labels_suffix,
    read_image,
    read_labels,
    read_pair,
    stem,
    write_labels,
)
from tests.files.dicom_samples import SERIES, SHAPE, VOLUME, base, enhanced, save, series

AFFINE = np.array([[-0.25, 0, 0, -10], [0, -0.5, 0, 20], [0, 0, 2, 30], [0, 0, 0, 1]])
"""Of the sample, from (column, row, plane) to the right, the front, up."""

LABELS = (VOLUME % 3).astype(np.uint8)


def affine_of(path: Path) -> NDArray[np.float64]:
    nifti = read_image(path).space.nifti
    assert nifti is not None
    assert nifti.is_placed
    return nifti.affine


@pytest.mark.parametrize("name", ["{}.dcm", "IM{}", "1.2.3.{}"])
def test_a_folder_is_one_volume_sorted_by_place(tmp_path: Path, name: str) -> None:
    folder = series(tmp_path / "scan.1", name=name)
    (folder / "notes.txt").write_text("not an image")
    file = read_image(folder)
    assert (file.array == VOLUME).all()
    assert (file.space.axes, file.space.spacing, file.space.unit) == ("ZYX", (2, 0.5, 0.25), "mm")
    assert np.allclose(affine_of(folder), AFFINE)
    assert (stem(folder), labels_suffix(folder)) == ("scan.1", ".nii.gz")


def test_a_single_slice_has_its_thickness(tmp_path: Path) -> None:
    folder = series(tmp_path / "scan", VOLUME[:1])
    assert read_image(folder).array.shape == SHAPE[1:]
    assert affine_of(folder)[2, 2] == 3
    assert affine_of(folder / "1.dcm")[2, 2] == 3


def test_each_slice_is_rescaled_by_its_own_slope(tmp_path: Path) -> None:
    slopes = [1.0, 0.5, 8.0, 1.0, 1.0, 1.0]
    volume = VOLUME + np.int16(5000)
    for number, slope in enumerate(slopes):
        series(
            tmp_path / "scan",
            volume[number : number + 1],
            origin=(0, 0, 2 * number),
            name=f"{number}.dcm",
            RescaleSlope=slope,
            RescaleIntercept=-10,
        )
    file = read_image(tmp_path / "scan")
    assert file.array.dtype == np.float32
    expected = volume * np.array(slopes)[:, None, None] - 10
    assert expected.max() > 40000  # beyond 16 bits
    assert (file.array == expected).all()


def test_frames_out_of_order_are_sorted_and_rescaled_one_by_one(tmp_path: Path) -> None:
    slopes = [1.0, 0.5, 2.0, 3.0, 1.0, 1.5]
    path = enhanced(tmp_path / "a.dcm", VOLUME, [3, 0, 5, 1, 4, 2], slopes)
    file = read_image(path)
    assert (file.array == VOLUME * np.array(slopes)[:, None, None] - 10).all()
    assert file.space.spacing == (2, 0.5, 0.25)
    assert np.allclose(affine_of(path), AFFINE)


def test_two_series_are_named_and_one_can_be_chosen(tmp_path: Path) -> None:
    folder = series(tmp_path / "scan", SeriesDescription="thin")
    series(folder, VOLUME[:3] + 100, name="other{}", SeriesInstanceUID=SERIES + ".77")
    with pytest.raises(ValueError, match=rf"2 series \({SERIES} CT thin, 6 files; .*--series"):
        read_image(folder)
    assert (read_image(folder, Part(series=".77")).array == VOLUME[:3] + 100).all()
    with pytest.raises(ValueError, match="it has no series 'x'"):
        read_image(folder, Part(series="x"))


def test_the_only_series_of_a_folder_is_taken_whatever_was_named_with_a_note(
    tmp_path: Path,
) -> None:
    file = read_image(series(tmp_path / "scan"), Part(series=".77"))
    assert (file.array == VOLUME).all()
    assert file.notes[0] == "It holds one series, which is not '.77', and was taken."
    assert read_image(tmp_path / "scan", Part(series=SERIES[-4:])).notes == ()


def test_a_missing_slice_is_named(tmp_path: Path) -> None:
    folder = series(tmp_path / "scan")
    (folder / "3.dcm").unlink()
    said = r"1 plane is missing between 4.dcm at 34.00 mm and 2.dcm at 38.00 mm.* 2.00 mm apart"
    with pytest.raises(ValueError, match=said):
        read_image(folder)


@pytest.mark.parametrize("apart", [0.0, 0.01])
def test_two_scans_at_the_same_places_are_named(tmp_path: Path, apart: float) -> None:
    folder = series(tmp_path / "scan", EchoTime=10)
    series(folder, origin=(10, -20, 30 + apart), name="late{}.dcm", EchoTime=80)
    with pytest.raises(
        ValueError,
        match=r"several planes at one place: 6 of 12, such as .*at 30.00 mm .*EchoTime: 10.*80",
    ):
        read_image(folder)


def test_uneven_steps_are_refused(tmp_path: Path) -> None:
    folder = series(tmp_path / "scan", VOLUME[:3])
    series(folder, VOLUME[3:], origin=(10, -20, 36.9), name="b{}.dcm")
    with pytest.raises(ValueError, match=r"not evenly spaced: .* lies 0\.\d+ mm from"):
        read_image(folder)


def test_a_tilted_gantry_is_said_and_its_shear_kept(tmp_path: Path) -> None:
    step = (0, 2 * np.tan(np.radians(15)), 2)
    folder = series(tmp_path / "scan", step=step)
    file = read_image(folder)
    assert file.notes[0].startswith("The gantry was tilted by 15.0 degrees")
    affine = affine_of(folder)
    # The last plane lies where its file says, not along the normal of the first.
    last = affine @ [0, 0, 5, 1]
    assert np.allclose(last[:3], [-10, 20 - 5 * step[1], 40])
    assert file.space.spacing == (2, 0.5, 0.25)
    write_labels(tmp_path / "l.nii.gz", LABELS, file.space)
    written: Any = nibabel.load(tmp_path / "l.nii.gz")
    assert np.allclose(written.affine, affine)
    assert (read_pair(folder, tmp_path / "l.nii.gz").labels.array == LABELS).all()


def test_white_is_zero_is_inverted_once(tmp_path: Path) -> None:
    pixels = VOLUME[0].astype(np.uint16)
    data = base(pixels, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)
    file = read_image(save(data, tmp_path / "a.dcm"))
    assert (file.array == 4095 - pixels).all()
    assert "MONOCHROME1" in file.notes[0]
    signed = base(VOLUME[0], PhotometricInterpretation="MONOCHROME1")
    assert (read_image(save(signed, tmp_path / "b.dcm")).array == -1 - VOLUME[0]).all()


def test_palettes_become_colors(tmp_path: Path) -> None:
    pixels = (VOLUME[0] % 4).astype(np.uint8)
    data = base(pixels, PhotometricInterpretation="PALETTE COLOR")
    ramp = np.array([0, 60, 120, 250], np.uint8)
    for name in ("Red", "Green", "Blue"):
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 8])
        setattr(data, f"{name}PaletteColorLookupTableData", ramp.tobytes())
    file = read_image(save(data, tmp_path / "a.dcm"))
    assert file.color
    assert (file.array == ramp[pixels][..., None]).all()


def test_planes_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    folder = series(tmp_path / "a")
    series(folder, VOLUME[:1], orientation=(0, 1, 0, 0, 0, -1), name="localizer")
    with pytest.raises(ValueError, match="different directions, as those of a localizer"):
        read_image(folder)
    folder = series(tmp_path / "b")
    series(folder, VOLUME[:1, :3], name="small")
    with pytest.raises(ValueError, match=r"different sizes \(3 x 7 and 5 x 7\)"):
        read_image(folder)


def test_files_without_a_place_are_sorted_by_number(tmp_path: Path) -> None:
    for number, plane in enumerate(VOLUME):
        save(base(plane, InstanceNumber=number), tmp_path / "scan" / f"{9 - number}.dcm")
    file = read_image(tmp_path / "scan")
    assert (file.array == VOLUME).all()
    assert file.space.nifti is None


def test_labels_match_by_place_whatever_their_order(tmp_path: Path) -> None:
    folder = series(tmp_path / "scan")
    # The planes of the file run downwards, its rows backwards.
    turned = LABELS.T[:, ::-1, ::-1]
    flip = np.eye(4)
    flip[[1, 2], [1, 2]] = -1
    flip[[1, 2], 3] = [SHAPE[1] - 1, SHAPE[0] - 1]
    nibabel.save(nibabel.Nifti1Image(turned, AFFINE @ flip), tmp_path / "l.nii.gz")
    assert (read_pair(folder, tmp_path / "l.nii.gz").labels.array == LABELS).all()
    shifted = AFFINE.copy()
    shifted[2, 3] += 2
    nibabel.save(nibabel.Nifti1Image(LABELS.T, shifted), tmp_path / "l.nii.gz")
    with pytest.raises(ValueError, match="do not lie on the same grid"):
        read_pair(folder, tmp_path / "l.nii.gz")


def test_a_segmentation_is_written_and_read_by_place(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    folder = series(tmp_path / "scan")
    image = read_image(folder)
    labels = np.zeros(SHAPE, np.int32)
    labels[2, 1:3, 2:5] = 1
    labels[4, 3, 3:] = 2
    write_labels(tmp_path / "seg.dcm", labels, image.space)
    # Empty planes are left out of the file.
    assert read_labels(tmp_path / "seg.dcm").shape == (3, 5, 7)
    pair = read_pair(folder, tmp_path / "seg.dcm")
    assert (pair.labels.array == labels).all()
    assert pair.labels.styles[2].name == "label 2"
    with pytest.raises(ValueError, match="is a segmentation and no image"):
        read_image(tmp_path / "seg.dcm")


def save_segmentation(path: Path, folder: Path, pixels: NDArray[Any], kind: str) -> Path:
    """Write a segmentation of a series by highdicom, of segments 1 and 2 or fewer."""
    hd = pytest.importorskip("highdicom")
    import pydicom

    from napari_iclsam.files import dicom_seg

    count = pixels.shape[-1] if pixels.ndim == 4 else 1
    files = read_image(folder).space.dicom
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dataset = hd.seg.Segmentation(
            source_images=[pydicom.dcmread(file) for file in files],
            pixel_array=pixels,
            segmentation_type=kind,
            segment_descriptions=dicom_seg._descriptions(hd, range(1, count + 1), {}),
            series_instance_uid=hd.UID(),
            series_number=2,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="test",
            manufacturer_model_name="test",
            software_versions="1",
            device_serial_number="1",
        )
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
def test_segmentations_of_other_programs_are_read_by_place(tmp_path: Path, kind: str) -> None:
    folder = series(tmp_path / "scan")
    mask = np.zeros(SHAPE, np.float32 if kind == "FRACTIONAL" else np.uint8)
    mask[2, 1:3, 2:5] = 1
    path = save_segmentation(tmp_path / "seg.dcm", folder, mask, kind)
    labels = read_pair(folder, path).labels
    assert (labels.array == mask).all()
    assert list(labels.styles) == [1]


def test_fractions_of_a_segmentation_are_refused(tmp_path: Path) -> None:
    folder = series(tmp_path / "scan")
    shares = np.zeros(SHAPE, np.float32)
    shares[2, 1:3, 2:5] = 0.5
    save_segmentation(tmp_path / "seg.dcm", folder, shares, "FRACTIONAL")
    with pytest.raises(ValueError, match="cannot be one label image"):
        read_labels(tmp_path / "seg.dcm")


def test_segments_that_overlap_are_refused(tmp_path: Path) -> None:
    folder = series(tmp_path / "scan")
    masks = np.zeros((*SHAPE, 2), np.uint8)
    masks[2, 1:4, 1:4, 0] = 1
    masks[2, 2:5, 2:5, 1] = 1
    save_segmentation(tmp_path / "seg.dcm", folder, masks, "BINARY")
    with pytest.raises(ValueError, match="cannot be one label image"):
        read_labels(tmp_path / "seg.dcm")


@pytest.mark.parametrize("styles", [{}, {3: LabelStyle("liver")}], ids=["unnamed", "named"])
def test_where_nothing_is_found_the_segmentation_is_empty(
    tmp_path: Path, styles: dict[int, LabelStyle]
) -> None:
    pytest.importorskip("highdicom")
    folder = series(tmp_path / "scan")
    write_labels(tmp_path / "seg.dcm", np.zeros(SHAPE, int), read_image(folder).space, styles)
    labels = read_pair(folder, tmp_path / "seg.dcm").labels
    assert labels.array.shape == SHAPE
    assert not labels.array.any()
    assert labels.styles[1].name == ("liver" if styles else "label 1")


def test_a_segmentation_numbers_more_than_255_objects() -> None:
    pytest.importorskip("highdicom")
    from napari_iclsam.files.dicom_seg import _segments

    # with hundreds of segments, highdicom takes seconds
    labels = np.arange(0, 600, 2).reshape(1, 20, 15)
    numbers = _segments(labels, range(2, 600, 2))
    assert (numbers == labels // 2).all()


def test_a_series_that_lacks_what_a_segmentation_names_is_said_at_once(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    import pydicom

    folder = series(tmp_path / "scan")
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        del data.StudyDate
        data.save_as(path)
    space = read_image(folder).space
    with pytest.raises(ValueError, match=r"of this series \(.*StudyDate.*name a \.nii\.gz file"):
        check_writable_as(tmp_path / "seg.dcm", 1, stack=True, space=space)


def test_a_segmentation_needs_a_series(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VOLUME.T, AFFINE), tmp_path / "a.nii")
    with pytest.raises(ValueError, match=r"of DICOM images only; name a \.nii\.gz file"):
        write_labels(tmp_path / "seg.dcm", LABELS, read_image(tmp_path / "a.nii").space)


@pytest.mark.parametrize("content", [b"not DICOM", b"\0" * 128 + b"DICM"], ids=["text", "cut"])
def test_a_broken_file_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.dcm cannot be read as DICOM"):
        read_image(tmp_path / "a.dcm")


def test_without_pydicom_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = series(tmp_path / "scan")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "napari-iclsam\[dicom\]"'):
        read_image(folder)
