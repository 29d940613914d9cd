"""Classifiers of single pixels, fitted to the same support: what any method has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from benchmarks.image_sets import Sample
from napari_iclsam.core.fusion.threshold import best_bin, histogram, lower_edge
from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.refinement.pixel_classifier import (
    PixelClassifier,
    fit_pixel_classifier,
    sample_pixels,
)


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
