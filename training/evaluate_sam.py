"""Measure starter-sam on sets of images: ``python -m training.evaluate_sam --weights FILE --data FOLDER``.

Given boxes from the ground truth, tight and jittered, and coarse masks: Dice of the union of the
masks, beside what filling the boxes gives. Of the embedding: how well a linear probe on K images
ranks the cells of another (AUC).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import ndimage
from torch.nn import functional as F

from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.metrics import dice
from napari_iclsam.core.recipe import AUTO
from napari_iclsam.core.refinement.probe import fit_probe
from napari_iclsam.models.prompts import Prompts
from napari_iclsam.models.starter_sam import StarterSam
from training.data import DataSet, Sample, load_sets
from training.sam_losses import area_under_curve, guidance
from training.sam_prompts import coarse_mask, jitter_box, tight_box


@dataclass(frozen=True, slots=True)
class BoxScores:
    """Mean Dice over images, labels averaged within a set: of the network, of the boxes filled, of the coarse masks.

    ``guided`` is tight boxes under the guidance of a probe on four other images.
    """

    tight: float
    jittered: float
    filled: float
    filled_jittered: float
    with_mask: float
    mask_alone: float
    guided: float
    by_label: dict[str, float]


def load_network(weights: Path) -> StarterSam:
    """Build the network of a file of weights."""
    network = StarterSam()
    network.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
    return network.eval()


def embed(network: StarterSam, sample: Sample) -> Embedding:
    """Embed one image as the pipeline does."""
    frame = Frame(sample.mask.shape[0], sample.mask.shape[1], network.image_size)
    pixels = frame.pad(network.normalise(frame.to_square(sample.image)))
    return Embedding(network.encode(pixels), frame)


def objects_of(sample: Sample, value: int, smallest: float = 0.05) -> list[NDArray[np.bool_]]:
    """Instances of a label, or its components above a share of the largest."""
    label = sample.mask == value
    parts = (
        ndimage.label(label)[0]
        if sample.instances is None
        else np.where(label, sample.instances, 0)
    )
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return [parts == index for index in np.flatnonzero(sizes > smallest * sizes.max())]


def draw(
    network: StarterSam,
    embedding: Embedding,
    boxes: list[NDArray[np.float32]],
    masks: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> NDArray[np.bool_]:
    """Union of the masks of N boxes, at the size of the image."""
    frame = embedding.frame
    square = torch.from_numpy(np.stack(boxes)) * (
        max(frame.scaled) / max(frame.height, frame.width)
    )
    logits = network.decode(embedding.features, Prompts(square, bias, masks)).logits
    union = logits.amax(dim=0)[None, None]
    return (frame.logits_to_image(union)[0, 0] > 0).numpy()


def fill(boxes: list[NDArray[np.float32]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Everything in the boxes."""
    filled = np.zeros(shape, bool)
    for box in boxes:
        x0, y0, x1, y1 = box.round().astype(int)
        filled[y0:y1, x0:x1] = True
    return filled


