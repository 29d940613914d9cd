"""Sample data as napari wants it: lists of layers. Does not import napari."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_iclsam import samples

LayerData = tuple[NDArray[Any], dict[str, Any], str]
"""What npe2 makes a layer of: its data, its properties by name, its kind."""


def brain() -> list[LayerData]:
    """Return the brain template, the hidden truth, and labels of its matter on three slices."""
    return _layers(samples.brain(), ("z", "y", "x"))


def cells() -> list[LayerData]:
    """Return tiles of a stained tissue section, the hidden truth, and labels of three tiles."""
    return _layers(samples.cells(), ("tile", "y", "x"))


def _layers(sample: samples.Sample, axes: tuple[str, ...]) -> list[LayerData]:
    place: dict[str, Any] = {
        "scale": sample.spacing,
        "units": (sample.unit,) * 3,
        "axis_labels": axes,
    }
    names = {0: "background", **sample.names}
    # napari shows the features of a label beside the pointer.
    features = {
        "index": list(names),
        "name": list(names.values()),
    }
    image = {
        "name": sample.name,
        "metadata": {"source": sample.source},
        **place,
    }
    # napari would guess it from the last axis, and guess wrong for a stack three pixels wide.
    if sample.image.ndim == 4:
        image["rgb"] = True
    labels = {"name": f"{sample.name} labels", "features": features, **place}
    # Hidden, for it is there to compare with, not to learn from.
    truth = {
        **labels,
        "name": f"{sample.name} truth",
        "visible": False,
    }
    return [
        (sample.image, image, "image"),
        (sample.truth, truth, "labels"),
        (sample.labels, labels, "labels"),
    ]
