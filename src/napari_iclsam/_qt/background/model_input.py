"""An example as it is given to the models: 8-bit colors for SAM, small for the in-context model."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam._qt.run.request import Pair
from napari_iclsam.core.images.intensity import as_rgb8, unit_channels
from napari_iclsam.core.recipe import resolve
from napari_iclsam.core.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class ModelInput:
    """An example as it is given to the models.

    Attributes
    ----------
    rgb : ndarray, (H, W, 3), uint8
        Before it is resized for SAM.
    labels : ndarray, (H, W)
    small : ndarray, (s, s, 3), uint8
        Colors or grey values of the in-context model.
    small_labels : ndarray, (s, s)
    ids : tuple of int
        Labels that occur.
    is_grey : bool
        Whether the in-context model takes no colors.
    """

    rgb: NDArray[np.uint8]
    labels: NDArray[Any]
    small: NDArray[np.uint8]
    small_labels: NDArray[Any]
    ids: tuple[int, ...]
    is_grey: bool


def model_input_steps(
    pair: Pair, icl: str, settings: Settings
) -> Generator[None, None, ModelInput]:
    """Return an example as it is given to the models, if it is the only one.

    Parameters
    ----------
    pair : Pair
    icl : str
        Name or path of the in-context model.
    settings : Settings
    """
    # the worker can be stopped before it imports torch
    yield
    import torch

    from napari_iclsam.core.images.geometry import resize_mask
    from napari_iclsam.core.in_context.coarse_to_fine import full_image_side
    from napari_iclsam.core.in_context.runner import in_context_input
    from napari_iclsam.models.build import icl_class

    rgb = as_rgb8(pair.read_image())
    labels = pair.read_labels()
    network = icl_class(icl)
    recipe = resolve(settings)
    ids = tuple(np.unique(labels[labels > 0]).tolist())
    # of each label, its masks in each image: here one image
    masks = [[labels == label] for label in ids] or [[labels > 0]]
    side = full_image_side(network.image_sizes, masks, recipe)
    channels = torch.from_numpy(unit_channels(rgb, network.image_channels, settings.channel))
    # as support images are: scaled to [0, 1] again after they were resized
    unit = in_context_input(channels, side, antialias=recipe.antialias, rescale=True)[0]
    small = (255 * unit).byte().expand(3, -1, -1).permute(1, 2, 0)
    small_labels = resize_mask(labels, (side, side))[0, 0].numpy()
    return ModelInput(
        rgb=rgb,
        labels=labels,
        small=small.numpy(),
        small_labels=small_labels.astype(labels.dtype),
        ids=ids,
        is_grey=network.image_channels == 1,
    )
