"""Time and memory of many images and of a large OME-Zarr: python -m benchmarks.batch.

Each command runs as its user would run it, in a process of its own with an empty cache.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from PIL import Image

from benchmarks.large_stack import tube

SIZE = 256
OPTIONS = ("--models", "starter_sam", "--setting", "cross_validate=false")
MEGABYTE = 1024  # of what the system counts, kilobytes


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took.

    Attributes
    ----------
    seconds : float
        By the clock.
    processor : float
        Seconds of all its processes.
    peak : float
        Megabytes of its largest process.
    """

    seconds: float
    processor: float
    peak: float


def cost_of(*arguments: str, home: str) -> Cost:
    """Run the command line with an empty cache in a folder of its own."""
    command = [sys.executable, "-m", "napari_iclsam.cli", *arguments]
    environment = os.environ | {"NAPARI_ICLSAM_HOME": str(Path(home).absolute())}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed with status {status}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / MEGABYTE)


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


def supports(name: str) -> Iterator[str]:
    """Yield the options that name the two examples of a kind."""
    for seed in range(2):
        yield from ("--support", f"{name}{seed}.png", f"{name}{seed}_mask.png")


def time_batch(count: int) -> None:
    """Print the time of a batch by one process and by two, and whether the results are equal."""
    write_images(count)
    load = os.getloadavg()[0]
    costs = []
    for jobs in ("1", "2"):
        command = ["segment", *supports("example"), "--query", "images", "--output", f"out{jobs}"]
        costs.append(cost_of(*command, "--jobs", jobs, *OPTIONS, home=f"home{jobs}"))
    same = 0
    for result in Path("out1").glob("*_labels.png"):
        same += result.read_bytes() == (Path("out2") / result.name).read_bytes()
    one, two = costs
    print(f"{count} images, load before {load:.1f}; {same} results of 1 and 2 processes equal")
    for number, cost in enumerate(costs, start=1):
        print(
            f"{number} processes: {cost.seconds:.0f} s, {cost.processor:.0f} s of the processor, "
            f"largest {cost.peak:.0f} MB"
        )
    print(f"efficiency by the clock {one.seconds / two.seconds / 2:.2f}, by processor time")
    print(f"{one.processor / two.processor:.2f} (what both processes do, such as fitting)")


def stack_plane(number: int, planes: int, side: int) -> NDArray[np.uint8]:
    """Draw a plane of the stack: the tube, and noise."""
    rng = np.random.default_rng(number)
    values = 100 + 60 * tube(number, planes, side) + rng.normal(0, 12, (side, side))
    return np.clip(values, 0, 255).astype(np.uint8)


def write_stack(planes: int, side: int) -> None:
    """Write an OME-Zarr of one level, one plane a chunk, and two planes with masks."""
    group = zarr.open_group("stack.ome.zarr", mode="w", zarr_format=2)
    shape = (planes, side, side)
    level = group.create_array("0", shape=shape, chunks=(1, side, side), dtype="uint8")
    for number in range(planes):
        level[number] = stack_plane(number, planes, side)
    scale: Any = {"type": "scale", "scale": [2.0, 0.5, 0.5]}
    axes: Any = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    datasets: Any = [{"path": "0", "coordinateTransformations": [scale]}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    for seed, share in enumerate((0.4, 0.6)):
        number = round(planes * share)
        mask = tube(number, planes, side).astype(np.uint8)
        Image.fromarray(stack_plane(number, planes, side)).save(f"plane{seed}.png")
        Image.fromarray(mask).save(f"plane{seed}_mask.png")


def weigh_stack(planes: int, side: int) -> None:
    """Print the memory of a stack beside that of one of its planes."""
    write_stack(planes, side)
    for query, output in (("plane0.png", "one.png"), ("stack.ome.zarr", "found.ome.zarr")):
        command = ["segment", *supports("plane"), "--query", query, "--output", output]
        cost = cost_of(*command, *OPTIONS, home=f"home_of_{query}")
        print(
            f"{query} ({planes} planes of {side} x {side}): peak {cost.peak:.0f} MB, "
            f"{cost.seconds:.0f} s, {cost.processor:.0f} s of the processor",
            flush=True,
        )


def main() -> None:
    """Run both in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60, help="0 for none")
    parser.add_argument("--planes", type=int, default=100, help="of the stack; 0 for none")
    parser.add_argument("--side", type=int, default=2048, help="of its planes, in pixels")
    options = parser.parse_args()
    # Both examples lie in the middle third of the planes, which holds the tube.
    if 0 < options.planes < 10:
        parser.error("a stack has 10 planes or more")
    path = [str(Path(entry).absolute()) for entry in sys.path if entry]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), *path])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if options.images:
            time_batch(options.images)
        if options.planes:
            weigh_stack(options.planes, options.side)
        os.chdir("/")


if __name__ == "__main__":
    main()
