"""Pictures of synthetic tasks: ``python -m training.contact_sheet OUT.png [FAMILY ...]``."""

from __future__ import annotations

import sys

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from training.scene import Scenes
from training.synthetic import FAMILIES, draw_task

TINTS = np.array(
    [
        [0, 0, 0],
        [230, 25, 75],
        [60, 180, 75],
        [255, 225, 25],
        [0, 130, 200],
        [245, 130, 48],
        [145, 30, 180],
        [70, 240, 240],
    ]
)


def row(scenes: Scenes) -> NDArray[np.uint8]:
    """Return images and colored labels of a task, side by side, (H, 2 N W, 3)."""
    tinted = TINTS[np.where(scenes.labels == 0, 0, (scenes.labels - 1) % 7 + 1)]
    pictures = np.concatenate(
        [(scenes.images * 255).astype(np.uint8), tinted.astype(np.uint8)], axis=2
    )
    return np.concatenate(list(pictures), axis=1)


def main(path: str, families: list[str]) -> None:
    """Write a sheet with three tasks of each family, three subjects each."""
    rng = np.random.default_rng(0)
    rows = [
        np.concatenate([row(draw_task(rng, 128, 3, family)) for _ in range(2)], axis=1)
        for family in families
        for _ in range(2)
    ]
    iio.imwrite(path, np.concatenate(rows, axis=0))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or list(FAMILIES))
