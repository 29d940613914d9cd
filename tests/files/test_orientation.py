"""NIfTI labels and images stored differently but in one place: turned, or refused."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.files import Nifti, read_image, read_labels, read_pair
from napari_iclsam.files.orientation import Turn, in_words, same_grid_turn, turn_towards, world_axis

SHAPE = (5, 6, 7)
VOLUME = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
TURNS = [
    Turn((a, b, c), (x, y, z))
    for (a, b, c), (x, y, z) in product(permutations(range(3)), product([False, True], repeat=3))
]


def oblique(degrees: float = 20) -> NDArray[np.float64]:
    """Return an affine that is rotated about the first axis, with three voxel sizes."""
    angle = np.deg2rad(degrees)
    rotation = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([-0.8, 0.9, 3.0])
    affine[:3, 3] = [40, -30, 12.5]
    return affine


def a_nifti(affine: NDArray[np.float64], shape: tuple[int, ...] = SHAPE) -> Nifti:
    image = nibabel.Nifti1Image(np.zeros(shape, np.uint8), affine)
    return Nifti(np.asarray(image.affine), image.header, shape)


def save(path: Path, volume: NDArray[Any], affine: NDArray[np.float64] | None) -> Path:
    nibabel.save(nibabel.Nifti1Image(volume, affine), path)
    return path


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_every_turn_is_undone_and_known_by_its_affine(turn: Turn) -> None:
    turned = turn.apply(VOLUME)
    affine = turn.affine(oblique(), SHAPE)
    assert (turn.undo(turned) == VOLUME).all()
    back = turn_towards(affine, oblique())
    assert (back.apply(turned) == VOLUME).all()
    assert same_grid_turn(a_nifti(affine, turned.shape), a_nifti(oblique())) == back


@pytest.mark.parametrize("turn", TURNS[::5], ids=str)
def test_labels_stored_in_another_orientation_are_turned_to_their_image(
    tmp_path: Path, turn: Turn
) -> None:
    image = save(tmp_path / "a.nii", VOLUME, oblique())
    labels = save(tmp_path / "l.nii", turn.apply(VOLUME % 3), turn.affine(oblique(), SHAPE))
    pair = read_pair(image, labels)
    assert (pair.labels.array == pair.image.array % 3).all()


@pytest.mark.parametrize(
    ("change", "size"),
    [("shift", 0.01), ("shift", 0.06), ("shear", 0.008)],
    ids=["rounding", "rounding of a header", "rounded cosines"],
)
def test_what_rounding_does_to_an_affine_is_no_other_grid(change: str, size: float) -> None:
    affine = oblique()
    if change == "shift":
        affine[:3, 3] += size * 0.8
    else:
        affine[:3, 0] += size * 0.8
    assert same_grid_turn(a_nifti(affine), a_nifti(oblique())) == Turn()


@pytest.mark.parametrize("kind", ["half a voxel", "scaled", "rotated", "cropped", "elsewhere"])
def test_another_grid_is_refused_with_both_affines(tmp_path: Path, kind: str) -> None:
    affine, volume = oblique(), VOLUME % 3
    if kind == "half a voxel":
        affine[:3, 3] += affine[:3, 0] / 2
    elif kind == "scaled":
        affine[:3, :3] *= 1.1
    elif kind == "rotated":
        affine = oblique(25)
    elif kind == "cropped":
        volume = volume[:-1]
    else:
        affine = np.eye(4)
    image = save(tmp_path / "a.nii", VOLUME, oblique())
    labels = save(tmp_path / "l.nii", volume, affine)
    with pytest.raises(
        ValueError, match=r"do not lie on the same grid: .*affine.*affine.*--ignore-affine"
    ) as error:
        read_pair(image, labels)
    for path in (image, labels):
        nifti = read_image(path).space.nifti
        assert nifti is not None
        assert in_words(nifti) in str(error.value)


def test_the_affine_can_be_ignored(tmp_path: Path) -> None:
    image = save(tmp_path / "a.nii", VOLUME, oblique())
    labels = save(tmp_path / "l.nii", VOLUME % 3, np.eye(4))
    pair = read_pair(image, labels, ignore_affine=True)
    assert (pair.labels.array == pair.image.array % 3).all()


def test_labels_that_do_not_say_where_they_lie_are_taken_as_they_are(tmp_path: Path) -> None:
    image = save(tmp_path / "a.nii", VOLUME, oblique())
    labels = save(tmp_path / "l.nii", VOLUME % 3, None)
    assert (read_pair(image, labels).labels.array == VOLUME.T % 3).all()


@pytest.mark.parametrize("shape", [(1, 6, 7), (6, 1, 7), (6, 7, 1), (6, 7)], ids=str)
def test_a_single_slice_is_a_plane_however_it_is_stored(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    values = np.arange(42, dtype=np.int16).reshape(shape)
    file = read_image(save(tmp_path / "a.nii", values, oblique()))
    assert (file.array == values.squeeze().T).all()


def test_a_slice_and_its_labels_stored_differently_agree(tmp_path: Path) -> None:
    values = np.arange(42, dtype=np.int16).reshape(6, 1, 7)
    turn = Turn((1, 2, 0), (False, True, True))
    image = save(tmp_path / "a.nii", values, oblique())
    labels = save(tmp_path / "l.nii", turn.apply(values % 3), turn.affine(oblique(), values.shape))
    pair = read_pair(image, labels)
    assert (pair.labels.array == pair.image.array % 3).all()


def test_directions_are_told_by_the_affine() -> None:
    turn = Turn((2, 0, 1), (True, False, False))
    affine = turn.affine(oblique(), SHAPE)
    axes = {name: world_axis(affine, name) for name in ("axial", "coronal", "sagittal")}
    assert axes == {"axial": 0, "sagittal": 1, "coronal": 2}


def test_scans_that_are_oblique_in_the_same_way_are_not_turned() -> None:
    one, two = oblique(44), oblique(46)  # each alone is closest to other axes of the body
    assert turn_towards(two, one) == Turn()
    assert turn_towards(two, np.eye(4)).sources != turn_towards(one, np.eye(4)).sources


@pytest.mark.parametrize(
    ("values", "slope"), [((0, 65_535), 1.5259e-5), ((0, 254), 1 / 255), ((0, 1), 0.99999999)]
)
def test_labels_that_went_through_a_scale_factor_are_rounded(
    tmp_path: Path, values: tuple[int, int], slope: float
) -> None:
    header = nibabel.Nifti1Header()
    stored = np.full(SHAPE, values[0], np.uint16)
    stored[1:3] = values[1]
    image = nibabel.Nifti1Image(stored, np.eye(4), header)
    image.header.set_slope_inter(slope, 0)
    nibabel.save(image, tmp_path / "l.nii")
    labels = read_labels(tmp_path / "l.nii").array
    assert np.issubdtype(labels.dtype, np.integer)
    assert np.unique(labels).tolist() == [0, 1]
