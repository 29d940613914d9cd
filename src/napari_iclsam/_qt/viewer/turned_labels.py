"""Labels stored in another orientation than their image, turned onto its grid exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_iclsam._qt.viewer import layers
from napari_iclsam.files.orientation import Turn, same_grid_turn
from napari_iclsam.files.space import Nifti


def turn_between(image: Layer | None, labels: Layer | None) -> Turn | None:
    """Return the turn that brings labels onto the grid of an image.

    None if they lie like it, or on another grid: then only resampling could help, which is not done
    here.
    """
    if image is None or labels is None or labels.multiscale:
        return None
    # readers of NIfTI place each file; where nobody did, pixels fit pixel by pixel
    is_placed = not np.array_equal(_world(labels)[:-1, :-1], np.eye(labels.ndim))
    if image.ndim != labels.ndim or labels.ndim not in (2, 3) or not is_placed:
        return None
    turn = same_grid_turn(_grid_of(labels), _grid_of(image))
    return None if turn is None or turn.is_identity else turn


def turned_onto(image: Layer, labels: Layer, turn: Turn) -> Labels:
    """Return labels as a layer that lies like their image."""
    volume = labels.data.reshape(_three(labels.data.shape))
    turned = turn.apply(volume).reshape(layers.shape(image))
    # lazy labels stay so; of those in memory, painting in one must not change the other
    data = turned.copy()
    return Labels(
        data,
        name=f"{labels.name} (turned)",
        features=labels.features,
        colormap=labels.colormap,
        metadata=dict(labels.metadata),
        **layers.spatial(image),
    )


def _grid_of(layer: Layer) -> Nifti:
    """Return the affine and shape of a layer as those of a volume, with axes of size one."""
    affine = np.eye(4)
    axes = [*range(layer.ndim), 3]
    affine[np.ix_(axes, axes)] = _world(layer)
    return Nifti(affine, None, _three(layers.shape(layer)))


def _world(layer: Layer) -> NDArray[np.float64]:
    """Return the matrix from pixels of a layer to the world, (n + 1, n + 1)."""
    own = Affine(
        scale=layer.scale, translate=layer.translate, rotate=layer.rotate, shear=layer.shear
    )
    return np.asarray(layer.affine.affine_matrix @ own.affine_matrix)


def _three(shape: tuple[int, ...]) -> tuple[Any, ...]:
    return (*shape, 1)[:3]
