"""Time a batch of images by one process and by two: python benchmarks/batch.py [COUNT]."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 256
OPTIONS = ("--models", "starter_sam", "--setting", "cross_validate=false")


def picture(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw bright discs on a noisy ground, and their mask, (SIZE, SIZE) each."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((SIZE, SIZE))
    mask = np.zeros((SIZE, SIZE), bool)
    for row, column in rng.uniform(30, SIZE - 30, (6, 2)):
        mask |= np.hypot(rows - row, columns - column) < rng.uniform(10, 25)
    noise = rng.normal(0, 20, mask.shape)
    values = np.clip(60 + 80 * mask + noise, 0, 255)
    return values.astype(np.uint8), mask.astype(np.uint8)


def write_images(count: int) -> None:
    """Write two examples and a folder of images into the working folder."""
    Path("images").mkdir()
    for seed in range(count + 2):
        image, mask = picture(seed)
        if seed < 2:
            Image.fromarray(image).save(f"example{seed}.png")
            Image.fromarray(mask).save(f"example{seed}_mask.png")
        else:
            Image.fromarray(image).save(f"images/{seed:03}.png")


def seconds_of(jobs: int) -> float:
    """Run the command with an empty cache, and return the seconds that it took."""
    command = [sys.executable, "-m", "napari_iclsam.cli", "segment"]
    for seed in range(2):
        command += ["--support", f"example{seed}.png", f"example{seed}_mask.png"]
    command += ["--query", "images", "--output", f"out{jobs}", "--jobs", str(jobs), *OPTIONS]
    home = os.environ | {"NAPARI_ICLSAM_HOME": str(Path(f"home{jobs}").absolute())}
    began = time.perf_counter()
    subprocess.run(command, check=True, env=home, stdout=subprocess.DEVNULL)  # noqa: S603
    return time.perf_counter() - began


def main(count: int) -> None:
    """Print the time of a batch by one process and by two, and whether the results are equal."""
    path = [str(Path(entry).absolute()) for entry in sys.path if entry]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_images(count)
        load = os.getloadavg()[0]
        one = seconds_of(1)
        two = seconds_of(2)
        same = 0
        for result in Path("out1").glob("*_labels.png"):
            same += result.read_bytes() == (Path("out2") / result.name).read_bytes()
        os.chdir("/")
    print(f"{count} images: {one:.0f} s by 1 process, {two:.0f} s by 2, {one / two:.2f} times as")
    print(f"fast, efficiency {one / two / 2:.2f}; {same} results equal; load before {load:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
