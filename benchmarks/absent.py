"""What is marked in images that do not hold the object.

The support is four images that hold a label and one that does not. Queries that do not hold it are
images of other subjects without it or, in sets whose images all hold it, the largest part of an
image beside the object. Reported are the queries in which it was marked all the same, and, of as
many queries that hold it, those that came out empty, with the mean Dice of all that hold it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.image_sets import Sample, draw, read_set
from napari_iclsam import ICLSAM, dice
from napari_iclsam.core.encoder.cache import EmbeddingCache

_HOLDING = 4
"""Images of the support that hold the label."""

_LEAST_SIDE = 64
"""Pixels that a part of an image without the object must have along each side."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came out for one label of a set."""

    label: str
    absent: int
    marked: int
    held: int
    emptied: int
    dice: float

    def __str__(self) -> str:
        marked = f"marked in {self.marked} of {self.absent} without it"
        emptied = f"emptied in {self.emptied} of {self.held} with it"
        return f"{self.label}: {marked}, {emptied}, Dice {self.dice:.3f}"


def beside_object(sample: Sample, label: int) -> Sample | None:
    """Return the largest part of an image beside the box of a label, if it is large enough."""
    rows, columns = (np.flatnonzero((sample.mask == label).any(axis=1 - axis)) for axis in (0, 1))
    every = slice(None)
    parts: list[tuple[slice, slice]] = [
        (slice(rows[0]), every),
        (slice(rows[-1] + 1, None), every),
        (every, slice(columns[0])),
        (every, slice(columns[-1] + 1, None)),
    ]
    masks = [sample.mask[part] for part in parts]
    largest = int(np.argmax([mask.size for mask in masks]))
    if min(masks[largest].shape) < _LEAST_SIDE:
        return None
    return replace(sample, image=sample.image[parts[largest]], mask=masks[largest])


def without_label(samples: Sequence[Sample], label: int) -> list[Sample]:
    """Return images without a label; if each holds it, parts of them."""
    absent = [sample for sample in samples if not (sample.mask == label).any()]
    if absent:
        return absent
    parts = (beside_object(sample, label) for sample in samples)
    return [part for part in parts if part is not None]


def score_label(
    segmenter: ICLSAM, samples: Sequence[Sample], label: int, name: str, count: int, seed: int
) -> Row | None:
    """Segment queries with and without a label; none if there are too few images."""
    rng = np.random.default_rng([seed, label])
    holding = [sample for sample in samples if (sample.mask == label).any()]
    drawn = draw(holding, _HOLDING, count, rng)
    absent = without_label(samples, label)
    if drawn is None or len(absent) < 2:
        return None
    support, queries = drawn
    taken = {sample.subject for sample in support}
    order = [absent[index] for index in rng.permutation(len(absent))]
    empty = order[0]
    others = [sample for sample in order[1:] if sample.subject not in taken | {empty.subject}]
    shown = [*support, empty]
    masks = [(sample.mask == label).astype(np.uint8) for sample in shown]
    task = segmenter.fit([sample.image for sample in shown], masks)
    marked = [bool(task.predict(query.image).labels.any()) for query in others[:count]]
    scores = []
    emptied = 0
    for query in queries:
        found = task.predict(query.image).labels == 1
        emptied += not found.any()
        scores.append(dice(found, query.mask == label))
    return Row(name, len(marked), sum(marked), len(scores), emptied, float(np.mean(scores)))


def rows(segmenter: ICLSAM, folder: Path, count: int, seed: int) -> Iterator[Row]:
    """Score each label of a set."""
    labels, samples = read_set(folder)
    for label, name in labels.items():
        row = score_label(segmenter, samples, label, f"{folder.name}, {name}", count, seed)
        if row is not None and row.absent:
            yield row


def main(arguments: Sequence[str] | None = None) -> None:
    """Score sets, and print a line for each label and one for all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    segmenter = ICLSAM(cache=EmbeddingCache())
    every: list[Row] = []
    for folder in options.sets:
        for row in rows(segmenter, folder, options.queries, options.seed):
            every.append(row)
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()
    absent = sum(row.absent for row in every)
    held = sum(row.held for row in every)
    total = Row(
        "all",
        absent,
        sum(row.marked for row in every),
        held,
        sum(row.emptied for row in every),
        float(np.mean([row.dice for row in every])),
    )
    sys.stdout.write(f"{total}\n")


if __name__ == "__main__":
    main()
