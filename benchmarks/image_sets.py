"""Folders of images with ground truth, and draws of support and queries from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sample:
    """One image with its label map, and its instances where they are known."""

    image: NDArray[Any]
    mask: NDArray[Any]
    instances: NDArray[Any] | None
    subject: str
    task: str


def read_set(folder: Path) -> tuple[dict[int, str], list[Sample]]:
    """Read a folder: names of its labels, and its samples."""
    meta = json.loads((folder / "meta.json").read_text())
    samples = [
        Sample(
            imageio.imread(folder / entry["image"]),
            imageio.imread(folder / entry["mask"]),
            imageio.imread(folder / entry["instances"]) if "instances" in entry else None,
            str(entry["subject"]),
            str(entry.get("task", "")),
        )
        for entry in meta["samples"]
    ]
    return {int(label): name for label, name in meta["labels"].items()}, samples


def draw(
    samples: Sequence[Sample], pairs: int, queries: int, rng: np.random.Generator
) -> tuple[list[Sample], list[Sample]] | None:
    """Draw support and queries from different subjects; None if there are not enough."""
    subjects = [sample.subject for sample in samples]
    if len(set(subjects)) == 1:
        subjects = [str(n) for n in range(len(samples))]
    order = rng.permutation(sorted(set(subjects)))
    by_subject = {
        s: [x for x, own in zip(samples, subjects, strict=True) if own == s] for s in order
    }
    support: list[Sample] = []
    used = 0
    # One image of each subject first.
    while len(support) < pairs and used < len(order) - 1:
        images = by_subject[order[used]]
        support.append(images[rng.integers(len(images))])
        used += 1
    if len(support) < pairs:
        half = order[: len(order) // 2]
        pool = [x for s in half for x in by_subject[s]]
        if len(pool) < pairs:
            return None
        support = [pool[i] for i in rng.permutation(len(pool))[:pairs]]
        used = len(half)
    rest = [x for s in order[used:] for x in by_subject[s]]
    return support, [rest[i] for i in rng.permutation(len(rest))[:queries]]
