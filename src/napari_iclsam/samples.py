"""Sample images with labels that other packages ship: real data, offline.

Knows no viewer and no command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A stack of planes of which some are labelled.

    Attributes
    ----------
    name, title, source : str
        Short name; what it shows; where it is from.
    image : ndarray, (Z, H, W) or (Z, H, W, 3), uint8
    truth : ndarray, (Z, H, W), uint8
        Labels of all planes.
    examples : tuple of int
        Planes whose labels are given to the method.
    names : mapping of int to str
        What each label is.
    spacing : tuple of float
        Distance of planes, rows and columns.
    unit : str
        Of the spacing.
    affine : ndarray, (4, 4), optional
        From columns, rows, planes to millimetres, right, anterior, superior.
    """

    name: str
    title: str
    source: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    examples: tuple[int, ...]
    names: Mapping[int, str]
    spacing: tuple[float, ...]
    unit: str
    affine: NDArray[np.float64] | None = None

    @property
    def labels(self) -> NDArray[np.uint8]:
        """The truth in the planes of the examples, 0 in the others."""
        labels = np.zeros_like(self.truth)
        # numpy takes a tuple for one index of several axes, a list for several planes.
        planes = list(self.examples)
        labels[planes] = self.truth[planes]
        return labels


def brain() -> Sample:
    """Return the MNI152 T1 template, every second millimetre, with grey and white matter.

    A pixel is grey or white matter where that is more probable than the other and than the rest
    (Fonov et al. 2011, doi:10.1016/j.neuroimage.2010.07.033; as distributed with nilearn).

    Raises
    ------
    ModuleNotFoundError
        If nilearn is not installed.
    """
    try:
        from nilearn.datasets import (
            load_mni152_gm_template,
            load_mni152_template,
            load_mni152_wm_template,
        )
    except ModuleNotFoundError as error:
        raise _missing("nilearn", "brain") from error
    template = load_mni152_template(resolution=1)
    t1 = _cerebrum(template)
    grey = _cerebrum(load_mni152_gm_template(resolution=1))
    white = _cerebrum(load_mni152_wm_template(resolution=1))
    eight_bits = np.round(255 * t1 / t1.max()).astype(np.uint8)
    return Sample(
        name="brain",
        title="Brain MRI: grey and white matter",
        source="MNI152 T1 template with its tissue maps, from nilearn",
        image=np.ascontiguousarray(eight_bits),
        truth=np.ascontiguousarray(_more_probable(grey, white)),
        examples=(10, 26, 42),
        names={1: "grey matter", 2: "white matter"},
        spacing=(2.0, 1.0, 1.0),
        unit="mm",
        affine=np.asarray(template.affine) @ _to_file(template.shape[1]),
    )


_CEREBRUM = slice(30, 140, 2)
"""Planes of the template, of 1 mm, that show the cerebrum; every second one."""


def _cerebrum(image: Any) -> NDArray[Any]:
    """Return planes (Z, H, W) of a NIfTI image, the front of the head on top."""
    planes = np.asarray(image.dataobj).T[_CEREBRUM]
    # The file's second axis leads to the front, the rows of a picture lead down.
    return planes[:, ::-1]


def _more_probable(grey: NDArray[Any], white: NDArray[Any]) -> NDArray[np.uint8]:
    """Return labels of what is most probable: 1 grey matter, 2 white matter, 0 the rest."""
    rest = 1 - grey - white
    is_grey = (grey >= white) & (grey > rest)
    is_white = (white > grey) & (white > rest)
    truth = np.zeros(grey.shape, np.uint8)
    truth[is_grey] = 1
    truth[is_white] = 2
    return truth


def _to_file(rows: int) -> NDArray[np.float64]:
    """Return the 4 x 4 matrix from voxels of `_cerebrum`, (x, y, z), to those of the file."""
    return np.array(
        [
            [1, 0, 0, 0],
            [0, -1, 0, rows - 1],
            [0, 0, _CEREBRUM.step, _CEREBRUM.start],
            [0, 0, 0, 1.0],
        ]
    )


def cells() -> Sample:
    """Return a stained section of human colon in nine tiles, with the stained cells as label.

    The labels are computed: the brown stain's share of the color (Ruifrok and Johnston 2001),
    smoothed, above Otsu's threshold, with pale nuclei closed and what is white left out.

    Raises
    ------
    ModuleNotFoundError
        If scikit-image is not installed.
    """
    try:
        from skimage.color import rgb2hed
        from skimage.data import immunohistochemistry
        from skimage.filters import threshold_otsu
    except ModuleNotFoundError as error:
        raise _missing("scikit-image", "cells") from error
    section = immunohistochemistry()
    brown = rgb2hed(section)[..., 2]
    stain = ndimage.gaussian_filter(brown, sigma=4)
    mask = _closed(stain > threshold_otsu(stain))
    # Closing fills the inside of a gland, too, which is empty.
    brightness = ndimage.gaussian_filter(section.mean(axis=2), sigma=2)
    mask &= brightness < _WHITE
    # First specks of stain, then the holes that are specks of background.
    background = ~_without_specks(mask, _SMALLEST_GLAND)
    mask = ~_without_specks(background, _LARGEST_HOLE)
    return Sample(
        name="cells",
        title="Stained tissue: cells of glands",
        source="immunohistochemistry of human colon, from scikit-image",
        image=_tiles(section),
        truth=_tiles(mask.astype(np.uint8)),
        examples=(1, 3, 7),
        names={1: "gland"},
        spacing=(1.0, 1.0, 1.0),
        unit="pixel",
    )


_REACH = 9
"""Gaps up to twice as many pixels wide are closed: pale nuclei at the border of a gland."""

_WHITE = 195
"""Brightness, of 255, from which nothing is stained."""

_SMALLEST_GLAND = 600
"""Pixels up to which what is stained is no gland."""

_LARGEST_HOLE = 60
"""Pixels up to which a gap within a gland is filled."""

_DISK = np.hypot(*np.indices((2 * _REACH + 1, 2 * _REACH + 1)) - _REACH) <= _REACH

_TILES = 3
"""Tiles along each side."""


def _closed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # Beyond the border lies nothing for closing: what touches it would be eaten away.
    padded = np.pad(mask, _REACH, mode="edge")
    closed = ndimage.binary_closing(padded, _DISK)
    return np.asarray(closed[_REACH:-_REACH, _REACH:-_REACH])


def _without_specks(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Return a mask without its components of at most so many pixels."""
    components, _ = ndimage.label(mask)
    large = np.bincount(components.ravel()) > size
    # Component 0 is the background, which is always large.
    large[0] = False
    return np.asarray(large[components])


def _tiles(image: NDArray[Any]) -> NDArray[Any]:
    """Cut a picture into tiles of one size, row by row, and stack them.

    What is left over at the end is dropped.
    """
    side = min(image.shape[:2]) // _TILES
    starts = range(0, _TILES * side, side)
    tiles = []
    for top in starts:
        for left in starts:
            tiles.append(image[top : top + side, left : left + side])
    return np.stack(tiles)


def _missing(package: str, sample: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"The {sample} sample comes with {package}, which is not installed: "
        'pip install "napari-iclsam[samples]"',
        name=package,
    )
