"""Files of microscopes, written by Zeiss's library and read by bioio."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.files import Part, labels_suffix, read_image, stem, write_labels


def pixels() -> NDArray[np.uint16]:
    """Make two channels of three planes, (C, Z, H, W)."""
    return np.arange(2 * 3 * 16 * 20, dtype=np.uint16).reshape(2, 3, 16, 20)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    pytest.importorskip("bioio_czi")
    czi = pytest.importorskip("pylibCZIrw.czi")
    path = tmp_path / "scan.czi"
    with czi.create_czi(str(path)) as document:
        for channel, number in np.ndindex(2, 3):
            plane = np.ascontiguousarray(pixels()[channel, number][..., None])
            document.write(data=plane, plane={"C": channel, "Z": number, "T": 0})
        names = {0: "DAPI", 1: "GFP"}
        document.write_metadata(
            document_name="scan", channel_names=names, scale_x=5e-7, scale_y=5e-7, scale_z=2e-6
        )
    return path


def test_a_channel_of_a_scan_is_a_stack_with_its_pixel_sizes(scan: Path) -> None:
    file = read_image(scan, Part(channel="gfp"))
    assert (file.array == pixels()[1]).all()
    assert file.space.axes == "ZYX"
    assert file.space.spacing == pytest.approx((2.0, 0.5, 0.5))
    assert file.space.unit == "µm"


def test_channels_and_scenes_are_named(scan: Path) -> None:
    with pytest.raises(ValueError, match=r"2 channels \(0 DAPI, 1 GFP\)"):
        read_image(scan)
    with pytest.raises(ValueError, match="it has no scene 'other'; its scenes are 0 "):
        read_image(scan, Part(channel="0", series="other"))


def test_labels_of_a_scan_keep_its_pixel_sizes(scan: Path, tmp_path: Path) -> None:
    assert (stem(scan), labels_suffix(scan)) == ("scan", ".ome.tif")
    file = read_image(scan, Part(channel="0", series="0"))
    target = tmp_path / "scan_labels.ome.tif"
    write_labels(target, np.ones(file.shape, np.uint8), file.space)
    assert read_image(target).space.spacing == pytest.approx((2.0, 0.5, 0.5))


def test_a_broken_scan_is_said(scan: Path) -> None:
    scan.write_bytes(b"something")
    with pytest.raises(ValueError, match=r"scan.czi cannot be read as a file of a microscope"):
        read_image(scan)


def test_a_missing_reader_is_named(tmp_path: Path) -> None:
    pytest.importorskip("bioio")
    path = tmp_path / "a.vsi"
    path.write_bytes(b"something")
    with pytest.raises(ValueError, match=r"a.vsi cannot be read.*pip install bioio-vsi"):
        read_image(path)


def test_without_bioio_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.czi").write_bytes(b"something")
    monkeypatch.setitem(sys.modules, "bioio", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "napari-iclsam\[bioio\]"'):
        read_image(tmp_path / "a.czi")
