"""Sample images with labels that other packages ship: real data, offline. Knows no viewer and no command line."""

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
        labels[list(self.examples)] = self.truth[list(self.examples)]
        return labels


def brain() -> Sample:
    """Return the MNI152 T1 template with labels from its maps of grey and white matter, every second millimetre.

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
    planes = slice(30, 140, 2)  # of 1 mm: those that show the cerebrum
    t1, grey, white = (
        np.asarray(image.dataobj).T[planes, ::-1]  # the front of the head on top
        for image in (
            template,
            load_mni152_gm_template(resolution=1),
            load_mni152_wm_template(resolution=1),
        )
    )
    rest = 1 - grey - white
    truth = np.where(
        (grey >= white) & (grey > rest), 1, np.where((white > grey) & (white > rest), 2, 0)
    )
    to_file = np.array(
        [
            [1, 0, 0, 0],
            [0, -1, 0, template.shape[1] - 1],
            [0, 0, planes.step, planes.start],
            [0, 0, 0, 1.0],
        ]
    )
    return Sample(
        name="brain",
        title="Brain MRI: grey and white matter",
        source="MNI152 T1 template with its tissue maps, from nilearn",
        image=np.ascontiguousarray(np.round(255 * t1 / t1.max()).astype(np.uint8)),
        truth=np.ascontiguousarray(truth.astype(np.uint8)),
        examples=(10, 26, 42),
        names={1: "grey matter", 2: "white matter"},
        spacing=(2.0, 1.0, 1.0),
        unit="mm",
        affine=np.asarray(template.affine) @ to_file,
    )


def cells() -> Sample:
    """Return a stained section of human colon, cut into nine tiles, with the stained cells as label.

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
    stain = ndimage.gaussian_filter(rgb2hed(section)[..., 2], sigma=4)
    mask = np.pad(
        stain > threshold_otsu(stain), _REACH, mode="edge"
    )  # closing must not depend on the border
    mask = ndimage.binary_closing(mask, _DISK)[_REACH:-_REACH, _REACH:-_REACH]
    mask &= (
        ndimage.gaussian_filter(section.mean(axis=2), sigma=2) < _WHITE
    )  # the inside of a gland is empty
    mask = ~_without_specks(~_without_specks(mask, 600), 60)
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

_DISK = np.hypot(*np.indices((2 * _REACH + 1, 2 * _REACH + 1)) - _REACH) <= _REACH

_TILES = 3
"""Tiles along each side."""


def _without_specks(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Return a mask without its components of at most so many pixels."""
    components, _ = ndimage.label(mask)
    large = np.bincount(components.ravel()) > size
    large[0] = False
    return np.asarray(large[components])


def _tiles(image: NDArray[Any]) -> NDArray[Any]:
    """Cut a picture into tiles of one size, row by row, and stack them; what is left over at the end is dropped."""
    side = min(image.shape[:2]) // _TILES
    starts = range(0, _TILES * side, side)
    return np.stack(
        [image[top : top + side, left : left + side] for top in starts for left in starts]
    )


def _missing(package: str, sample: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f'The {sample} sample comes with {package}, which is not installed: pip install "napari-iclsam[samples]"',
        name=package,
    )