def score_boxes(
    network: StarterSam, data: DataSet, limit: int, rng: np.random.Generator
) -> BoxScores:
    """Measure boxes on up to ``limit`` images of a set, evenly spaced."""
    rows: dict[int, list[tuple[float, ...]]] = {value: [] for value in data.labels}
    samples = data.samples[:: max(1, len(data.samples) // limit)][:limit]
    asked = {sample.subject for sample in samples}
    apart = [s for s in data.samples if s.subject not in asked] or data.samples[
        1 :: max(1, len(data.samples) // limit)
    ]
    support = [apart[index] for index in rng.choice(len(apart), min(4, len(apart)), replace=False)]
    probe = fit_probe(
        [embed(network, one) for one in support],
        [np.stack([one.mask == value for value in data.labels]) for one in support],
        AUTO,
    )
    for sample in samples:
        embedding = embed(network, sample)
        shape = (sample.mask.shape[0], sample.mask.shape[1])
        maps = embedding.frame.crop_grid(probe.logits(embedding))[:, 0]
        biases = guidance(maps, torch.full((len(maps),), 2.0))
        biases = F.pad(
            biases, (0, network.grid - biases.shape[-1], 0, network.grid - biases.shape[-2])
        ).flatten(1)
        for value, bias in zip(data.labels, biases, strict=True):
            truth = sample.mask == value
            if not truth.any():
                continue
            boxes = [tight_box(part) for part in objects_of(sample, value)][:60]
            loose = [jitter_box(rng, box, 0.1, shape) for box in boxes]
            rough = rough_logits(rng, truth, embedding.frame)
            crude = (embedding.frame.logits_to_image(rough)[0, 0] > 0).numpy()
            rows[value].append(
                (
                    dice(draw(network, embedding, boxes), truth),
                    dice(draw(network, embedding, loose), truth),
                    dice(fill(boxes, shape), truth),
                    dice(fill(loose, shape), truth),
                    dice(
                        draw(network, embedding, loose, masks=rough.expand(len(boxes), -1, -1, -1)),
                        truth,
                    ),
                    dice(crude, truth),
                    dice(draw(network, embedding, boxes, bias=bias), truth),
                )
            )
    means = {value: np.mean(row, axis=0) for value, row in rows.items() if row}
    overall = np.mean(list(means.values()), axis=0)
    by_label = {data.labels[value]: float(mean[0]) for value, mean in means.items()}
    names = [field.name for field in fields(BoxScores) if field.name != "by_label"]
    return BoxScores(by_label=by_label, **dict(zip(names, overall.tolist(), strict=True)))


def rough_logits(rng: np.random.Generator, truth: NDArray[np.bool_], frame: Frame) -> torch.Tensor:
    """Make a coarse mask prompt (1, 1, 256, 256) of a label, as in training."""
    square = F.interpolate(
        torch.from_numpy(truth.astype(np.float32))[None, None], frame.scaled, mode="nearest"
    )
    padded = frame.pad(square)[0, 0].numpy() > 0.5
    return torch.from_numpy(coarse_mask(rng, padded))[None, None]


def score_probe(
    network: StarterSam,
    data: DataSet,
    support: int,
    draws: int,
    queries: int,
    rng: np.random.Generator,
) -> float:
    """Mean AUC of the confidence map over cells, with ``support`` examples of other subjects than the queries."""
    cache: dict[int, Embedding] = {}

    def embedding_of(index: int) -> Embedding:
        if index not in cache:
            cache[index] = embed(network, data.samples[index])
        return cache[index]

    subjects = sorted({sample.subject for sample in data.samples})
    found: dict[int, list[float]] = {value: [] for value in data.labels}
    for _ in range(draws):
        rng.shuffle(subjects)
        half = set(subjects[: max(1, len(subjects) // 2)])
        one = [i for i, s in enumerate(data.samples) if s.subject in half]
        other = [i for i, s in enumerate(data.samples) if s.subject not in half] or one
        chosen = rng.choice(one, min(support, len(one)), replace=False)
        asked = [i for i in rng.permutation(other) if i not in chosen][:queries]
        masks = [np.stack([data.samples[i].mask == value for value in data.labels]) for i in chosen]
        probe = fit_probe([embedding_of(i) for i in chosen], masks, AUTO)
        for i in asked:
            embedding = embedding_of(i)
            logits = embedding.frame.crop_grid(probe.logits(embedding))
            for row, value in enumerate(data.labels):
                truth = embedding.frame.image_to_grid(
                    torch.from_numpy((data.samples[i].mask == value).astype(np.float32))[
                        None, None
                    ],
                    network.grid,
                )
                cells = (embedding.frame.crop_grid(truth) > 0.5).float().flatten()[None]
                if 0 < cells.sum() < cells.numel():
                    found[value].append(float(area_under_curve(logits[row].flatten()[None], cells)))
    return float(np.mean([np.mean(values) for values in found.values() if values]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line a set, and write all numbers if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of sets")
    parser.add_argument("--sets", nargs="*", help="only these")
    parser.add_argument("--limit", type=int, default=40, help="images a set for the boxes")
    parser.add_argument("--support", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    network = load_network(options.weights)
    report = {}
    with torch.inference_mode():
        for data in load_sets(options.data):
            if options.sets and data.name not in options.sets:
                continue
            rng = np.random.default_rng(0)
            boxes = score_boxes(network, data, options.limit, rng)
            auc = {
                k: score_probe(network, data, k, options.draws, options.queries, rng)
                for k in options.support
            }
            report[data.name] = {"boxes": asdict(boxes), "auc": auc}
            numbers = [
                f"{key} {value:.3f}"
                for key, value in asdict(boxes).items()
                if isinstance(value, float)
            ]
            print(
                f"{data.name:18}",
                *numbers,
                *[f"AUC{k} {value:.3f}" for k, value in auc.items()],
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
