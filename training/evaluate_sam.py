"""Measure starter-sam: ``python -m training.evaluate_sam --weights FILE --data FOLDER``.

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
from napari_iclsam.core.refinement.probe import Probe, fit_probe
from napari_iclsam.models.prompts import Prompts
from napari_iclsam.models.starter_sam import StarterSam
from training.data import DataSet, Sample, load_sets
from training.sam_losses import area_under_curve, guidance
from training.sam_prompts import coarse_mask, jitter_box, tight_box

_MOST_BOXES = 60
"""Objects of a label that are drawn in one image."""


@dataclass(frozen=True, slots=True)
class BoxScores:
    """Mean Dice over images, labels averaged within a set.

    Of the network, of the filled boxes, of the coarse masks.

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
    step = max(1, len(data.samples) // limit)
    samples = data.samples[::step][:limit]
    queried = {sample.subject for sample in samples}
    apart = [one for one in data.samples if one.subject not in queried] or data.samples[1::step]
    support = [apart[index] for index in rng.choice(len(apart), min(4, len(apart)), replace=False)]
    probe = _fit(network, data, support)
    rows: dict[int, list[list[float]]] = {value: [] for value in data.labels}
    for sample in samples:
        embedding = embed(network, sample)
        biases = _biases(network, probe, embedding)
        for value, bias in zip(data.labels, biases, strict=True):
            if (sample.mask == value).any():
                query = _Query(network, embedding, sample, value)
                rows[value].append(query.scores(bias, rng))
    return _mean_scores(data, rows)


def _fit(network: StarterSam, data: DataSet, support: Sequence[Sample]) -> Probe:
    """Fit a linear probe on whole images."""
    embeddings = [embed(network, one) for one in support]
    masks = [np.stack([one.mask == value for value in data.labels]) for one in support]
    return fit_probe(embeddings, masks, AUTO)


def _biases(network: StarterSam, probe: Probe, embedding: Embedding) -> torch.Tensor:
    """Return the guidance of each label, (labels, G * G)."""
    maps = embedding.frame.crop_grid(probe.logits(embedding))[:, 0]
    biases = guidance(maps, torch.full((len(maps),), 2.0))
    right = network.grid - biases.shape[-1]
    below = network.grid - biases.shape[-2]
    return F.pad(biases, (0, right, 0, below)).flatten(1)


@dataclass(frozen=True, slots=True)
class _Query:
    """A label of an image, to be drawn from boxes."""

    network: StarterSam
    embedding: Embedding
    sample: Sample
    value: int

    def scores(self, bias: torch.Tensor, rng: np.random.Generator) -> list[float]:
        """Return the Dice of each way, in the order of `BoxScores`."""
        truth = self.sample.mask == self.value
        shape = (truth.shape[0], truth.shape[1])
        frame = self.embedding.frame
        boxes = [tight_box(part) for part in objects_of(self.sample, self.value)][:_MOST_BOXES]
        loose = [jitter_box(rng, box, 0.1, shape) for box in boxes]
        rough = rough_logits(rng, truth, frame)
        masks = rough.expand(len(boxes), -1, -1, -1)
        found = [
            draw(self.network, self.embedding, boxes),
            draw(self.network, self.embedding, loose),
            fill(boxes, shape),
            fill(loose, shape),
            draw(self.network, self.embedding, loose, masks=masks),
            (frame.logits_to_image(rough)[0, 0] > 0).numpy(),
            draw(self.network, self.embedding, boxes, bias=bias),
        ]
        return [dice(one, truth) for one in found]


def _mean_scores(data: DataSet, rows: dict[int, list[list[float]]]) -> BoxScores:
    """Average over the images of each label, then over labels."""
    means = {value: np.mean(row, axis=0) for value, row in rows.items() if row}
    overall = np.mean(list(means.values()), axis=0).tolist()
    by_label = {data.labels[value]: float(mean[0]) for value, mean in means.items()}
    names = [field.name for field in fields(BoxScores) if field.name != "by_label"]
    return BoxScores(by_label=by_label, **dict(zip(names, overall, strict=True)))


def rough_logits(rng: np.random.Generator, truth: NDArray[np.bool_], frame: Frame) -> torch.Tensor:
    """Make a coarse mask prompt (1, 1, 256, 256) of a label, as in training."""
    square = F.interpolate(
        torch.from_numpy(truth.astype(np.float32))[None, None], frame.scaled, mode="nearest"
    )
    padded = frame.pad(square)[0, 0].numpy() > 0.5
    return torch.from_numpy(coarse_mask(rng, padded))[None, None]


@dataclass(frozen=True, slots=True)
class Draws:
    """How often a probe is fitted: examples of one draw, draws, and images of each."""

    support: int
    draws: int
    queries: int


def score_probe(
    network: StarterSam, data: DataSet, draws: Draws, rng: np.random.Generator
) -> float:
    """Return the mean AUC of the confidence map over cells.

    Examples are of other subjects than the queries.
    """
    embedded: dict[int, Embedding] = {}
    subjects = sorted({sample.subject for sample in data.samples})
    found: dict[int, list[float]] = {value: [] for value in data.labels}
    for _ in range(draws.draws):
        rng.shuffle(subjects)
        half = set(subjects[: max(1, len(subjects) // 2)])
        one = [i for i, s in enumerate(data.samples) if s.subject in half]
        other = [i for i, s in enumerate(data.samples) if s.subject not in half] or one
        chosen = rng.choice(one, min(draws.support, len(one)), replace=False)
        queried = [i for i in rng.permutation(other) if i not in chosen][: draws.queries]
        for index in (*chosen, *queried):
            # An image may come up in several draws.
            if index not in embedded:
                embedded[index] = embed(network, data.samples[index])
        masks = [np.stack([data.samples[i].mask == value for value in data.labels]) for i in chosen]
        probe = fit_probe([embedded[index] for index in chosen], masks, AUTO)
        for index in queried:
            _add_areas(found, probe, embedded[index], data.samples[index])
    return float(np.mean([np.mean(values) for values in found.values() if values]))


def _add_areas(
    found: dict[int, list[float]], probe: Probe, embedding: Embedding, sample: Sample
) -> None:
    """Add the AUC of each label of an image that covers some of its cells, but not all."""
    frame = embedding.frame
    grid = embedding.features.embedding.shape[-1]
    logits = frame.crop_grid(probe.logits(embedding))
    for row, (value, areas) in enumerate(found.items()):
        mask = torch.from_numpy((sample.mask == value).astype(np.float32))
        truth = frame.image_to_grid(mask[None, None], grid)
        cells = (frame.crop_grid(truth) > 0.5).float().flatten()[None]
        if 0 < cells.sum() < cells.numel():
            area = area_under_curve(logits[row].flatten()[None], cells)
            areas.append(float(area))


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
            auc = {}
            for k in options.support:
                draws = Draws(k, options.draws, options.queries)
                auc[k] = score_probe(network, data, draws, rng)
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
