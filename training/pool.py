"""Synthetic tasks on disk, each drawn once: ``python -m training.pool FOLDER FIRST LAST``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.synthetic import draw_task


@dataclass(frozen=True, slots=True)
class Pool:
    """Tasks numbered from 0; task i depends on the seed and i alone, whoever draws it and when.

    A task is one array (N, H, W, 4) uint8: red, green, blue, label.
    """

    folder: Path
    seed: int
    size: int
    count: int

    def task(self, index: int) -> NDArray[np.uint8]:
        """Return a task, memory-mapped, drawing it first if it is not there."""
        path = self.folder / f"{index:06d}.npy"
        if not path.exists():
            self._draw(index, path)
        loaded: NDArray[np.uint8] = np.load(path, mmap_mode="r")
        return loaded

    def _draw(self, index: int, path: Path) -> None:
        scenes = draw_task(np.random.default_rng([self.seed, index]), self.size, self.count)
        pixels = np.rint(scenes.images * 255).astype(np.uint8)
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.tmp")
        with partial.open("wb") as stream:
            np.save(stream, np.concatenate([pixels, scenes.labels[..., None]], axis=3))
        partial.replace(path)


def main(folder: str, first: str, last: str) -> None:
    """Draw tasks ahead, with the defaults of `training.config`."""
    torch.set_num_threads(1)
    pool = Pool(Path(folder), 1, 128, 20)
    for index in range(int(first), int(last)):
        pool.task(index)


if __name__ == "__main__":
    main(*sys.argv[1:])
