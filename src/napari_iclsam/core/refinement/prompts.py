"""Box prompts from a probability map: opening, components, tight boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.recipe import Recipe

Boxes = NDArray[np.int64]
"""(n, 4): x0, y0, x1, y1, the smallest and largest pixel index, both inside."""

_SQUARE = np.ones((3, 3), dtype=bool)
_SHRINK_TO = 0.9


def find_boxes(probabilities: Tensor, size: tuple[int, int], recipe: Recipe) -> tuple[Boxes, ...]:
    """Return the box prompts of each label from probabilities (L, 1, h, w).

    Boxes are in pixels of an image of the size (H, W).
    """
    on_image = resize(probabilities, size)[:, 0]
    masks = (on_image > 0.5).cpu().numpy()
    boxes = []
    for mask in masks:
        opened = open_until_shrunk(mask)
        # opening erases a vessel of a few pixels, which would be left without any prompt
        if recipe.box_thin_masks and not opened.any():
            opened = mask
        boxes.append(boxes_of(opened, recipe.min_component, recipe.max_boxes))
    return tuple(boxes)


def open_until_shrunk(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Open a mask as Hu et al. 2024 do.

    Erode with a 3 x 3 square at least once and until the area is at most 0.9 of what it was (pixels
    outside the image count as background), then dilate as often.
    """
    area = int(mask.sum())
    eroded = mask
    times = 0
    # in proportion to the area: one step hardly changes a large mask
    while times == 0 or int(eroded.sum()) > _SHRINK_TO * area:
        eroded = ndimage.binary_erosion(eroded, _SQUARE)
        times += 1
        if not eroded.any():
            return np.asarray(eroded)
    return np.asarray(ndimage.binary_dilation(eroded, _SQUARE, iterations=times))


def boxes_of(mask: NDArray[np.bool_], min_component: float, max_boxes: int) -> Boxes:
    """Return a tight box for the largest 4-connected component and each other of sufficient size.

    Parameters
    ----------
    mask : ndarray, (H, W), bool
    min_component : float
        Fraction of the largest component's area that another one must exceed.
    max_boxes : int
        If there are more, the largest components.

    Returns
    -------
    ndarray, (n, 4), int64
        The largest component first, the others from top to bottom. Empty if the mask is.
    """
    components, count = ndimage.label(mask)
    if count == 0:
        return np.zeros((0, 4), np.int64)
    areas = np.bincount(components.ravel())[1:]
    # stable, so that of equal components the upper one comes first everywhere
    order = np.argsort(-areas, kind="stable")
    smallest = min_component * areas[order[0]]
    large = [index for index in order[1:max_boxes] if areas[index] > smallest]
    others = sorted(large)
    slices: list[Any] = ndimage.find_objects(components)
    boxes = []
    for index in (order[0], *others):
        rows, columns = slices[index]
        boxes.append((columns.start, rows.start, columns.stop - 1, rows.stop - 1))
    return np.array(boxes, np.int64)
