"""Time and memory of finding and measuring very many objects, in memory and part by part.

Disks that touch their neighbors, one every so many pixels, are written into zarr. Memory is that
above what this process has before; labels and image count in memory, and do not on disk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from benchmarks.large_stack import MEGABYTE, PeakMemory
from napari_iclsam.core.banded_measure import StoredObjects, measure_stored
from napari_iclsam.core.banded_objects import find_instances_into
from napari_iclsam.core.objects.instances import find_instances
from napari_iclsam.core.objects.measure import ObjectTable, Pixels, measure

_PITCH = 16
"""Pixels from the center of a disk to the next."""

_RADIUS = 8.2
"""Of a disk: neighbors touch."""

_BAND = 1024


def draw(folder: Path, count: int) -> tuple[Any, Any]:
    """Write labels and an image with so many disks, at least."""
    side = int(np.ceil(np.sqrt(count))) * _PITCH
    labels = zarr.create_array(
        folder / "labels", shape=(side, side), dtype="u1", chunks=(_BAND,) * 2
    )
    image = zarr.create_array(folder / "image", shape=(side, side), dtype="u1", chunks=(_BAND,) * 2)
    rng = np.random.default_rng(0)
    columns = np.arange(side) % _PITCH - _PITCH // 2
    for top in range(0, side, _BAND):
        rows = np.arange(top, min(top + _BAND, side)) % _PITCH - _PITCH // 2
        disks = np.hypot(rows[:, None], columns[None]) < _RADIUS
        labels[top : top + _BAND] = disks
        image[top : top + _BAND] = 100 * disks + rng.integers(0, 50, disks.shape)
    return labels, image


def in_memory(labels: Any, image: Any) -> ObjectTable:
    """Find and measure objects of arrays that are read as a whole."""
    found = find_instances(np.asarray(labels[:]))
    return measure(found.ids, Pixels(np.asarray(image[:]), labels=found.labels))


def part_by_part(labels: Any, image: Any) -> ObjectTable:
    """Find and measure objects band by band; ids are written to disk."""
    with tempfile.TemporaryDirectory() as place:
        ids = zarr.create_array(place, shape=labels.shape, dtype="i4", chunks=(_BAND,) * 2)
        owners = find_instances_into(labels, ids)
        return measure_stored(StoredObjects(ids, owners, image))


def report(what: str, run: Callable[[Any, Any], ObjectTable], labels: Any, image: Any) -> None:
    """Run one way, and print what it took."""
    with PeakMemory() as memory:
        began, of_processor = time.perf_counter(), time.process_time()
        table = run(labels, image)
        seconds, processor = time.perf_counter() - began, time.process_time() - of_processor
    place = Path(tempfile.gettempdir()) / "many_objects.csv"
    began = time.process_time()
    table.write_csv(place)
    written = time.process_time() - began
    size = place.stat().st_size / MEGABYTE
    place.unlink()
    sys.stdout.write(
        f"{what}: {len(table)} objects in {labels.shape[0]} x {labels.shape[1]} pixels, "
        f"{seconds:.1f} s, {processor:.1f} s of the processor, "
        f"{memory.added:.0f} MB more; CSV of {size:.0f} MB in {written:.1f} s\n"
    )


def main() -> None:
    """Draw, then run both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        labels, image = draw(Path(folder), arguments.count)
        report("part by part", part_by_part, labels, image)
        report("in memory", in_memory, labels, image)


if __name__ == "__main__":
    main()
