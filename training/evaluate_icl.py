"""Dice of in-context weights on labelled sets, by label and size of the support.

For reports, never for choosing.

``python -m training.evaluate_icl --weights FILE --data DIR --json OUT`` prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch.nn import functional as F

from napari_iclsam.core.in_context.runner import InContextNetwork
from napari_iclsam.models.build import build_icl
from training.augment import crop, own_range
from training.data import DataSet, Sample, load_sets
from training.fields import Float, Rng


@dataclass(frozen=True, slots=True)
class Row:
    """Dice of one label of one set (and task) with one size of support.

    Mean, and deviation between draws.

    ``queries`` holds the Dice of each query of each draw.
    """

    set: str
    task: str
    label: str
    supports: int
    mean: float
    spread: float
    queries: list[list[float]]


def draw(
    rng: Rng, samples: Sequence[Sample], label: int, supports: int, queries: int
) -> tuple[list[Sample], list[Sample]]:
    """Draw support and queries of different subjects, or images if there is one subject."""
    holding = [sample for sample in samples if (sample.mask == label).any()]
    keys = [sample.subject for sample in holding]
    if len(set(keys)) < 2:
        keys = [str(index) for index in range(len(holding))]
    names = sorted(set(keys))
    order = [names[index] for index in rng.permutation(len(names))]
    counts = {name: keys.count(name) for name in names}
    chosen: set[str] = set()
    for name in order[:-1]:
        if sum(counts[one] for one in chosen) >= supports:
            break
        chosen.add(name)
    mine = [sample for sample, key in zip(holding, keys, strict=True) if key in chosen]
    others = [sample for sample, key in zip(holding, keys, strict=True) if key not in chosen]
    support = [mine[index] for index in rng.permutation(len(mine))[:supports]]
    return support, [others[index] for index in rng.permutation(len(others))[:queries]]


def _pixels(
    samples: Sequence[Sample], label: int, channels: int, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    pairs = [
        crop(rng, sample.image, sample.mask == label, size, None, smooth=True) for sample in samples
    ]
    images: Float = own_range(np.concatenate([pair.images for pair in pairs]))
    if channels == 1:
        images = np.tensordot(images, np.array([0.299, 0.587, 0.114], np.float32), axes=(1, 0))[
            :, None
        ]
    return torch.from_numpy(images), torch.from_numpy(
        np.concatenate([pair.masks for pair in pairs])
    )


@torch.inference_mode()
def score(
    network: InContextNetwork, support: list[Sample], queries: list[Sample], label: int, size: int
) -> list[float]:
    """Return the Dice of each query at its own size."""
    images, masks = _pixels(support, label, network.image_channels, size)
    inputs, _ = _pixels(queries, label, network.image_channels, size)
    found = []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = network.encode_support(images[None], masks[None])
        logits = torch.cat([network(query[None], features).float() for query in inputs])
    for query, answer in zip(queries, logits.sigmoid(), strict=True):
        inside = F.interpolate(answer[None], query.mask.shape, mode="bilinear")[0, 0].numpy() > 0.5
        truth = query.mask == label
        found.append(2.0 * float((inside & truth).sum()) / float(inside.sum() + truth.sum()))
    return found


def evaluate(
    network: InContextNetwork,
    sets: list[DataSet],
    supports: list[int],
    draws: int,
    queries: int,
    size: int,
) -> list[Row]:
    """Score every label of every set (and of every task of a mixed set)."""
    rows = []
    for data in sets:
        for task in sorted({sample.task for sample in data.samples}):
            samples = [sample for sample in data.samples if sample.task == task]
            for label, name in data.labels.items():
                if sum(bool((sample.mask == label).any()) for sample in samples) < 2:
                    continue
                for number in supports:
                    rng = np.random.default_rng(
                        [zlib.crc32(f"{data.name} {task} {label}".encode()), number]
                    )
                    parts = [draw(rng, samples, label, number, queries) for _ in range(draws)]
                    dice = [score(network, *part, label, size) for part in parts]
                    means = [float(np.mean(values)) for values in dice]
                    rows.append(
                        Row(
                            data.name,
                            task,
                            name,
                            number,
                            float(np.mean(means)),
                            float(np.std(means)),
                            dice,
                        )
                    )
                    print(
                        f"{data.name} {task} {name} K={number}: {rows[-1].mean:.3f}",
                        file=sys.stderr,
                        flush=True,
                    )
    return rows


def set_mean(rows: list[Row], name: str, supports: int) -> float:
    """Return the mean over the labels of a set."""
    return float(
        np.mean([row.mean for row in rows if row.set == name and row.supports == supports])
    )


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown: Dice and, in brackets, the deviation between draws.

    Then the mean over sets.
    """
    numbers = sorted({row.supports for row in rows})
    head = " | ".join(f"K={number}" for number in numbers)
    lines = [f"| set | label | {head} |", "|---|---|" + "---|" * len(numbers)]
    for row in rows:
        if row.supports == numbers[0]:
            alike = [r for r in rows if (r.set, r.task, r.label) == (row.set, row.task, row.label)]
            cells = [f"{one.mean:.2f} ({one.spread:.2f})" for one in alike]
            lines.append(f"| {row.set} {row.task}| {row.label} | " + " | ".join(cells) + " |")
    names = sorted({row.set for row in rows})
    means = [np.mean([set_mean(rows, name, number) for name in names]) for number in numbers]
    lines.append(
        "| **mean over sets** | | " + " | ".join(f"**{mean:.3f}**" for mean in means) + " |"
    )
    return "\n".join(lines)


def main() -> None:
    """Read the command line, evaluate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--support", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--queries", type=int, default=12)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = evaluate(
        cast(InContextNetwork, build_icl(str(arguments.weights.resolve())).module),
        load_sets(arguments.data),
        arguments.support,
        arguments.draws,
        arguments.queries,
        arguments.size,
    )
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
