"""Results of planes that are larger than memory: layers that are read from disk."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.label_styles import features_of
from napari_iclsam._qt.viewer.overlays import overlays_added_later
from napari_iclsam._qt.viewer.result_style import ResultStyle
from napari_iclsam.core.band_canvas import Band
from napari_iclsam.core.objects.instances import Separation
from napari_iclsam.files.label_pyramid import LabelPyramid
from napari_iclsam.files.label_rows import LabelRows
from napari_iclsam.files.space import Space
from napari_iclsam.files.units import is_length, unit_of


@dataclass(frozen=True, slots=True, eq=False)
class LargeResult:
    """A result on disk.

    Attributes
    ----------
    image : Layer
    level : int
        Of a multiscale image.
    folder : Path
        Holds all of it.
    labels : LabelPyramid
    certainty : LabelRows
        How likely each pixel has its label, 255 for 1.
    separations : dict of int to Separation
        By label: how touching objects are told apart, where examples teach it.
    """

    image: Layer
    level: int
    folder: Path
    labels: LabelPyramid
    certainty: LabelRows
    separations: dict[int, Separation]


_RESULTS: WeakKeyDictionary[Layer, LargeResult] = WeakKeyDictionary()
"""Of the layers of all viewers."""


def large_result(layer: Layer | None) -> LargeResult | None:
    """Return what is known of a layer; None if it is no result on disk of this session."""
    return None if layer is None else _RESULTS.get(layer)


def newest_large_result(viewer: ViewerModel, image: Layer) -> Labels | None:
    """Return the newest result on disk of an image that is still in the viewer."""
    for layer in reversed(viewer.layers):
        known = large_result(layer)
        if known is not None and known.image is image and isinstance(layer, Labels):
            return layer
    return None


def make_pyramid(path: Path, like: Layer, level: int, dtype: Any) -> LabelPyramid:
    """Make empty labels on disk for a level of an image, or of labels, with its pixel size."""
    height, width = layers.shape(like, level)
    return LabelPyramid.create(path, (height, width), _space(like, level), dtype)


def show_pyramid(viewer: ViewerModel, pyramid: LabelPyramid, **arguments: Any) -> Labels:
    """Show labels on disk in a new layer."""
    # a single level is shown as a plain layer, which napari does not take for a pyramid of one
    data: Any = pyramid.levels if len(pyramid.levels) > 1 else pyramid.levels[0]
    layer = Labels(data, multiscale=len(pyramid.levels) > 1, **arguments)
    with overlays_added_later(layer):
        viewer.add_layer(layer)
    return layer


class LargeWriter:
    """Writes the rows of one large plane, which cannot be painted in.

    Parameters
    ----------
    viewer : ViewerModel
    image : Layer
    level : int
    style : ResultStyle
    """

    def __init__(self, viewer: ViewerModel, image: Layer, level: int, style: ResultStyle) -> None:
        self._viewer = viewer
        self._is_stale = False
        # left there when napari ends: a result may have taken hours
        folder = Path(tempfile.mkdtemp(prefix="napari-iclsam-"))
        pyramid = make_pyramid(folder / "labels.ome.zarr", image, level, style.dtype)
        height, width = layers.shape(image, level)
        certainty = LabelRows.create(folder / "certainty.zarr", (height, width), np.uint8)
        colors = {} if style.colormap is None else {"colormap": style.colormap}
        self.labels = show_pyramid(
            viewer,
            pyramid,
            name=f"{image.name} [ICL-SAM]",
            # without models: it cannot be painted, and so is no source of examples
            metadata={**image.metadata, layers.PROVENANCE: {"image": image.name}},
            features=features_of(style.styles) or None,
            **layers.spatial(image, level),
            **colors,
        )
        self._result = LargeResult(image, level, folder, pyramid, certainty, {})
        _RESULTS[self.labels] = self._result

    @property
    def is_alive(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.labels in self._viewer.layers

    @property
    def sentence(self) -> str:
        """Where the result is, for the user."""
        place = self._result.folder / "labels.ome.zarr"
        return f"It is too large for memory and was written to {place}: copy it to keep it."

    def write(self, bands: Sequence[Band], separations: Mapping[int, Separation]) -> None:
        """Write rows that are finished; `refresh` shows them."""
        self._result.separations.update(separations)
        for band in bands:
            self._result.labels[band.rows] = band.labels
            self._result.certainty[band.rows] = (255 * band.certainty + 0.5).astype(np.uint8)
            self._is_stale = True

    def refresh(self) -> None:
        """Show what was written since the last time."""
        if self._is_stale:
            self.labels.refresh()
            self._is_stale = False


def _space(layer: Layer, level: int) -> Space:
    """Return how large pixels are, if the layer says it."""
    sizes = layers.spatial(layer, level)["scale"]
    units = {unit_of(str(unit)) for unit in layer.units}
    unit = units.pop() if len(units) == 1 else ""
    if not is_length(unit):
        return Space("YX")
    return Space("YX", tuple(abs(float(size)) for size in sizes), unit)
