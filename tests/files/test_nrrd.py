"""NRRD and MetaImage: places, units and segments, as SimpleITK reads them, too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.files import read_image, read_labels, read_pair, write_labels

SHAPE = (4, 5, 6)  # z, y, x
VOLUME = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
LABELS = (VOLUME % 3).astype(np.int32)


def rotated() -> NDArray[np.float64]:
    """Return directions of x, y, z, as rows, with the length of a voxel (0.5, 0.8, 2)."""
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return np.diag([0.5, 0.8, 2.0]) @ turn


def save(path: Path, array: NDArray[Any] = VOLUME.T, **more: Any) -> Path:
    header = {
        "space": "left-posterior-superior",
        "kinds": ["domain"] * 3,
        "space directions": rotated(),
        "space origin": [1.0, 2.0, 3.0],
        **more,
    }
    nrrd.write(str(path), array, header, index_order="F")
    return path


def affine_of(path: Path) -> NDArray[np.float64]:
    nifti = read_image(path).space.nifti
    assert nifti is not None
    return nifti.affine


@pytest.mark.parametrize("kind", ["nrrd", "mha"])
def test_a_rotated_volume_lies_where_simpleitk_says(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path / "a.nrrd")
    image = sitk.ReadImage(str(path))
    if kind == "mha":
        path = tmp_path / "a.mha"
        sitk.WriteImage(image, str(path))
    file = read_image(path)
    assert (file.array == VOLUME).all()
    assert np.allclose([size or 0 for size in file.space.spacing], (2, 0.8, 0.5))
    for index in ([0, 0, 0], [5, 1, 2]):
        left, back, up = image.TransformIndexToPhysicalPoint(index)
        assert np.allclose((affine_of(path) @ [*index, 1])[:3], [-left, -back, up])


@pytest.mark.parametrize("name", ["l.seg.nrrd", "l.mha", "l.nii.gz"])
@pytest.mark.parametrize("plane", [False, True], ids=["volume", "plane"])
def test_what_is_written_lies_on_its_image(tmp_path: Path, name: str, *, plane: bool) -> None:
    volume = VOLUME[:1] if plane else VOLUME
    path = save(tmp_path / "a.nrrd", volume.T)
    labels = LABELS[0] if plane else LABELS
    write_labels(tmp_path / name, labels, read_image(path).space)
    image = sitk.ReadImage(str(path))
    written = sitk.ReadImage(str(tmp_path / name))
    assert (sitk.GetArrayFromImage(written).squeeze() == labels).all()
    assert np.allclose(written.GetDirection(), image.GetDirection())
    assert np.allclose(written.GetOrigin(), image.GetOrigin())
    assert np.allclose(written.GetSpacing(), image.GetSpacing())
    assert (read_pair(path, tmp_path / name).labels.array == labels).all()


def test_names_and_colors_of_segments_come_back(tmp_path: Path) -> None:
    space = read_image(save(tmp_path / "a.nrrd")).space
    styles = {1: LabelStyle("Niere", (1.0, 0.5, 0.0, 1.0))}
    write_labels(tmp_path / "l.seg.nrrd", LABELS, space, styles)
    assert read_labels(tmp_path / "l.seg.nrrd").styles == {**styles, 2: LabelStyle("label 2")}


def test_units_are_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nrrd", **{"space units": ["um"] * 3})
    file = read_image(path)
    assert file.space.unit == "µm"
    assert np.allclose(affine_of(path)[2], [0, 0, 0.002, 0.003])


@pytest.mark.parametrize(("space", "signs"), [("RAS", (1, 1, 1)), ("LAS", (-1, 1, 1))])
def test_other_spaces_are_turned(tmp_path: Path, space: str, signs: tuple[int, ...]) -> None:
    path = save(tmp_path / "a.nrrd", space=space)
    assert np.allclose(affine_of(path)[:3, 3], np.multiply(signs, [1, 2, 3]))


def segment(number: int, name: str, value: int, layer: int) -> dict[str, str]:
    prefix = f"Segment{number}_"
    return {
        f"{prefix}ID": name,
        f"{prefix}Name": name,
        f"{prefix}LabelValue": str(value),
        f"{prefix}Layer": str(layer),
    }


def layered(path: Path, *, overlap: bool) -> Path:
    layers = np.zeros((2, *SHAPE[::-1]), np.uint8)
    layers[0, :2] = 1
    layers[1, 1 if overlap else 3 :] = 1
    more: dict[str, Any] = {**segment(0, "liver", 1, 0), **segment(1, "tumor", 1, 1)}
    more["space directions"] = np.vstack([[[np.nan] * 3], rotated()])
    return save(path, layers, kinds=["list", "domain", "domain", "domain"], **more)


def test_segments_of_one_value_in_two_layers_are_two_labels(tmp_path: Path) -> None:
    file = read_labels(layered(tmp_path / "l.seg.nrrd", overlap=False))
    assert file.array[0, 0].tolist() == [1, 1, 0, 2, 2, 2]
    assert {label: style.name for label, style in file.styles.items()} == {1: "liver", 2: "tumor"}


def test_segments_that_overlap_are_refused_by_name(tmp_path: Path) -> None:
    path = layered(tmp_path / "l.seg.nrrd", overlap=True)
    with pytest.raises(ValueError, match="segments 'liver' and 'tumor' overlap"):
        read_labels(path)


def test_a_segmentation_of_a_part_is_filled_up(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nrrd")
    origin = np.array([1.0, 2.0, 3.0]) + rotated().T @ [2, 1, 1]
    part = np.ascontiguousarray(LABELS[1:3, 1:4, 2:5].T).astype(np.uint8)
    more: dict[str, Any] = {**segment(0, "a", 1, 0), **segment(1, "b", 2, 0)}
    labels = save(tmp_path / "l.seg.nrrd", part, **{"space origin": origin}, **more)
    expected = np.zeros_like(LABELS)
    expected[1:3, 1:4, 2:5] = LABELS[1:3, 1:4, 2:5]
    assert (read_pair(path, labels).labels.array == expected).all()


@pytest.mark.parametrize(("name", "module"), [("a.nrrd", "nrrd"), ("a.mha", "SimpleITK")])
def test_without_the_library_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    (tmp_path / name).write_bytes(b"something")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match='pip install "napari-iclsam'):
        read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_a_broken_file_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(ValueError, match=f"{name} cannot be read as"):
        read_image(tmp_path / name)
