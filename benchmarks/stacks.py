"""The whole method: stacks with SAM ViT-B (random weights) and the bundled in-context model.

Masks by precision.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.image_sets import draw, read_set
from benchmarks.measured import Row, Timed, encoders
from napari_iclsam import ICLSAM, Settings, dice
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.encoder.device import choose_precision
from napari_iclsam.core.encoder.runner import Promptable
from napari_iclsam.core.in_context.runner import InContextNetwork
from napari_iclsam.core.model_choice import Precision
from napari_iclsam.core.networks import LoadedSam, ModelFacts, Networks
from napari_iclsam.models.build import build_icl
from napari_iclsam.models.sam import Sam

PRECISIONS: tuple[Precision, ...] = ("float32", "auto")

STACKS = (
    (4, 3, 512, 2),
    (4, 3, 512, 4),
    (1, 3, 512, 1),
    (16, 3, 512, 1),
    (4, 3, 256, 1),
    (4, 3, 1024, 1),
    (4, 6, 512, 1),
)
"""Support, planes, size and labels of the stacks, one of them changed at a time."""


def networks(precision: Precision = "auto") -> Networks:
    """Make SAM with a random ViT-B, and the bundled in-context model."""
    torch.manual_seed(0)
    device = torch.device("cpu")
    dtype = choose_precision(precision, device, large=True)
    name = str(dtype).removeprefix("torch.")
    sam = Sam(encoders()[name]).eval().requires_grad_(False)
    icl_dtype = choose_precision("auto", device, large=True)  # as `ICLSAM` does
    icl = cast(InContextNetwork, build_icl("starter").module)
    loaded = LoadedSam(sam, name, ModelFacts(checksum=name))
    return Networks((loaded,), icl, device, icl_dtype)


def scene(
    count: int, size: int, labels: int, seed: int = 0
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.int32]]]:
    """Draw images of discs, a label a grey value."""
    random, images, masks = np.random.default_rng(seed), [], []
    y, x = np.mgrid[:size, :size] / size
    for _ in range(count):
        image, mask = random.normal(60, 10, (size, size)), np.zeros((size, size), np.int32)
        for label in range(1, labels + 1):
            for _disc in range(3):
                at = random.uniform(0.1, 0.9, 2)
                disc = np.hypot(y - at[0], x - at[1]) < random.uniform(0.05, 0.1)
                mask[disc] = label
                image[disc] += 30 * label
        images.append(np.clip(image, 0, 255).astype(np.uint8))
        masks.append(mask)
    return images, masks


def timed_stack(segmenter: ICLSAM, support: int, planes: int, size: int, labels: int) -> Row:
    """Segment a stack whose support is embedded already.

    A row a plane, with where the time went.
    """
    images, masks = scene(support, size, labels)
    volume = np.stack(scene(planes, size, labels, seed=1)[0])
    task = segmenter.fit(images, masks)
    wall, cpu, seconds = time.perf_counter(), time.process_time(), dict[str, float]()
    for step in task.stack_steps(volume):
        if step.prediction is not None:
            for stage, spent in step.prediction.seconds.items():
                seconds[stage] = seconds.get(stage, 0) + spent / planes
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    note = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in seconds.items())
    return Row(
        "stack, a plane",
        f"{planes} of {size} x {size}, {labels} labels, K = {support}",
        wall,
        cpu,
        note=note,
    )


def method_section() -> list[Row]:
    """Run stacks: first and again with another support, by labels, support, size and planes."""
    settings = Settings(cross_validate=False)
    loaded, calls = networks(), [0]
    encode = cast(Promptable, loaded.sams[0].network).encode

    def counted(pixels: Tensor) -> Any:
        calls[0] += 1
        return encode(pixels)

    loaded.sams[0].network.encode = counted  # type: ignore[assignment]
    segmenter = ICLSAM(networks=loaded, settings=settings, cache=EmbeddingCache())
    timed_stack(segmenter, 1, 1, 128, 1)  # warm up
    found = []
    for size in (512, 256):
        first = timed_stack(segmenter, 2, 3, size, 1)
        before = calls[0]
        segmenter.fit(*scene(4, size, 1))  # the examples to come, embedded
        extra = calls[0] - before
        again = timed_stack(segmenter, 4, 3, size, 1)
        found.append(replace(first, what=f"first run: {first.what}"))
        encoded = calls[0] - before - extra
        note = f"{encoded} planes embedded again; {again.note}"
        found.append(
            replace(
                again, what=f"again: {again.what}", ratio=first.seconds / again.seconds, note=note
            )
        )
    for support, planes, size, labels in STACKS:
        timed_stack(segmenter, support, planes, size, labels)  # embeds
        found.append(timed_stack(segmenter, support, planes, size, labels))
    return [
        replace(row, seconds=row.seconds / n, cpu_seconds=row.cpu_seconds / n)
        for row in found
        for n in (_planes(row),)
    ]


def _planes(row: Row) -> int:
    return int(row.what.split(": ")[-1].split()[0])


def masks_section(data: Path | None) -> list[Row]:
    """Compare final masks between float32 and what `ICLSAM` chooses by itself.

    Without data: SAM ViT-B of random weights on three drawn images of two labels. With a folder of
    sets with ground truth: the bundled models on two images of each label, with four examples.
    """
    settings = Settings(cross_validate=False)
    tasks = (
        [(*scene(4, 512, 2), scene(3, 512, 2, seed=1)[0])] if data is None else _real_tasks(data)
    )
    maps: dict[Precision, list[NDArray[np.int32]]] = {}
    for precision in PRECISIONS:
        loaded = networks(precision) if data is None else None
        segmenter = ICLSAM(
            settings=settings, cache=EmbeddingCache(), networks=loaded, precision=precision
        )
        start, maps[precision] = (time.perf_counter(), time.process_time()), []
        for images, masks, queries in tasks:
            task = segmenter.fit(images, masks)
            maps[precision] += [task.predict(query).labels for query in queries]
        spent = Timed(time.perf_counter() - start[0], time.process_time() - start[1])
    pairs = list(zip(maps["float32"], maps["auto"], strict=True))
    values = [dice(a == label, b == label) for a, b in pairs for label in np.unique(a) if label]
    note = f"Dice with float32: mean {np.mean(values):.4f}, smallest {np.min(values):.4f}"
    return [
        Row("masks", f"automatic precision, {len(pairs)} images", spent.wall, spent.cpu, note=note)
    ]


def _real_tasks(
    data: Path,
) -> list[tuple[list[NDArray[Any]], list[NDArray[np.int32]], list[NDArray[Any]]]]:
    tasks = []
    for folder in sorted(path.parent for path in data.glob("*/meta.json")):
        labels, samples = read_set(folder)
        for label in labels:
            drawn = draw(
                [s for s in samples if (s.mask == label).any()], 4, 2, np.random.default_rng(0)
            )
            assert drawn is not None
            examples, queries = drawn
            masks = [(s.mask == label).astype(np.int32) for s in examples]
            tasks.append(([s.image for s in examples], masks, [s.image for s in queries]))
    return tasks
