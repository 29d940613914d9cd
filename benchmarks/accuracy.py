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

import imageio.v3 as imageio
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from napari_iclsam import ICLSAM, Settings, Task, dice
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.fusion.threshold import best_bin, histogram, lower_edge
from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.refinement.pixel_classifier import (
    PixelClassifier,
    fit_pixel_classifier,
    sample_pixels,
)
from napari_iclsam.core.refinement.sam import refine_with_sam

STAGES = {
    "icl": "ICL alone",
    "adapted": "ICL, adapted",
    "sam": "SAM, ICL's boxes",
    "fused": "fused",
    "sam_truth": "SAM, true boxes",
    "fill_truth": "filled true boxes",
    "sam_jitter": "SAM, boxes +-10 %",
    "fill_jitter": "filled boxes +-10 %",
    "auc": "AUC of the map",
    "estimate": "estimated",
    "estimate_off": "estimate off by",
    "foreground": "all foreground",
    "pixels": "pixel regression",
    "forest": "random forest",
}


@dataclass(frozen=True)
class Sample:
    """One image with its label map, and its instances where they are known."""

    image: NDArray[Any]
    mask: NDArray[Any]
    instances: NDArray[Any] | None
    subject: str
    task: str


@dataclass(frozen=True)
class Result:
    """Scores of one query by stage; stages that were not computed are missing."""

    dataset: str
    label: str
    support: int
    draw: int
    scores: dict[str, float]


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


def tight_boxes(mask: NDArray[np.bool_], instances: NDArray[Any] | None) -> NDArray[np.int64]:
    """Return the box of each instance, or of each component that is no speck."""
    if instances is None:
        instances, _ = ndimage.label(mask)
        sizes = np.bincount(instances.ravel())
        sizes[0] = 0
        instances = np.where(sizes[instances] > 0.01 * sizes.max(), instances, 0)
    else:
        instances = np.where(mask, instances, 0)
    found = [s for s in ndimage.find_objects(instances) if s is not None]
    return np.array(
        [(s[1].start, s[0].start, s[1].stop - 1, s[0].stop - 1) for s in found], np.int64
    ).reshape(-1, 4)


