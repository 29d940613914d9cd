"""Labels with axes of size one in front that their image has not, such as a channel."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels, Layer

from napari_iclsam._qt.viewer import layers


def extra_axes(image: Layer | None, labels: Layer | None) -> int:
    """Return how many axes of size one labels have in front, if they fit an image without them."""
    if image is None or labels is None:
        return 0
    extra = max(0, labels.ndim - image.ndim)
    size = layers.shape(labels)
    fits = size[extra:] in layers.shapes(image)
    return extra if fits and set(size[:extra]) == {1} else 0


def without_axes(labels: Layer, extra: int) -> Labels:
    """Return labels without axes of size one in front, on the same array."""
    parts = [level[(0,) * extra] for level in layers.levels(labels)]
    data: Any = parts if labels.multiscale else parts[0]
    return Labels(
        data,
        multiscale=labels.multiscale,
        name=f"{labels.name} (without axis)",
        features=labels.features,
        colormap=labels.colormap,
        metadata=dict(labels.metadata),
        scale=labels.scale[extra:],
        translate=labels.translate[extra:],
        units=labels.units[extra:],
        axis_labels=labels.axis_labels[extra:],
    )
