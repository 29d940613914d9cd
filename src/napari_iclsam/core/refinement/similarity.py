"""What resembles an object by the features of promptable models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.recipe import Recipe
from napari_iclsam.models.ridge import RidgeClassifier, fit_ridge

_COMPONENTS = 128
"""Principal components of the features that are kept."""

_RIDGE = 0.1
"""Weight of the squared norm in the regression, relative to the mean variance of the components."""

_GAIN = 3.0
"""Log-odds of a similarity of 1, which is that of the object's cells in the examples."""


@dataclass(frozen=True, slots=True)
class FeatureSimilarity:
    """Ridge regressions of the features of a promptable model, one a label.

    Attributes
    ----------
    mean : Tensor, (F,)
        Of the features of the examples' cells.
    basis : Tensor, (F, C)
        Their principal components.
    classifier : RidgeClassifier
        Of the components, a task a label.
    """

    mean: Tensor
    basis: Tensor
    classifier: RidgeClassifier

    def log_odds(self, embedding: Embedding) -> Tensor:
        """Return log-odds of each label on the image, (L, 1, H, W)."""
        features = embedding.features.embedding[0]
        cells = (features.flatten(1).T.float() - self.mean) @ self.basis
        labels = len(self.classifier.mean)
        values = self.classifier.similarity(cells[None])
        grid = values.reshape(labels, 1, *features.shape[-2:])
        return _GAIN * embedding.frame.grid_to_image(grid)


def fit_similarity(
    embeddings: Sequence[Embedding],
    masks: Sequence[NDArray[np.bool_]],
    recipe: Recipe,
    known: Sequence[NDArray[np.bool_]] | None = None,
) -> FeatureSimilarity:
    """Fit a ridge regression for each label on the cells of the support embeddings.

    Parameters
    ----------
    embeddings : sequence of Embedding
        Of the K support images.
    masks : sequence of ndarray, (L, H, W), bool
        Of the K support images, one mask a label.
    recipe : Recipe
        ``probe_cells`` bounds the number of cells, as for the probe.
    known : sequence of ndarray, (H, W), bool, optional
        Pixels of the K support images that count; by default all.

    Returns
    -------
    FeatureSimilarity
        Of a label without any cell, or with nothing but cells, all log-odds are 0.
    """
    features = []
    shares = []
    counts = []
    # one at least, of however many examples
    most = max(1, recipe.probe_cells // len(embeddings))
    rng = np.random.default_rng(recipe.seed)
    for pair, (embedding, of_image) in enumerate(zip(embeddings, masks, strict=True)):
        cells = embedding.cells.flatten(1).T.float()
        counted_there = np.ones_like(of_image[0]) if known is None else known[pair]
        chosen = _chosen_cells(len(cells), most, rng)
        features.append(cells[chosen])
        shares.append(_shares(embedding, of_image)[:, chosen])
        counts.append(_shares(embedding, counted_there[None])[:, chosen])
    cells = torch.cat(features)
    mean = cells.mean(dim=0)
    basis = _principal_components(cells - mean)
    components = (cells - mean) @ basis
    inside = torch.cat(shares, dim=1)
    counted = torch.cat(counts, dim=1)[0]
    fits = []
    # one label after the other: there may be many
    for of_label in inside:
        around = (1 - of_label) * counted
        fits.append(_fit_label(components, of_label * counted, around))
    means = torch.cat([fit.mean for fit in fits])
    weights = torch.cat([fit.weights for fit in fits])
    return FeatureSimilarity(mean, basis, RidgeClassifier(means, weights))


def _chosen_cells(count: int, most: int, rng: np.random.Generator) -> Tensor:
    """Return indices of at most so many cells."""
    if count <= most:
        return torch.arange(count)
    return torch.from_numpy(np.sort(rng.choice(count, most, replace=False)))


def _fit_label(components: Tensor, inside: Tensor, around: Tensor) -> RidgeClassifier:
    """Fit a regression to components (n, C), given the weights (n,) of both classes."""
    # a regression needs both classes
    if not (inside.any() and around.any()):
        nothing = torch.zeros_like(components[:1])
        return RidgeClassifier(nothing, nothing[..., None])
    return fit_ridge(components[None], inside[None], around[None], _RIDGE)


def _shares(embedding: Embedding, masks: NDArray[np.bool_]) -> Tensor:
    """Return the share of masks (L, H, W) in each cell on the image, (L, cells)."""
    frame = embedding.frame
    cells = embedding.features.embedding
    maps = torch.from_numpy(masks.astype(np.float32))[:, None].to(cells.device)
    on_grid = frame.image_to_grid(maps, cells.shape[-1])
    return frame.crop_grid(on_grid)[:, 0].flatten(1)


def _principal_components(centered: Tensor) -> Tensor:
    """Return the directions (F, C) of the largest variance of cells (n, F)."""
    covariance = centered.T @ centered / len(centered)
    # of a small matrix: not all devices have a decomposition
    directions = torch.linalg.eigh(covariance.cpu()).eigenvectors
    basis: Tensor = directions[:, -_COMPONENTS:].to(centered.device)
    return basis
