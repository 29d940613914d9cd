"""Small volumes whose evidence is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam.core.volume.label_context import PlaneEvidence
from napari_iclsam.core.volume.labelled_planes import LabelledPlanes


@dataclass(frozen=True, slots=True, eq=False)
class DrawnVolume:
    """A bright object in a darker background, and log-odds as a 2-D method gives them.

    Attributes
    ----------
    truth : ndarray, (Z, H, W), bool
    grey : ndarray, (Z, H, W), uint8
    log_odds : ndarray, (Z, H, W), float32
    estimates : ndarray, (Z,), float
    """

    truth: NDArray[np.bool_]
    grey: NDArray[np.uint8]
    log_odds: NDArray[np.float32]
    estimates: NDArray[np.float64]

    def read(self, plane: int) -> PlaneEvidence:
        return PlaneEvidence(self.log_odds[plane], self.grey[plane], float(self.estimates[plane]))

    def read_grey(self, plane: int) -> NDArray[np.uint8]:
        return self.grey[plane]

    def labelled(self, *planes: int) -> LabelledPlanes:
        return LabelledPlanes(planes, self.truth[list(planes)])


def draw_volume(truth: NDArray[np.bool_], seed: int = 0) -> DrawnVolume:
    random = np.random.default_rng(seed)
    clean = np.where(truth, 170.0, 100.0)
    noisy = ndimage.gaussian_filter(clean, (0, 0.7, 0.7)) + random.normal(0, 6, truth.shape)
    doubt = ndimage.gaussian_filter(random.normal(0, 1, truth.shape), (0, 2, 2))
    log_odds = np.where(truth, 2.0, -2.0) + 2 * doubt / doubt.std()
    present = truth.any(axis=(1, 2))
    estimates = np.where(present, 0.85, 0.4)
    return DrawnVolume(
        truth, np.clip(noisy, 0, 255).astype(np.uint8), log_odds.astype(np.float32), estimates
    )


def draw_tube(
    centres: list[tuple[float, float] | None], radius: float, side: int = 32
) -> NDArray[np.bool_]:
    """Draw a disk a plane; None is a plane without it."""
    rows, columns = np.indices((side, side))
    truth = np.zeros((len(centres), side, side), bool)
    for plane, centre in enumerate(centres):
        if centre is not None:
            truth[plane] = np.hypot(rows - centre[0], columns - centre[1]) <= radius
    return truth


@pytest.fixture
def straight_tube() -> DrawnVolume:
    """A tube in planes 5 to 14 of 20."""
    centres = [(16.0, 16.0) if 5 <= plane <= 14 else None for plane in range(20)]
    return draw_volume(draw_tube(centres, 6))


@pytest.fixture
def bent_tube() -> DrawnVolume:
    """A tube through all 13 planes that moves sideways by more than its width."""
    centres: list[tuple[float, float] | None] = [(16.0, 6.0 + 1.6 * plane) for plane in range(13)]
    return draw_volume(draw_tube(centres, 4))
