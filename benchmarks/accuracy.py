"""Dice of every stage on folders of images with ground truth, over random draws of the support.

For each label of each set, K support pairs and the queries are drawn from different subjects (from
different images where a set has one subject), among the images that contain the label. Each draw is
a task of one label. Reported are the mean over labels within a set and over sets, of the in-context
model alone (as it comes, and after test-time fine-tuning), SAM with the in-context model's
boxes, the fused result, SAM with boxes of the ground truth (tight, and each side moved by up to 10
% of the box), what filling those boxes gives, the area under the ROC curve of the confidence map,
what the fused result was estimated to reach and by how much that was wrong, a random forest on
filters of the pixels (as ilastik and Labkit fit), and two trivial baselines: everything is
foreground, and a per-pixel logistic regression on color and position fitted to the same support.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from sklearn.metrics import roc_auc_score

from benchmarks.accuracy_table import Result, show, summarise
from benchmarks.image_sets import Sample, draw, read_set
from benchmarks.pixel_baselines import (
    Peers,
    fit_forest,
    fit_pixels,
    pixel_features,
    segment_by_forest,
)
from benchmarks.true_boxes import score_boxes
from napari_iclsam import ICLSAM, Settings, Task, dice
from napari_iclsam.core.encoder.cache import EmbeddingCache


def alone(segmenter: ICLSAM) -> ICLSAM:
    """Return a segmenter whose ``icl_labels`` are those of the in-context model alone.

    Without test-time fine-tuning, and with the features of the first promptable model alone.
    """
    settings = replace(segmenter.settings, use_sam=False, cross_validate=False, fine_tune=False)
    return ICLSAM(networks=segmenter.networks, settings=settings, cache=segmenter.cache)


def score(task: Task, plain: Task, peers: Peers, query: Sample, label: int) -> dict[str, float]:
    """Segment one query and score every stage that depends on the support.

    ``plain`` is a task of `alone`.
    """
    truth = query.mask == label
    shape = truth.shape
    by_pixel = peers.pixels.predict(pixel_features(query.image)).reshape(shape)
    prediction = task.predict(query.image)
    scores = {
        "icl": dice(plain.predict(query.image).icl_labels == 1, truth),
        "adapted": dice(prediction.icl_labels == 1, truth),
        "sam": dice(prediction.sam_labels == 1, truth),
        "fused": dice(prediction.labels == 1, truth),
        "foreground": dice(np.ones(shape, bool), truth),
        "pixels": dice(by_pixel, truth),
        "forest": dice(segment_by_forest(peers.forest, query.image), truth),
    }
    if 1 in prediction.estimated_dice:
        scores["estimate"] = prediction.estimated_dice[1]
        scores["estimate_off"] = abs(scores["estimate"] - scores["fused"])
    if not truth.all():
        scores["auc"] = float(
            roc_auc_score(truth[::2, ::2].ravel(), prediction.confidence[1][::2, ::2].ravel())
        )
    return scores


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of the support, draws of each, queries of a draw, and the seed."""

    supports: Sequence[int]
    draws: int
    queries: int
    seed: int


@dataclass(frozen=True, slots=True)
class Draw:
    """Support and queries of one draw of a label."""

    label: int
    support: list[Sample]
    queries: list[Sample]


def run(segmenter: ICLSAM, folder: Path, plan: Plan) -> Iterator[Result]:
    """Score one set."""
    labels, samples = read_set(folder)
    for task_name in sorted({sample.task for sample in samples}):
        of_task = [sample for sample in samples if sample.task == task_name]
        for label, name in labels.items():
            title = f"{task_name} {name}".strip()
            with_label = [sample for sample in of_task if (sample.mask == label).any()]
            boxes: dict[int, dict[str, float]] = {}
            for pairs in plan.supports:
                for number in range(plan.draws):
                    rng = np.random.default_rng([plan.seed, label, number])
                    drawn = draw(with_label, pairs, plan.queries, rng)
                    if drawn is None:
                        continue
                    case = Draw(label, *drawn)
                    for scores in score_draw(segmenter, case, boxes, rng):
                        yield Result(folder.name, title, pairs, number, scores)


def score_draw(
    segmenter: ICLSAM,
    drawn: Draw,
    boxes: dict[int, dict[str, float]],
    rng: np.random.Generator,
) -> Iterator[dict[str, float]]:
    """Score the queries of one draw.

    ``boxes`` keeps the scores by query that no support changes, so that they are computed once.
    """
    images = [sample.image for sample in drawn.support]
    masks = [(sample.mask == drawn.label).astype(np.uint8) for sample in drawn.support]
    task = segmenter.fit(images, masks)
    plain = alone(segmenter).fit(images, masks)
    pixels = fit_pixels(drawn.support, drawn.label, rng)
    peers = Peers(pixels, fit_forest(drawn.support, drawn.label))
    for query in drawn.queries:
        if id(query) not in boxes:
            boxes[id(query)] = score_boxes(task, query, drawn.label, rng)
        yield score(task, plain, peers, query, drawn.label) | boxes[id(query)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = _parser().parse_args(arguments)
    folders = _folders(options.data, options.datasets)
    changed = {name: json.loads(value) for name, value in options.setting}
    settings = replace(Settings(mode=options.mode), **changed)
    segmenter = ICLSAM(options.models, icl=options.icl, settings=settings, cache=EmbeddingCache())
    plan = Plan(options.support, options.draws, options.queries, options.seed)
    results: list[Result] = []
    for folder in track(folders, "Sets", console=Console(stderr=True)):
        results += run(segmenter, folder, plan)
        # After each set, because a long run may be stopped.
        if options.json:
            report = _report(segmenter, plan, results)
            options.json.write_text(json.dumps(report, indent=1))
    show(summarise(results), Console(width=220))


def _parser() -> argparse.ArgumentParser:
    """Make the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    sets = "folder of sets: images/, masks/, meta.json each"
    add("--data", type=Path, required=True, help=sets)
    add("--datasets", nargs="*", help="only these")
    add("--support", type=int, nargs="+", default=[1, 4, 16], metavar="K")
    add("--models", default="starter")
    add("--icl", default="starter")
    add("--mode", choices=["auto", "paper"], default="auto")
    add("--setting", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    add("--draws", type=int, default=10)
    add("--queries", type=int, default=20, help="a draw; all there are if fewer")
    add("--seed", type=int, default=0)
    add("--json", type=Path, help="write every score and the summary here")
    return parser


def _folders(data: Path, only: Sequence[str] | None) -> list[Path]:
    """Return the folders of sets, and exit if there is none."""
    folders = []
    for path in sorted(data.iterdir()):
        wanted = not only or path.name in only
        if wanted and (path / "meta.json").is_file():
            folders.append(path)
    if not folders:
        sys.exit(f"No data set in {data}: expected folders with images/, masks/ and meta.json.")
    return folders


def _report(segmenter: ICLSAM, plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    """Return models, settings, every score and the summary."""
    networks = segmenter.networks
    return {
        "models": [networks.sam_name, networks.icl_facts.name],
        "checksums": [
            *(sam.facts.checksum for sam in networks.sams),
            networks.icl_facts.checksum,
        ],
        "settings": segmenter.settings.to_dict(),
        "draws": plan.draws,
        "queries": plan.queries,
        "summary": summarise(results),
        "results": [asdict(result) for result in results],
    }


if __name__ == "__main__":
    main()
