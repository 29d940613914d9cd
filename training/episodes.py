"""Batches of in-context tasks, real and synthetic.

Batch number t depends on the configuration and t alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.in_context.augmentation import draw_object_crops
from training.augment import Pairs, augment, crop, cut_out, own_range
from training.config import IclConfig
from training.data import DataSet, Sample
from training.fields import Rng
from training.parts import Parts
from training.pool import Pool

_MANY = 30
"""With more candidates than this, supports of like color may be chosen."""


@dataclass(frozen=True, slots=True)
class Batch:
    """T tasks.

    Query (T, 3, H, W), target (T, 1, H, W), supports (T, S, 3, H, W), their masks (T, S, 1, H, W).

    Drawn in half precision, which is enough for what has seldom more than 8 bits; see `to`.
    """

    query: Tensor
    target: Tensor
    images: Tensor
    masks: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return it on a device, in single precision."""
        tensors = (self.query, self.target, self.images, self.masks)
        return Batch(*(tensor.to(device, non_blocking=True).float() for tensor in tensors))


@dataclass(frozen=True, slots=True)
class Source:
    """Samples of a set that contain each label, and each sample's mean color."""

    name: str
    samples: list[Sample]
    holding: dict[int, NDArray[np.intp]]
    colors: NDArray[np.float32]


