"""Images for the pages of this folder, drawn by program: ``python docs/jobs/job_data.py FOLDER``.

Each function writes into the working folder what a page starts from, and returns the truth.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Labels = NDArray[np.uint8]


def nuclei(side: int = 512, corner: int = 192) -> Labels:
    """Write a mosaic of bright nuclei, and the labels of its upper left corner."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((side, side))
    truth = np.zeros((side, side), np.uint8)
    pitch = 28
    for row in range(pitch // 2, side, pitch):
        for column in range(pitch // 2, side, pitch):
            y, x = rng.normal((row, column), 4)
            height, width = rng.uniform(6, 10, 2)
            truth[((rows - y) / height) ** 2 + ((columns - x) / width) ** 2 < 1] = 1
    brightness = 70 + 30 * ndimage.gaussian_filter(rng.normal(0, 8, truth.shape), 12)
    image = 30 + ndimage.gaussian_filter(truth * brightness, 1.2) + rng.normal(0, 8, truth.shape)
    tifffile.imwrite("mosaic.tif", _grey(image), resolution=(2, 2), resolutionunit="NONE")
    labels = np.zeros_like(truth)
    labels[:corner, :corner] = truth[:corner, :corner]
    tifffile.imwrite("corner.tif", labels)
    return truth


def organ(planes: int = 32, side: int = 96) -> Labels:
    """Write a CT with an organ of 110 HU in a body of 40 HU, labelled on three axial planes."""
    rng = np.random.default_rng(1)
    z, y, x = np.indices((planes, side, side)).astype(float)
    z = z / planes - 0.5
    y = y / side - 0.5
    x = x / side - 0.5
    scan = np.full(z.shape, -1000.0)
    scan[(y / 0.40) ** 2 + (x / 0.46) ** 2 < 1] = 40
    scan[np.hypot(y - 0.28, x) < 0.06] = 700
    widening = 0.5 + np.cos(2.2 * z)
    truth = ((y + 0.05) / 0.13) ** 2 + ((x + 0.15 + 0.1 * z) / 0.17) ** 2 < widening * (
        abs(z) < 0.4
    )
    scan[truth] = 110
    scan += rng.normal(0, 18, scan.shape)
    affine = np.diag([0.8, 0.8, 3.0, 1])
    nibabel.save(nibabel.Nifti1Image(scan.T.astype(np.int16), affine), "ct.nii.gz")
    labels = np.zeros(truth.shape, np.uint8)
    for plane in (planes // 5, planes // 2, 4 * planes // 5):
        labels[plane] = truth[plane]
    nibabel.save(nibabel.Nifti1Image(labels.T, affine), "organ_labels.nii.gz")
    return truth.astype(np.uint8)


def cells_in_time(frames: int = 16, side: int = 96) -> Labels:
    """Write a movie of cells that drift and divide, labelled in the first and a middle frame."""
    rng = np.random.default_rng(2)
    rows, columns = np.indices((side, side))
    truth = np.zeros((frames, side, side), np.uint8)
    starts = rng.uniform(0.2, 0.8, (5, 2)) * side
    drifts = rng.normal(0, 0.8, (5, 2))
    for frame in range(frames):
        for start, drift in zip(starts, drifts, strict=True):
            y, x = start + frame * drift
            truth[frame][np.hypot(rows - y, columns - x) < 7 + frame / 8] = 1
    movie = 40 + 70 * ndimage.gaussian_filter(truth.astype(float), (0, 1, 1))
    movie += rng.normal(0, 9, movie.shape)
    meta = {"axes": "TYX"}
    tifffile.imwrite("movie.tif", _grey(movie), imagej=True, metadata=meta)
    labels = np.zeros_like(truth)
    labels[[0, frames // 2]] = truth[[0, frames // 2]]
    tifffile.imwrite("movie_labels.tif", labels, imagej=True, metadata=meta)
    return truth


def eyes(count: int = 8, side: int = 128) -> Labels:
    """Write color pictures with a bright disc, three with labels in a folder of their own."""
    rng = np.random.default_rng(3)
    rows, columns = np.indices((side, side))
    truths = []
    for folder in ("eyes", "labelled"):
        Path(folder).mkdir()
    for number in range(count):
        y, x = rng.uniform(0.3, 0.7, 2) * side
        disc = np.hypot(rows - y, columns - x) < side * rng.uniform(0.08, 0.12)
        red = 110 + 20 * rng.normal() + 90 * ndimage.gaussian_filter(disc.astype(float), 1.5)
        red -= 60 * (abs(rows - y - 12 * np.sin(columns / 15)) < 2)
        red[np.hypot(rows - side / 2, columns - side / 2) > 0.48 * side] = 0
        picture = np.stack([red, 0.55 * red, 0.25 * red], axis=-1)
        picture += rng.normal(0, 5, picture.shape)
        folder = "labelled" if number < 3 else "eyes"
        Image.fromarray(_grey(picture)).save(f"{folder}/eye{number}.png")
        if number < 3:
            Image.fromarray(disc.astype(np.uint8)).save(f"{folder}/eye{number}_mask.png")
        truths.append(disc.astype(np.uint8))
    return np.stack(truths)


def _grey(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(values, 0, 255).astype(np.uint8)


JOBS: dict[str, Callable[[], Labels]] = {
    "nuclei": nuclei,
    "organ": organ,
    "time": cells_in_time,
    "folder": eyes,
}
"""By the name of the page."""


def main() -> None:
    """Write the data of all pages into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    for make in JOBS.values():
        make()


if __name__ == "__main__":
    main()
