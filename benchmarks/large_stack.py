"""Peak memory and time of a large stack in zarr, of which three planes are labelled.

A bent tube runs through the middle third of the planes; no plane is ever in memory beside its
neighbours unless the software keeps it.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr
from numpy.typing import NDArray
from scipy import ndimage

from napari_iclsam import ICLSAM, dice

MEGABYTE = 1e6


class PeakMemory:
    """Resident memory of this process, looked at ten times a second."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self._process.memory_info().rss
        self.peak = self.before

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def added(self) -> float:
        """Megabytes above the start."""
        return float(self.peak - self.before) / MEGABYTE

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self.peak = max(self.peak, self._process.memory_info().rss)


def tube(plane: int, planes: int, side: int) -> NDArray[np.bool_]:
    """Return where the tube is in a plane, (side, side)."""
    first, last = planes // 3, 2 * planes // 3
    if not first <= plane < last:
        return np.zeros((side, side), bool)
    share = (plane - first) / (last - first)
    center = side * (0.5 + 0.15 * np.sin(2 * np.pi * share))
    radius = side * 0.08
    rows, columns = np.ogrid[:side, :side]
    return np.asarray(np.hypot(rows - side / 2, columns - center) < radius)


def write_stack(folder: Path, planes: int, side: int) -> Any:
    """Write the image, one plane a chunk, and return the array."""
    image = zarr.create_array(
        folder / "stack.zarr", shape=(planes, side, side), chunks=(1, side, side), dtype="uint8"
    )
    random = np.random.default_rng(0)
    for plane in range(planes):
        noise = ndimage.zoom(random.normal(0, 12, (side // 4, side // 4)), 4, order=1)
        image[plane] = np.clip(100 + 60 * tube(plane, planes, side) + noise, 0, 255).astype("u1")
    return image


def main() -> None:
    """Segment the stack and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", type=int, default=400)
    parser.add_argument("--side", type=int, default=1024)
    options = parser.parse_args()
    planes, side = options.planes, options.side
    with tempfile.TemporaryDirectory() as folder:
        image = write_stack(Path(folder), planes, side)
        given = [round(planes * share) for share in (0.39, 0.5, 0.61)]
        labels = np.zeros((planes, side, side), np.uint8)
        for plane in given:
            labels[plane] = tube(plane, planes, side)
        segmenter = ICLSAM("starter", device="cpu")
        segmenter.networks  # noqa: B018 (loaded before memory is measured)
        scores, segmented = [], 0
        start, processor = time.perf_counter(), time.process_time()
        with PeakMemory() as memory:
            for step in segmenter.fit_stack(image, labels).steps():
                segmented += step.stage == "icl"
                if step.stage == "settled":
                    assert step.plane is not None
                    assert step.prediction is not None
                    found = step.prediction.labels == 1
                    scores.append(dice(found, tube(step.plane, planes, side)))
        print(
            f"{planes} planes of {side} x {side}, {segmented} segmented: "
            f"{time.perf_counter() - start:.0f} s, {time.process_time() - processor:.0f} s of the "
            f"processor; memory {memory.added:.0f} MB above models and labels; "
            f"mean Dice of planes {np.mean(scores):.3f}"
        )


if __name__ == "__main__":
    main()
