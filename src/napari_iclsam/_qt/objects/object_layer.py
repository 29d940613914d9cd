"""The layer that shows objects by their ids, beside the result that they are parts of."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_iclsam._qt.objects.object_steps import FoundObjects, LargeQuest, ObjectQuest
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.label_styles import names_of
from napari_iclsam._qt.viewer.large_results import LargeResult, make_pyramid
from napari_iclsam._qt.viewer.results import ResultRecord
from napari_iclsam.core.objects.measure import Scale
from napari_iclsam.files.label_pyramid import LabelPyramid

_SUFFIX = " objects"

_SMALLEST = 40.0
"""An object that is gone to is at least so many pixels of the screen long."""


def quest_of(labels: Labels, record: ResultRecord) -> ObjectQuest:
    """Return what to measure of a result as it is now."""
    image = record.image
    array = layers.levels(image)[record.level] if _fits(image, record.level, labels) else None
    axis = record.orientation.axis if labels.ndim == 3 else None
    return ObjectQuest(
        np.array(labels.data, np.int32),
        array,
        axis,
        scale_of(labels),
        _certainty(labels, record),
        dict(record.separations),
    )


def large_quest_of(labels: Labels, result: LargeResult) -> LargeQuest:
    """Return what to measure of a result on disk; ids are written beside it."""
    place = result.folder / f"objects-{uuid.uuid4().hex[:6]}.ome.zarr"
    return LargeQuest(
        result.labels,
        result.certainty,
        layers.levels(result.image)[result.level],
        make_pyramid(place, labels, 0, np.int32),
        scale_of(labels),
        result.separations,
    )


def _certainty(labels: Labels, record: ResultRecord) -> NDArray[np.uint8] | None:
    """Return how sure the method is of each pixel, 255 for certain; None if it is not known."""
    if not record.certainty:
        return None
    # slices of the examples are a person's own
    certainty = np.full(record.shape, 255, np.uint8)
    for position, of_slice in record.certainty.items():
        certainty[record.orientation.index(position)] = of_slice
    return certainty if record.shape == layers.shape(labels) else None


def reason_against(labels: Labels | None) -> str:
    """Return why objects cannot be found in a result, in words; empty if they can."""
    if labels is None:
        return "There is no result yet: press Segment."
    if labels.ndim not in (2, 3):
        return f"Objects are found in planes and stacks; this result has {labels.ndim} axes."
    return ""


def scale_of(layer: Layer) -> Scale:
    """Return the distance of pixels of a layer, and its unit."""
    spacing = tuple(abs(float(size)) for size in layer.scale)
    units = {str(unit) for unit in layer.units}
    # axes of different units have no common length
    if len(units) != 1:
        return Scale.pixels(layer.ndim)
    return Scale(spacing, units.pop())


def show_objects(viewer: ViewerModel, labels: Labels, found: FoundObjects) -> Labels:
    """Show objects in their own layer on top of a result, which is hidden."""
    name = f"{labels.name}{_SUFFIX}"
    features = found.table.features() | _names(labels, found)
    layer = _previous(viewer, name, labels)
    if layer is None:
        layer = Labels(
            _data(found),
            # a list of arrays is a pyramid, whatever their sizes
            multiscale=isinstance(found.ids, LabelPyramid),
            name=name,
            features=features,
            metadata=_metadata(labels),
            **layers.spatial(labels),
        )
        viewer.add_layer(layer)
    else:
        layer.data = _data(found)
        layer.features = features
    labels.visible = False
    layer.visible = True
    return layer


def go_to_object(viewer: ViewerModel, layer: Labels, row: dict[str, float]) -> None:
    """Center the view on an object.

    Parameters
    ----------
    viewer : ViewerModel
    layer : Labels
        Of the objects.
    row : dict of str to float
        Measurements of the object.
    """
    axes = "zyx"[-layer.ndim :]
    sizes = scale_of(layer).spacing
    at = [row[f"centroid_{axis}"] / size for axis, size in zip(axes, sizes, strict=True)]
    world = np.asarray(layer.data_to_world(at), float)
    viewer.dims.set_point(range(viewer.dims.ndim - len(world), viewer.dims.ndim), world)
    shown = [axis - (viewer.dims.ndim - len(world)) for axis in viewer.dims.displayed]
    camera = camera_of(viewer)
    camera.center = tuple(world[axis] for axis in shown)
    length = max(row["axis_major_length"], min(sizes))
    if camera.zoom * length < _SMALLEST:
        camera.zoom = _SMALLEST / length
    layer.selected_label = int(row["id"])


def camera_of(viewer: ViewerModel) -> Any:
    """Return the camera of a viewer."""
    # napari 0.9 has moved it
    return getattr(viewer, "scene", viewer).camera


def _data(found: FoundObjects) -> Any:
    """Return what a layer shows of objects."""
    return found.ids.levels if isinstance(found.ids, LabelPyramid) else found.ids


def _metadata(labels: Labels) -> dict[str, Any]:
    # with models it would be taken for a copy of the result, and for examples
    image = labels.metadata.get(layers.PROVENANCE, {}).get("image", "")
    return {**labels.metadata, layers.PROVENANCE: {"image": image}}


def _fits(image: Layer, level: int, labels: Labels) -> bool:
    return layers.shape(image, level) == layers.shape(labels)


def _names(labels: Labels, found: FoundObjects) -> dict[str, NDArray[Any]]:
    """Return a column with the name of each object's label, if labels have names."""
    known = names_of(labels)
    if not known:
        return {}
    names = [known.get(int(label), "") for label in found.labels]
    # the background is no object of a label
    names[0] = "background"
    return {"name": np.array(names, object)}


def _previous(viewer: ViewerModel, name: str, labels: Labels) -> Labels | None:
    """Return the objects of an earlier result in the same place."""
    for layer in viewer.layers:
        is_ours = isinstance(layer, Labels) and layers.is_result(layer)
        if is_ours and layer.name == name and layers.shapes(layer) == layers.shapes(labels):
            return layer
    return None