def split(data: DataSet, held_out: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Part a set by subject into training and validation.

    A set of fewer than eight subjects is all trained on.
    """
    subjects = sorted({sample.subject for sample in data.samples})
    if len(subjects) < 8:
        return data.samples, []
    order = np.random.default_rng(seed).permutation(len(subjects))
    kept = {subjects[index] for index in order[: max(2, round(held_out * len(subjects)))]}
    train = [sample for sample in data.samples if sample.subject not in kept]
    return train, [sample for sample in data.samples if sample.subject in kept]


def as_source(name: str, samples: list[Sample]) -> Source:
    """Look up once which samples hold which label (at least 0.2 % of the pixels)."""
    counts = [
        np.bincount(sample.mask.ravel(), minlength=256) / sample.mask.size for sample in samples
    ]
    shares = np.stack(counts)[:, 1:]
    holding = {
        int(label) + 1: np.flatnonzero(shares[:, label] > 0.002)
        for label in np.flatnonzero((shares > 0.002).sum(0) > 1)
    }
    colors = np.stack([sample.image.mean(axis=(0, 1)) for sample in samples]).astype(np.float32)
    return Source(name, samples, holding, colors)


class Episodes(torch.utils.data.Dataset[Batch]):
    """The batches of a training, by step.

    Parameters
    ----------
    config : IclConfig
    sources : list of Source
        Real sets; without any, all tasks are synthetic.
    """

    def __init__(self, config: IclConfig, sources: list[Source]) -> None:
        self._config = config
        self._sources = sources
        weights = np.array([config.set_weights.get(source.name, 1.0) for source in sources])
        self._weights = weights / weights.sum()
        self._parts = Parts(config.run / "parts")
        self._scenes = [
            source
            for source in sources
            if all(sample.instances is None for sample in source.samples)
        ]
        self._pools = [
            (Pool(config.run / f"pool_{size}", config.seed, size, count), share)
            for size, count, share in config.pools
        ]

    def __len__(self) -> int:
        return self._config.steps

    def __getitem__(self, step: int) -> Batch:
        config, rng = self._config, np.random.default_rng([self._config.seed, 7, step])
        stage = config.stage(step)
        sizes, weights = zip(*stage.sizes, strict=True)
        size = int(rng.choice(sizes, p=np.array(weights) / sum(weights)))
        supports = int(
            rng.choice(
                config.supports, p=np.array(config.support_weights) / sum(config.support_weights)
            )
        )
        budget = stage.budget / max(1.0, (size / 128) ** 2)
        supports = max(1, min(supports, int(budget) - 2))
        limit = min(config.pool_tasks, int(config.pool_start + config.pool_growth * step))
        return self._draw(rng, size, supports, limit, max(1, round(budget / (supports + 2))))

    def for_merge(self, step: int) -> Batch:
        """Return a batch of `training.train_merge`."""
        config, rng = self._config, np.random.default_rng([self._config.seed, 8, step])
        size, supports = int(rng.choice(config.merge_sizes)), int(rng.choice((1, 2, 3, 4, 6, 8)))
        return self._draw(rng, size, supports, config.pool_start, config.merge_tasks)

    def _draw(self, rng: Rng, size: int, supports: int, limit: int, tasks: int) -> Batch:
        pool, share = next(
            (entry for entry in self._pools if entry[0].size >= size), self._pools[-1]
        )
        limit = max(1, int(limit * share))
        drawn = [self._task(rng, pool, size, supports + 1, limit) for _ in range(tasks)]
        images = torch.from_numpy(np.stack([pairs.images.astype(np.float16) for pairs in drawn]))
        masks = torch.from_numpy(np.stack([pairs.masks.astype(np.float16) for pairs in drawn]))
        return Batch(images[:, 0], masks[:, 0], images[:, 1:], masks[:, 1:])

    def _task(self, rng: Rng, pool: Pool, size: int, count: int, limit: int) -> Pairs:
        """Draw tasks until one has foreground in a support, and mostly in the query."""
        while True:
            closer = self._config.closer > 0 and rng.random() < self._config.closer
            kind = rng.random() if self._sources else 1.0
            if kind < self._config.parts and self._scenes:
                source = self._scenes[rng.integers(len(self._scenes))]
                sample = source.samples[rng.integers(len(source.samples))]
                pairs = self._parts.task(rng, source.name, sample, size, count)
            elif kind < self._config.parts + self._config.real:
                source = self._sources[rng.choice(len(self._sources), p=self._weights)]
                pairs = real_task(rng, source, size, count, closer=closer)
            else:
                pairs = synthetic_task(
                    rng, pool.task(int(rng.integers(limit))), size, count, closer=closer
                )
            pairs = augment(rng, pairs)
            area = pairs.masks.mean(axis=(1, 2, 3))
            if (
                area[1:].max() > 0.002
                and area.max() < 0.98
                and (area[0] > 0.001 or rng.random() < 0.1)
            ):
                return pairs


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Images (H, W, 3) and masks (H, W) of one task, the query first."""

    images: list[NDArray[np.uint8]]
    masks: list[NDArray[np.bool_]]

    def object_crops(self, rng: Rng, size: int, *, smooth: bool) -> Pairs | None:
        """Cut crops around the foreground as the crop stages do.

        None where that is not possible.
        """
        crops = draw_object_crops(rng, self.masks)
        if crops is None:
            return None
        parts = []
        for image, mask, place in zip(self.images, self.masks, crops, strict=True):
            parts.append(cut_out(image, mask, place, size, smooth=smooth))
        return _joined(parts)

    def crops(self, rng: Rng, size: int, extent: float | None, *, smooth: bool) -> Pairs:
        """Cut crops of about a relative size, None for whole images."""
        parts = []
        for image, mask in zip(self.images, self.masks, strict=True):
            own = None if extent is None else extent * rng.uniform(0.85, 1.15)
            parts.append(crop(rng, image, mask, size, own, smooth=smooth))
        return _joined(parts)


def real_task(rng: Rng, source: Source, size: int, count: int, *, closer: bool = False) -> Pairs:
    """Draw pairs of one label, or of a union of labels, of a real set.

    The query is of another subject than the supports if there is one. With ``closer``, the pairs
    are crops around the foreground where that is possible.
    """
    label = int(rng.choice(list(source.holding)))
    chosen = _with_others(rng, source, label)
    holders = source.holding[label]
    query = int(holders[rng.integers(len(holders))])
    others = _candidates(rng, source, query, label, 2 * count)
    picks = rng.choice(others, count - 1, replace=len(others) < count - 1)
    extent = None if rng.random() < 0.5 else rng.uniform(0.35, 1.0)
    smooth = rng.random() < 0.7
    samples = [source.samples[index] for index in (query, *picks)]
    masks = [np.isin(sample.mask, chosen) for sample in samples]
    drawn = _Drawn([sample.image for sample in samples], masks)
    cut = drawn.object_crops(rng, size, smooth=smooth) if closer else None
    return cut or drawn.crops(rng, size, extent, smooth=smooth)


def _with_others(rng: Rng, source: Source, label: int) -> list[int]:
    """Return a label, sometimes with others of the set."""
    chosen = [label]
    if len(source.holding) > 1 and rng.random() < 0.25:
        for other in source.holding:
            if other != label and rng.random() < 0.5:
                chosen.append(int(other))
    return chosen


def _candidates(rng: Rng, source: Source, query: int, label: int, wanted: int) -> NDArray[np.intp]:
    """Return samples of a label to draw supports from.

    Of other subjects, sometimes of like color.
    """
    holders = source.holding[label]
    subject = source.samples[query].subject
    apart = [index for index in holders if source.samples[index].subject != subject]
    others = np.array(apart, dtype=np.intp)
    if not len(others):
        others = holders[holders != query]
    if len(others) > _MANY and rng.random() < 0.5:
        gaps = np.linalg.norm(source.colors[others] - source.colors[query], axis=1)
        nearest = np.argsort(gaps)[: max(wanted, 20)]
        others = others[nearest]
    return others


def synthetic_task(
    rng: Rng, task: NDArray[np.uint8], size: int, count: int, *, closer: bool = False
) -> Pairs:
    """Draw pairs of one label, or of a union of labels, of a synthetic task.

    ``closer`` is that of `real_task`.
    """
    order = rng.permutation(len(task))
    query = order[0]
    rest = order[1:]
    picks = rest[: count - 1] if len(rest) >= count - 1 else rng.choice(rest, count - 1)
    chosen = _draw_labels(rng, task[query, ::2, ::2, 3])
    whole = rng.random() < 0.6
    extent = rng.uniform(0.5, 1.0)
    pairs = [task[index] for index in (query, *picks)]
    masks = [np.isin(pair[..., 3], chosen) for pair in pairs]
    drawn = _Drawn([pair[..., :3] for pair in pairs], masks)
    cut = drawn.object_crops(rng, size, smooth=True) if closer else None
    return cut or drawn.crops(rng, size, None if whole else extent, smooth=True)


def _draw_labels(rng: Rng, query: NDArray[np.uint8]) -> list[int]:
    """Draw a label of the query, mostly not the background, and sometimes others with it."""
    labels = np.unique(query)
    if len(labels) > 1 and rng.random() < 0.8:
        labels = labels[labels > 0]
    chosen = [rng.choice(labels)]
    if len(labels) > 2 and rng.random() < 0.25:
        chosen += [other for other in labels if rng.random() < 0.4]
    return chosen


def validation_tasks(
    config: IclConfig, held: list[Source], size: int, supports: int, each: int
) -> list[Batch]:
    """Draw tasks that training never sees: new synthetic ones, and held-out subjects.

    ``each`` queries a task.
    """
    from training.synthetic import FAMILIES, draw_task

    batches = []
    rng = np.random.default_rng([config.validation_seed, 99, supports])
    for family in FAMILIES:
        scenes = draw_task(rng, config.pools[0][0], supports + each, family)
        pixels = np.rint(scenes.images * 255).astype(np.uint8)
        present = np.unique(scenes.labels[supports:])
        label = rng.choice(present[present > 0]) if present.max() > 0 else 0
        pairs = [
            crop(rng, p, m, size, None, smooth=True)
            for p, m in zip(pixels, scenes.labels == label, strict=True)
        ]
        batches.append(_as_batch(_joined(pairs), supports))
    for source in held:
        for label, holders in source.holding.items():
            picks = rng.choice(holders, supports + each, replace=len(holders) < supports + each)
            samples = [source.samples[index] for index in picks]
            pairs = [crop(rng, s.image, s.mask == label, size, None, smooth=True) for s in samples]
            batches.append(_as_batch(_joined(pairs), supports))
    return batches


def _as_batch(pairs: Pairs, supports: int) -> Batch:
    """Make a batch of one task, the supports first."""
    images = torch.from_numpy(own_range(pairs.images))
    masks = torch.from_numpy(pairs.masks)
    return Batch(
        query=images[supports:],
        target=masks[supports:],
        images=images[None, :supports],
        masks=masks[None, :supports],
    )


def _joined(parts: list[Pairs]) -> Pairs:
    return Pairs(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.masks for part in parts]),
    )
