"""Layers that are labels in another guise: masks opened as images, one layer for each object."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.turned_labels import turn_between
from napari_iclsam.files.label_values import as_labels
from napari_iclsam.files.space import ImageFile, Space

_MASK_WORDS = re.compile(r"(?<![a-z])(masks?|labels?|seg(mentations?)?|gt|annotations?)(?![a-z])")
"""Words in the names of layers that hold labels."""

_FEW = 8
"""At most so many values has a mask, of which one is 0."""

_SAMPLE = 250_000
"""About so many pixels are looked at to tell whether an image holds few values."""


@dataclass(frozen=True, slots=True, eq=False)
class JoinedLabels:
    """Labels of several layers in one, and how many pixels several of them claim."""

    layer: Labels
    overlap: int


def masks_among(images: Sequence[Layer]) -> list[Layer]:
    """Return the images that look like labels of another image of the same size."""
    masks = [image for image in images if looks_like_labels(image)]
    pictures = [image for image in images if image not in masks]
    found = []
    for mask in masks:
        # labels that are turned are converted first, then turned
        if any(not layers.misfit(each, mask) or turn_between(each, mask) for each in pictures):
            found.append(mask)
    return found


def looks_like_labels(image: Layer) -> bool:
    """Tell whether an image in memory holds a few whole numbers, 0 among them."""
    data = image.data
    if not isinstance(image, Image) or not isinstance(data, np.ndarray) or not data.size:
        return False
    step = max(1, round((data.size / _SAMPLE) ** (1 / data.ndim)))
    values = np.unique(data[(slice(None, None, step),) * image.ndim])
    is_whole = bool(np.all(np.mod(values, 1) == 0))
    is_named = _MASK_WORDS.search(image.name.lower().replace("_", " ")) is not None
    # a mask saved as a color picture, or numbered instances, are known by their names
    is_few = 2 <= len(values) <= _FEW or is_named
    return is_whole and is_few and values[0] == 0


def convert_to_labels(viewer: ViewerModel, image: Layer) -> Labels:
    """Put labels in the place of an image that holds them.

    Raises
    ------
    ValueError
        If its values are no labels; see `as_labels`.
    """
    is_color = bool(getattr(image, "rgb", False))
    file = ImageFile(Path(image.name), np.asarray(image.data), is_color, Space(""))
    array = as_labels(file).array
    spatial = layers.spatial(image)
    labels = Labels(array, name=image.name, metadata=dict(image.metadata), **spatial)
    place = viewer.layers.index(image)
    viewer.layers.remove(image)
    viewer.layers.insert(place, labels)
    return labels


def only_value(labels: Layer, index: tuple[Any, ...] = ()) -> int | None:
    """Return the label of labels in memory, or of a part of them; None if there are several."""
    values = np.unique(np.asarray(labels.data[index]))
    found = values[values != 0]
    return int(found[0]) if len(found) == 1 else None


def join_labels(parts: Sequence[Layer]) -> JoinedLabels:
    """Return labels 1, 2, ... of layers that hold one object each, named after the layers.

    Where two of them claim a pixel, it belongs to the later one.
    """
    joined: NDArray[Any] = np.zeros(layers.shape(parts[0]), np.uint8)
    overlap = 0
    for number, part in enumerate(parts, start=1):
        is_part = np.asarray(part.data) != 0
        overlap += int(np.count_nonzero(joined[is_part]))
        joined[is_part] = number
    names = [part.name for part in parts]
    layer = Labels(
        joined,
        name=" + ".join(names),
        features={"index": range(len(parts) + 1), "name": ["background", *names]},
        **layers.spatial(parts[0]),
    )
    return JoinedLabels(layer, overlap)
