"""Linear probe on SAM's features -> semantic confidence map (Hu et al. 2024)."""

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

from napari_iclsam.core.encoder.cache import Embedding
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Probe:
    """One logistic regression a label on the features of a cell.

    Attributes
    ----------
    weights : Tensor, (L, F)
    intercepts : Tensor, (L,)
    """

    weights: Tensor
    intercepts: Tensor

    def logits(self, embedding: Embedding) -> Tensor:
        """Return w . f + b of each cell on the image, as (L, 1, H, W) resized bilinearly after the logistic function.

        The grid of a non-square image contains padding, which is cropped away before the map is resized.
        """
        features = embedding.features.embedding[0]
        grid = torch.einsum("lf,fhw->lhw", self.weights, features) + self.intercepts[:, None, None]
        return grid[:, None]

    def confidence(self, embedding: Embedding) -> Tensor:
        """Return the semantic confidence map of each label on the image, (L, 1, H, W) in [0, 1]."""
        return embedding.frame.grid_to_image(torch.sigmoid(self.logits(embedding)))


def fit_probe(
    embeddings: Sequence[Embedding],
    masks: Sequence[NDArray[np.bool_]],
    settings: Settings,
) -> Probe:
    """Fit a logistic regression for each label on the cells of the support embeddings.

    Class weights are balanced and C = 1 (Hu et al. 2024). The class of a cell is the support mask resized to the grid
    by nearest neighbours (in "auto" mode at the centre of the cell). Cells in the padding do not count.

    Parameters
    ----------
    embeddings : sequence of Embedding
        Of the K support images.
    masks : sequence of ndarray, (L, H, W), bool
        Of the K support images, one mask a label.
    settings : Settings
        ``probe_cells`` bounds the number of cells; more are subsampled with ``seed``.

    Returns
    -------
    Probe
        A label without any cell, or with nothing but cells, gets a flat map: weights 0, intercept 0.
    """
    cells, classes = [], []
    for embedding, mask in zip(embeddings, masks, strict=True):
        frame, features = embedding.frame, embedding.features.embedding[0]
        grid = features.shape[-1]
        valid = frame.crop_grid(features)
        cells.append(valid.flatten(1).T.float().cpu().numpy())
        at = 0.0 if settings.mode == "paper" else 0.5
        classes.append(np.stack([_cell_classes(m, frame, grid, at) for m in mask]))
    samples, targets = np.concatenate(cells), np.concatenate(classes, axis=1)
    if len(samples) > settings.probe_cells:
        chosen = np.random.default_rng(settings.seed).choice(len(samples), settings.probe_cells, replace=False)
        samples, targets = samples[np.sort(chosen)], targets[:, np.sort(chosen)]
    fits = [_fit_one(samples, target) for target in targets]
    like = embeddings[0].features.embedding
    return Probe(
        torch.from_numpy(np.stack([f[:-1] for f in fits])).to(like.device, torch.float32),
        torch.tensor([float(f[-1]) for f in fits], device=like.device, dtype=torch.float32),
    )


def _cell_classes(mask: NDArray[np.bool_], frame: Frame, grid: int, at: float) -> NDArray[np.bool_]:
    """Return the class of each cell on the image, flat: the mask's where ``at`` is, from 0 (top left) to 0.5 (centre).

    The published code reads the top left corner, as resizing by nearest neighbours does.
    """
    axes = []
    for cells, scaled, pixels in zip(frame.cells(grid), frame.scaled, mask.shape, strict=True):
        places = (np.arange(cells) + at) * (frame.side / grid) * (pixels / scaled)
        axes.append(np.minimum(places.astype(int), pixels - 1))
    return mask[np.ix_(*axes)].ravel()


def _fit_one(samples: NDArray[np.float32], target: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the weights and, last, the intercept."""
    if target.all() or not target.any():
        return np.zeros(samples.shape[1] + 1)
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=300)
    with warnings.catch_warnings(), threadpool_limits(1, "blas"):  # more threads wait for each other at every step
        warnings.simplefilter("ignore", ConvergenceWarning)  # a map that is nearly converged guides as well
        model.fit(samples, target)
    return np.append(model.coef_[0], model.intercept_[0])
