"""Linear probe on SAM's features: the semantic confidence map (Hu et al. 2024)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor

from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.recipe import Recipe
from napari_iclsam.core.refinement.similarity import FeatureSimilarity, fit_similarity


@dataclass(frozen=True, slots=True)
class Probe:
    """One logistic regression a label on the features of a cell.

    Attributes
    ----------
    weights : Tensor, (L, F)
    intercepts : Tensor, (L,)
    similarity : FeatureSimilarity, optional
        None where the recipe leaves it out.
    """

    weights: Tensor
    intercepts: Tensor
    similarity: FeatureSimilarity | None = None

    def logits(self, embedding: Embedding) -> Tensor:
        """Return w . f + b of each cell of the grid, padding included, (L, 1, G, G)."""
        features = embedding.features.embedding[0]
        products = torch.einsum("lf,fhw->lhw", self.weights, features)
        grid = products + self.intercepts[:, None, None]
        return grid[:, None]

    def confidence(self, embedding: Embedding) -> Tensor:
        """Return the semantic confidence map of each label on the image, (L, 1, H, W) in [0, 1].

        The grid of a non-square image contains padding, which is cropped away before the map is
        resized.
        """
        return embedding.frame.grid_to_image(torch.sigmoid(self.logits(embedding)))


def fit_probe(
    embeddings: Sequence[Embedding],
    masks: Sequence[NDArray[np.bool_]],
    recipe: Recipe,
    known: Sequence[NDArray[np.bool_]] | None = None,
) -> Probe:
    """Fit a logistic regression for each label on the cells of the support embeddings.

    Class weights are balanced and C = 1 (Hu et al. 2024). The class of a cell is that of the mask
    at one of its points (`Recipe.cell_center`). Cells in the padding do not count, nor do those
    of which it is not known there.

    Parameters
    ----------
    embeddings : sequence of Embedding
        Of the K support images.
    masks : sequence of ndarray, (L, H, W), bool
        Of the K support images, one mask a label.
    recipe : Recipe
        ``probe_cells`` bounds the number of cells; more are subsampled with ``seed``.
    known : sequence of ndarray, (H, W), bool, optional
        Pixels of the K support images that count; by default all.

    Returns
    -------
    Probe
        A label without any cell, or with nothing but cells, gets a flat map: weights 0, intercept
        0.
    """
    features = [_cell_features(embedding) for embedding in embeddings]
    samples = np.concatenate(features)
    classes = _cell_classes(embeddings, masks, recipe.cell_center)
    targets = np.concatenate(classes, axis=1)
    if known is not None:
        as_masks = [of_image[None] for of_image in known]
        cells = _cell_classes(embeddings, as_masks, recipe.cell_center)
        counted = np.concatenate(cells, axis=1)[0]
        samples = samples[counted]
        targets = targets[:, counted]
    if len(samples) > recipe.probe_cells:
        rng = np.random.default_rng(recipe.seed)
        # sorted: the order of sums, and so the last digits, stays that of the images
        drawn = rng.choice(
            len(samples),
            recipe.probe_cells,
            replace=False,
        )
        chosen = np.sort(drawn)
        samples = samples[chosen]
        targets = targets[:, chosen]
    # one against the rest for each label, since labels may overlap in a cell
    fits = np.stack([_fit_label(samples, target) for target in targets])
    device = embeddings[0].features.embedding.device
    weights = torch.from_numpy(fits[:, :-1]).to(device, torch.float32)
    intercepts = torch.from_numpy(fits[:, -1]).to(device, torch.float32)
    similarity = None
    if recipe.feature_similarity:
        similarity = fit_similarity(embeddings, masks, recipe, known)
    return Probe(weights, intercepts, similarity)


def mean_similarity(probes: Sequence[Probe], embeddings: Sequence[Embedding]) -> Tensor | None:
    """Return the mean log-odds (L, 1, H, W) of what resembles the object; None without any.

    Parameters
    ----------
    probes : sequence of Probe
        One a promptable model.
    embeddings : sequence of Embedding
        Of a query, one a promptable model.
    """
    found = []
    for probe, embedding in zip(probes, embeddings, strict=True):
        if probe.similarity is not None:
            found.append(probe.similarity.log_odds(embedding))
    return torch.stack(found).mean(dim=0) if found else None


def _cell_features(embedding: Embedding) -> NDArray[np.float32]:
    """Return the features of the cells on the image, (cells, F)."""
    cells = embedding.cells.flatten(1).T.float().cpu().numpy()
    return np.asarray(cells, np.float32)


def _cell_classes(
    embeddings: Sequence[Embedding], masks: Sequence[NDArray[np.bool_]], cell_center: float
) -> list[NDArray[np.bool_]]:
    """Return the class of each cell on the images by label, (L, cells) pair by pair."""
    classes = []
    for embedding, by_label in zip(embeddings, masks, strict=True):
        frame = embedding.frame
        grid = embedding.features.embedding.shape[-1]
        of_image = [_read_cells(mask, frame, grid, cell_center) for mask in by_label]
        classes.append(np.stack(of_image))
    return classes


def _read_cells(
    mask: NDArray[np.bool_], frame: Frame, grid: int, cell_center: float
) -> NDArray[np.bool_]:
    """Read a mask (H, W) once in each cell on the image, flat.

    The published code reads the top left corner (0), as resizing by nearest neighbors does.
    """
    indices = []
    for cells, scaled, pixels in zip(frame.cells(grid), frame.scaled, mask.shape, strict=True):
        cell_size = (frame.side / grid) * (pixels / scaled)
        positions = (np.arange(cells) + cell_center) * cell_size
        # the last cell may reach into the padding
        indices.append(np.minimum(positions.astype(int), pixels - 1))
    return mask[np.ix_(*indices)].ravel()


def _fit_label(samples: NDArray[np.float32], target: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the weights and, last, the intercept."""
    # a regression needs both classes; a flat map guides nothing
    if target.all() or not target.any():
        return np.zeros(samples.shape[1] + 1)
    model = LogisticRegression(
        C=1.0,
        class_weight="balanced",
        max_iter=300,
    )
    # more threads would wait for each other at every step
    with warnings.catch_warnings(), threadpool_limits(1, "blas"):
        # a map that has nearly converged guides as well
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(samples, target)
    return np.append(model.coef_[0], model.intercept_[0])
