"""Turning volumes by their affines: exact flips and permutations of axes, never resampling.

Here "file order" is that of a NIfTI file, (x, y, z), and an affine leads from voxel indices in that
order to millimeters to the right, to the front and up (RAS+).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.files.space import ImageFile, Nifti

Direction = Literal["axial", "coronal", "sagittal"]

WORLD_AXES: dict[str, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Axis of the world that planes of a direction are stacked along: right, front, up."""

RADIOLOGICAL = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Affine of the orientation in which planes are shown when a direction is named: first axis to the
left, second to the back, third up (LPS)."""

TOLERANCE = 0.1
"""How far the corners of two grids may lie apart, in voxels, for them to be the same grid.

ITK demands a millionth of a voxel. Two programs that write one place do not agree so well: a header
holds 32-bit numbers, a rotation may be stored as a quaternion of three of them, and direction
cosines get rounded to four digits (over 512 voxels that is 0.03 of a voxel). Half a voxel, on the
other hand, is a real difference: one of the programs counts from the corner of a voxel and the
other from its center. A tenth lies well between both.
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """An exact turn of a volume in file order.

    Attributes
    ----------
    sources : tuple of int
        Which axis of the volume becomes the first, second and third.
    flips : tuple of bool
        Which of the new axes run backwards.
    """

    sources: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    @property
    def is_identity(self) -> bool:
        """Whether the turn changes nothing."""
        return self == Turn()

    def apply(self, volume: NDArray[Any]) -> NDArray[Any]:
        """Turn a volume (a, b, c)."""
        turned = volume.transpose(self.sources)
        # The flips are of the new axes, so they come second, and first in `undo`.
        return np.flip(turned, self._flipped_axes())

    def undo(self, volume: NDArray[Any]) -> NDArray[Any]:
        """Turn a volume back."""
        straight = np.flip(volume, self._flipped_axes())
        return straight.transpose(np.argsort(self.sources))

    def affine(self, affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the affine of a turned volume, of the one and the shape that it had."""
        return np.asarray(affine @ self.matrix(shape))

    def matrix(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the 4 x 4 matrix from new voxel indices to old ones."""
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1
        for new, source in enumerate(self.sources):
            flip = self.flips[new]
            matrix[source, new] = -1 if flip else 1
            # Counted backwards, the first voxel is the last.
            matrix[source, 3] = shape[source] - 1 if flip else 0
        return matrix

    def _flipped_axes(self) -> tuple[int, ...]:
        return tuple(axis for axis, flip in enumerate(self.flips) if flip)


def turn_towards(affine: NDArray[np.float64], reference: NDArray[np.float64]) -> Turn:
    """Return the turn that brings the axes of a volume closest to those of a reference volume.

    Parameters
    ----------
    affine, reference : ndarray, (4, 4)
        Compared with each other, not each with the axes of the body: two heart scans that are
        oblique in the same way are not turned at all.
    """
    from nibabel.orientations import io_orientation

    nearest = io_orientation(np.linalg.inv(reference) @ affine)
    sources = np.argsort(nearest[:, 0])
    # nibabel says for each axis of the volume where it leads; a turn, where each comes from.
    first, second, third = (int(axis) for axis in sources)
    flips = nearest[sources, 1] < 0
    return Turn((first, second, third), (bool(flips[0]), bool(flips[1]), bool(flips[2])))


def same_grid_turn(labels: Nifti, image: Nifti) -> Turn | None:
    """Return the turn that brings labels onto the grid of an image; None if it is another grid.

    The corners of both grids must agree within `TOLERANCE`.
    """
    to_image = np.linalg.inv(image.affine) @ labels.affine
    turn = turn_towards(labels.affine, image.affine)
    shape = _three(labels.shape)
    target = _three(image.shape)
    turned_shape = tuple(shape[source] for source in turn.sources)
    if turned_shape != target:
        return None
    difference = to_image @ turn.matrix(shape) - np.eye(4)
    # Both grids are affine, so nowhere do they lie further apart than at a corner.
    apart = _corners(target) @ difference.T
    return turn if np.abs(apart).max() <= TOLERANCE else None


def _corners(shape: tuple[int, int, int]) -> NDArray[np.int_]:
    """Return the corners of a volume, (8, 4), in voxels, with a 1 for the shift of an affine."""
    ends = [(0, size - 1) for size in shape]
    grid = np.meshgrid(*ends, [1], indexing="ij")
    return np.stack(grid, -1).reshape(-1, 4)


def world_axis(affine: NDArray[np.float64], direction: str) -> int:
    """Return the axis of a volume, in file order, that planes of a direction are stacked along."""
    turn = turn_towards(affine, np.eye(4))
    return turn.sources[WORLD_AXES[direction]]


def axis_names(affine: NDArray[np.float64]) -> str:
    """Return where the axes lead, as nibabel writes it: "RAS", "LPS"."""
    from nibabel.orientations import aff2axcodes

    return "".join(code or "?" for code in aff2axcodes(affine))


def can_turn(file: ImageFile) -> bool:
    """Tell whether a file says where it lies and is one volume or one plane of one."""
    nifti = file.space.nifti
    if nifti is None or not nifti.is_placed:
        return False
    # An affine places three axes; of time or channels it says nothing.
    return not any(size > 1 for size in nifti.shape[3:])


def in_file_order(array: NDArray[Any], nifti: Nifti) -> NDArray[Any]:
    """Return what was read as (z, y, x), perhaps without axes of size one, as (x, y, z)."""
    return array.T.reshape(_three(nifti.shape))


def as_read(volume: NDArray[Any]) -> NDArray[Any]:
    """Return a volume (x, y, z) as (z, y, x), without axes of size one as long as two are left."""
    array = volume.T
    # From the last, so that the numbers of those before stay as they are.
    for axis in reversed(range(array.ndim)):
        if array.shape[axis] == 1 and array.ndim > 2:
            array = np.squeeze(array, axis)
    return array


def on_grid_of(labels: ImageFile, image: ImageFile) -> NDArray[Any]:
    """Return labels turned onto the grid of their image, exactly.

    Raises
    ------
    ValueError
        If both say where they lie and it is not the same grid; the message names both affines.
    """
    ours = labels.space.nifti
    theirs = image.space.nifti
    if ours is None or theirs is None:
        return labels.array
    # A file that does not say where it lies is believed to fit pixel by pixel.
    if not (ours.is_placed and theirs.is_placed):
        return labels.array
    # The usual case, which needs no arithmetic.
    if ours.shape == theirs.shape and np.array_equal(ours.affine, theirs.affine):
        return labels.array
    turn = same_grid_turn(ours, theirs)
    if turn is None and labels.storage.partial:
        whole = _filled_up(in_file_order(labels.array, ours), ours, theirs)
        if whole is not None:
            return as_read(whole)
    if turn is None:
        raise ValueError(
            f"{image.path} and {labels.path} do not lie on the same grid: {in_words(theirs)} and "
            f"{in_words(ours)}. "
            "Resample the labels onto the image, or give --ignore-affine if they fit pixel by "
            "pixel."
        )
    if turn.is_identity:
        return labels.array
    return as_read(turn.apply(in_file_order(labels.array, ours)))


def _filled_up(volume: NDArray[Any], labels: Nifti, image: Nifti) -> NDArray[Any] | None:
    """Return labels of a part of an image as labels of the whole; None if the grids differ."""
    turn = turn_towards(labels.affine, image.affine)
    turned = turn.apply(volume)
    to_image = np.linalg.inv(image.affine) @ turn.affine(labels.affine, volume.shape)
    start = np.round(to_image[:3, 3]).astype(int)
    expected = np.eye(4)
    expected[:3, 3] = start
    apart = _corners(_three(turned.shape)) @ (to_image - expected).T
    stop = start + turned.shape
    size = _three(image.shape)
    # Labels beyond the image would be lost.
    if np.abs(apart).max() > TOLERANCE or (start < 0).any() or (stop > size).any():
        return None
    whole = np.zeros(size, volume.dtype)
    whole[tuple(map(slice, start, stop))] = turned
    return whole


def in_words(nifti: Nifti) -> str:
    """Write shape, orientation and affine in one line."""
    rows = [_numbers(row) for row in nifti.affine[:3]]
    size = " x ".join(map(str, nifti.shape))
    return f"{size} {axis_names(nifti.affine)} with affine [{'; '.join(rows)}]"


def _numbers(values: NDArray[Any]) -> str:
    return " ".join(f"{value:.5g}" for value in values)


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    first, second, third = (*shape, 1, 1)[:3]
    return first, second, third
