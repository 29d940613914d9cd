"""Count and separate objects: F1 and average precision (AP) as the field reports them.

A set is a folder with ``meta.json`` (``samples``: image, instances, subject). Two protocols:

- *single*: K images are examples, others (of other subjects) are segmented one by one.
- *mosaic*: images are put side by side; one corner is labelled and is the region that is the
  example. What lies outside of it is scored.

Objects are those of ``Prediction.instances``, with the separation that the examples' numbers teach,
beside a plain watershed of the same masks (peaks of the distance to the background, scikit-image)
and beside connected components of them. An object is found at an intersection over union of .5 or
more; AP is TP / (TP + FP + FN). Matches are summed over images before they are divided.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from napari_iclsam import ICLSAM, Settings, Task, dice
from napari_iclsam.core.metrics import ObjectMatches, match_objects

IOUS = (0.5, 0.75)

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An image, its objects, and whom it is of."""

    image: NDArray[np.uint8]
    ids: Ids
    subject: str


@dataclass(frozen=True, slots=True)
class Row:
    """What was reached on a set by one way to separate objects."""

    data: str
    protocol: str
    objects: str
    truth: int
    found: int
    dice: float
    f1: float
    ap50: float
    ap75: float
    seconds: float
    processor: float


@dataclass(frozen=True, slots=True)
class Times:
    """What an image took: time of the clock, and of the processor."""

    seconds: float
    processor: float


def read_set(folder: Path) -> list[Sample]:
    """Read a folder."""
    samples = []
    for entry in json.loads((folder / "meta.json").read_text())["samples"]:
        image = iio.imread(folder / entry["image"])
        ids = iio.imread(folder / entry["instances"]).astype(np.int32)
        samples.append(Sample(image, ids, str(entry["subject"])))
    return samples


def make_mosaic(samples: Sequence[Sample], side: int, seed: int) -> Sample:
    """Put images of the most frequent size side by side, in random order."""
    shapes = [sample.image.shape for sample in samples]
    shape = max(set(shapes), key=shapes.count)
    fitting = [sample for sample in samples if sample.image.shape == shape]
    order = np.random.default_rng(seed).permutation(len(fitting))
    height, width = shape[:2]
    image = np.zeros((side, side, *shape[2:]), np.uint8)
    ids = np.zeros((side, side), np.int32)
    number = 0
    for top in range(0, side, height):
        for left in range(0, side, width):
            sample = fitting[order[number % len(fitting)]]
            number += 1
            rows = slice(top, min(top + height, side))
            columns = slice(left, min(left + width, side))
            image[rows, columns] = sample.image[: rows.stop - top, : columns.stop - left]
            own = sample.ids[: rows.stop - top, : columns.stop - left]
            ids[rows, columns] = np.where(own > 0, own + ids.max(), 0)
    return Sample(image, ids, "mosaic")


def plain_watershed(mask: NDArray[np.bool_]) -> Ids:
    """Separate objects as tutorials do: peaks of the distance to the background are markers."""
    distance = ndimage.distance_transform_edt(mask)
    components = ndimage.label(mask)[0]
    peaks = peak_local_max(distance, min_distance=5, labels=components, exclude_border=False)
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-distance, markers, mask=mask), np.int32)


class Score:
    """Matches of several images, added up."""

    def __init__(self) -> None:
        self._matches = {iou: ObjectMatches(0, 0, 0) for iou in IOUS}

    def add(self, found: Ids, truth: Ids) -> None:
        """Take in an image."""
        for iou in IOUS:
            self._matches[iou] += match_objects(found, truth, iou)

    def row(self, name: tuple[str, str], objects: str, overlap: float, times: Times) -> Row:
        """Return the row of a table."""
        half, strict = (self._matches[iou] for iou in IOUS)
        return Row(
            *name,
            objects,
            half.truth,
            half.predicted,
            overlap,
            half.f1,
            half.average_precision,
            strict.average_precision,
            times.seconds,
            times.processor,
        )


def score_images(
    task: Task, queries: Sequence[Sample], outside: NDArray[np.bool_] | None, name: tuple[str, str]
) -> Iterator[Row]:
    """Segment images and score their objects; of a mosaic only what lies outside of the region."""
    scores = {"ours": Score(), "watershed": Score(), "components": Score()}
    overlaps = []
    started = time.perf_counter()
    of_processor = time.process_time()
    for query in queries:
        prediction = task.predict(query.image)
        mask = prediction.labels > 0
        kept = np.ones(mask.shape, bool) if outside is None else outside
        truth = np.where(kept, query.ids, 0)
        found = {
            "ours": prediction.instances.ids,
            "watershed": plain_watershed(mask),
            "components": ndimage.label(mask)[0],
        }
        for way, ids in found.items():
            scores[way].add(np.where(kept, ids, 0), truth)
        overlaps.append(dice(mask & kept, truth > 0))
    times = Times(
        (time.perf_counter() - started) / len(queries),
        (time.process_time() - of_processor) / len(queries),
    )
    for way, score in scores.items():
        yield score.row(name, way, float(np.mean(overlaps)), times)


def run_single(folder: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Segment single images by K others."""
    samples = read_set(folder)
    order = np.random.default_rng(args.seed).permutation(len(samples))
    support = [samples[index] for index in order[: args.support]]
    subjects = {sample.subject for sample in support}
    others = [samples[index] for index in order if samples[index].subject not in subjects]
    images = [sample.image for sample in support]
    task = _segmenter(args).fit(images, [sample.ids for sample in support], numbered=True)
    name = (folder.name, f"single, K = {args.support}")
    yield from score_images(task, others[: args.queries], None, name)


def run_mosaic(folder: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Segment a mosaic by its corner."""
    mosaic = make_mosaic(read_set(folder), args.side, args.seed)
    corner = (0, 0, args.corner, args.corner)
    task = _segmenter(args).fit([mosaic.image], [mosaic.ids], regions=[[corner]], numbered=True)
    outside = np.ones(mosaic.ids.shape, bool)
    outside[: args.corner, : args.corner] = False
    name = (folder.name, f"mosaic {args.side}, corner {args.corner}")
    yield from score_images(task, [mosaic], outside, name)


def _segmenter(args: argparse.Namespace) -> ICLSAM:
    return ICLSAM(args.models, settings=Settings(tile=args.tile))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both protocols on sets, and print a row for each."""
    args = _parser().parse_args(arguments)
    rows: list[Row] = []
    runs = {"single": run_single, "mosaic": run_mosaic}
    for folder in args.sets:
        for protocol in args.protocol:
            for row in runs[protocol](folder, args):
                rows.append(row)
                sys.stdout.write(f"{json.dumps(asdict(row))}\n")
                sys.stdout.flush()
    if args.output:
        args.output.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sets", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--protocol", nargs="+", choices=("single", "mosaic"), default=["single", "mosaic"]
    )
    parser.add_argument("--support", type=int, default=4)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--corner", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", default="starter")
    parser.add_argument("--tile", default="auto")
    parser.add_argument("--output", type=Path)
    return parser


if __name__ == "__main__":
    main()
