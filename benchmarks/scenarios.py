"""Runs from examples to filled stack, by public names that all builds share.

Run by `benchmarks.against` in a process of its own, with the build to be measured on its path. It
prints times as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import psutil
from numpy.typing import NDArray

from napari_iclsam import ICLSAM, samples

Stack = tuple[NDArray[np.generic], NDArray[np.integer]]
"""Image and labels, (Z, Y, X) each; labels of some planes only."""


def brain() -> Stack:
    """Return the brain sample: 55 planes, three of them labelled, two labels."""
    sample = samples.brain()
    return sample.image, sample.labels


def parts(folder: Path, count: int = 3) -> Stack:
    """Return a volume of `benchmarks.volumes` with labels in planes evenly spread."""
    meta = json.loads((folder / "meta.json").read_text())
    axis = int(meta["axis"])
    image = _planes_of(folder / "image.nii.gz", axis)
    truth = _planes_of(folder / "labels.nii.gz", axis)
    held = np.flatnonzero(truth.any(axis=(1, 2)))
    shares = (np.arange(count) + 0.5) / count
    given = np.unique(np.round(held[0] + (held[-1] - held[0]) * shares).astype(int))
    labels = np.zeros(truth.shape, np.int32)
    labels[given] = truth[given]
    return image, labels


def _planes_of(path: Path, axis: int) -> NDArray[Any]:
    file: Any = nibabel.load(path)
    return np.moveaxis(np.asarray(file.dataobj).T, axis, 0)


def steps_of(segmenter: ICLSAM, stack: Stack) -> Iterator[Any]:
    """Segment all unlabelled planes of a stack, by the build's own way."""
    image, labels = stack
    given = np.flatnonzero(labels.any(axis=(1, 2)))
    rest = [plane for plane in range(len(image)) if plane not in given]
    if hasattr(segmenter, "fit_stack"):
        yield from segmenter.fit_stack(image, labels).steps(rest)
    else:
        # a build without stacks segments each plane as an image
        task = segmenter.fit([image[z] for z in given], [labels[z] for z in given])
        yield from task.stack_steps(image, planes=rest)


def timed(stack: Stack) -> dict[str, float]:
    """Fill a stack and return the times."""
    segmenter = ICLSAM("starter", device="cpu")
    segmenter.networks  # noqa: B018 (loaded before the clock starts)
    wall, processor = time.perf_counter(), time.process_time()
    first = None
    for step in steps_of(segmenter, stack):
        if first is None and step.stage == "done":
            first = time.process_time() - processor
    assert first is not None
    memory = psutil.Process().memory_info()
    return {
        "seconds": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "first answer": first,
        "memory": getattr(memory, "peak_wset", memory.rss) / 1e6,
    }


def main() -> None:
    """Run one scenario with so many threads, and print its times."""
    import torch

    name, threads, data = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(threads)
    scenarios: dict[str, Callable[[], Stack]] = {
        "brain": brain,
        "parts": lambda: parts(data),
    }
    print(json.dumps(timed(scenarios[name]())))


if __name__ == "__main__":
    main()