def jittered(
    boxes: NDArray[np.int64], shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Move each side of each box by up to 10 % of the box."""
    size = np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    moved = np.rint(boxes + rng.uniform(-0.1, 0.1, boxes.shape) * size).astype(np.int64)
    moved = np.clip(moved, 0, np.tile([shape[1] - 1, shape[0] - 1], 2))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2])
    return moved


def filled(boxes: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the union of boxes as a mask."""
    mask = np.zeros(shape, bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def segment_boxes(task: Task, image: NDArray[Any], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return what SAM makes of boxes alone: no guidance, no mask prompt."""
    runners = task.context.runners
    recipe = replace(runners.recipe, sam_guidance=0.0, mask_prompt=False)
    with torch.inference_mode():
        runner = runners.experts.runners[0]
        query = runner.embed(as_rgb8(image))
        flat = torch.full((1, 1, *image.shape[:2]), 0.5)
        logits = refine_with_sam(runner, query, flat, flat, (boxes,), recipe)
        return (logits[0, 0] > 0).numpy()


def pixel_features(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return red, green, blue and position of each pixel, each in [0, 1], (H * W, 5)."""
    rgb = as_rgb8(image).reshape(-1, 3).astype(np.float32) / 255
    y, x = np.meshgrid(
        *(np.linspace(0, 1, n, dtype=np.float32) for n in image.shape[:2]), indexing="ij"
    )
    return np.column_stack([rgb, y.ravel(), x.ravel()])


@dataclass(frozen=True)
class Peers:
    """Classifiers of pixels, fitted to the same support."""

    pixels: LogisticRegression
    forest: PixelClassifier


def fit_pixels(
    support: Sequence[Sample], label: int, rng: np.random.Generator
) -> LogisticRegression:
    """Fit the trivial baseline to at most 20,000 pixels."""
    features = np.concatenate([pixel_features(s.image) for s in support])
    target = np.concatenate([(s.mask == label).ravel() for s in support])
    some = rng.permutation(len(target))[:20_000]
    if target[some].all() or not target[some].any():
        some = np.arange(len(target))
    return LogisticRegression(class_weight="balanced").fit(features[some], target[some])


def fit_forest(support: Sequence[Sample], label: int) -> PixelClassifier:
    """Fit a random forest on filters of the pixels, as ilastik and Labkit do."""
    images = [as_rgb8(sample.image) for sample in support]
    masks = [(sample.mask == label)[None] for sample in support]
    return fit_pixel_classifier(sample_pixels(images, masks, seed=0), 0, fit_trees)


def fit_trees(
    features: NDArray[np.float32], target: NDArray[np.intp], seed: int
) -> RandomForestClassifier:
    """Fit a forest to features (n, F) and classes (n,)."""
    # each tree sees one in twenty of the pixels, which repeat each other
    wanted = max(500, len(target) // 20)
    forest = RandomForestClassifier(
        100,
        max_samples=min(len(target), wanted),
        min_samples_leaf=5,
        n_jobs=1,
        random_state=seed,
    )
    return forest.fit(features, target)


def segment_by_forest(forest: PixelClassifier, image: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the mask with the largest expected Dice."""
    log_odds = torch.from_numpy(forest.log_odds(as_rgb8(image))[0])
    threshold = lower_edge(best_bin(histogram(log_odds.flatten()[None])))
    return np.asarray(log_odds >= threshold)


def alone(segmenter: ICLSAM) -> ICLSAM:
    """Return a segmenter whose ``icl_labels`` are those of the in-context model alone.

    Without test-time fine-tuning.
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


def score_boxes(
    task: Task, query: Sample, label: int, rng: np.random.Generator
) -> dict[str, float]:
    """Score SAM with boxes of the ground truth alone, which no support changes."""
    truth = query.mask == label
    boxes = tight_boxes(truth, query.instances)
    scores = {}
    for name, some in (("truth", boxes), ("jitter", jittered(boxes, truth.shape, rng))):
        scores[f"sam_{name}"] = dice(segment_boxes(task, query.image, some), truth)
        scores[f"fill_{name}"] = dice(filled(some, truth.shape), truth)
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


def mean_of(results: Sequence[Result], stage: str) -> float:
    """Return the mean over the labels of the means over queries and draws; NaN if there is none."""
    means = []
    for label in sorted({r.label for r in results}):
        values = [r.scores[stage] for r in results if r.label == label and stage in r.scores]
        if values:
            means.append(float(np.mean(values)))
    return float(np.mean(means)) if means else float("nan")


def spread_of(results: Sequence[Result], stage: str) -> float:
    """Return the standard deviation over draws of `mean_of`."""
    draws = [
        mean_of([r for r in results if r.draw == d], stage)
        for d in sorted({r.draw for r in results})
    ]
    return float(np.std(draws))


def summarise(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a row a set and K, and a row for the mean over sets and K."""
    rows: list[dict[str, Any]] = []
    for pairs in sorted({r.support for r in results}):
        own = []
        for name in sorted({r.dataset for r in results}):
            some = [r for r in results if r.dataset == name and r.support == pairs]
            if some:
                stages = {stage: mean_of(some, stage) for stage in STAGES}
                own.append(
                    {
                        "dataset": name,
                        "support": pairs,
                        **stages,
                        "fused_sd": spread_of(some, "fused"),
                    }
                )
        mean = {stage: float(np.nanmean([row[stage] for row in own])) for stage in STAGES}
        rows += [*own, {"dataset": "mean", "support": pairs, **mean, "fused_sd": float("nan")}]
    return rows


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print rows as a table."""
    table = Table("K", "set", *STAGES.values(), "sd of fused", title="Dice")
    for row in rows:
        numbers = [f"{row[stage]:.3f}" for stage in (*STAGES, "fused_sd")]
        table.add_row(
            str(row["support"]),
            row["dataset"],
            *numbers,
            style="bold" if row["dataset"] == "mean" else "",
        )
    console.print(table)


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
