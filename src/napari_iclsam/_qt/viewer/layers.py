"""What layers hold, as values: arrays, slices, spatial metadata. Changes no layer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from inspect import signature
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_iclsam._qt.viewer.slice_stacks import Position, SliceOrientation
from napari_iclsam.core.images.planes import ArrayLike

PROVENANCE = "napari_iclsam"
"""Key of a layer's metadata under which a result keeps what made it."""

FILLED = "napari_iclsam_filled"
"""Likewise, of labels whose unlabelled pixels were filled."""

SPATIAL = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""Attributes of a layer that say where it lies."""

_TURNED = 0.1
"""Difference of directions (of length 1), 6 degrees, from which on labels are turned."""

_NARROWEST = 5
"""Pixels of an image's last axis at least; a shorter one is taken for that of the colors."""

_LARGEST_SIDE = 2048
"""Pixels: of a multiscale image, the finest level with slices of at most this size is segmented."""


def is_result(layer: Layer) -> bool:
    """Tell whether a layer was made by this plugin."""
    return PROVENANCE in layer.metadata


def grid_of(viewer: ViewerModel) -> Any:
    """Return what tells whether layers are shown one beside the other."""
    # a part of the canvas since napari 0.9
    return getattr(viewer, "canvas", viewer).grid


def fit_to_view(viewer: ViewerModel, image: Layer) -> None:
    """Show an image as large as it fits; napari before 0.9 fits all layers together."""
    if "layers" in signature(viewer.fit_to_view).parameters:
        viewer.fit_to_view(layers=[image])
    else:
        viewer.fit_to_view()


def is_image(layer: Layer) -> bool:
    """Tell whether a layer can be segmented: an image that this plugin has not made."""
    return isinstance(layer, Image) and layer.ndim >= 2 and not is_result(layer)


def images_in(viewer: ViewerModel) -> list[Layer]:
    """Return the images of a viewer that can be segmented, the topmost first."""
    return list(filter(is_image, reversed(viewer.layers)))


def levels(layer: Layer) -> list[ArrayLike]:
    """Return the arrays of a layer, finest first: one, unless it is multiscale."""
    return list(layer.data) if layer.multiscale else [layer.data]


def shape(layer: Layer, level: int = 0) -> tuple[int, ...]:
    """Return the shape of a layer without colors."""
    return tuple(map(int, levels(layer)[level].shape[: layer.ndim]))


def shapes(layer: Layer) -> list[tuple[int, ...]]:
    """Return the shapes of all levels of a layer without colors, finest first."""
    return [shape(layer, level) for level in range(len(levels(layer)))]


def turned(image: Layer, labels: Layer) -> str:
    """Return how labels lie turned against an image, in words; empty if they do not.

    Readers of NIfTI give each file its own affine: pixel by pixel, the two would not match. Labels
    that nobody has placed lie like their image.
    """
    if image.ndim != labels.ndim:
        return ""
    of_image, of_labels = _directions(image), _directions(labels)
    is_unplaced = np.array_equal(of_labels, np.eye(labels.ndim))
    if is_unplaced or np.abs(of_image - of_labels).max() < _TURNED:
        return ""
    return (
        f"Labels '{labels.name}' are flipped or turned against image '{image.name}': their axes "
        f"have the directions {_in_signs(of_labels)}, those of the image {_in_signs(of_image)}. "
        "Save both in one orientation."
    )


def elsewhere(image: Layer, labels: Layer) -> str:
    """Return that labels lie beside an image, in words; empty if they do not.

    Of the tiles of a slide, all of one size, labels of one would fit the pixels of any other.
    Labels that begin at the origin were perhaps never placed.
    """
    theirs = np.asarray(labels.extent.world)
    ours = np.asarray(image.extent.world)[:, -labels.ndim :]
    is_apart = bool(((theirs[0] >= ours[1]) | (theirs[1] <= ours[0])).any())
    if not is_apart or not np.any(labels.translate):
        return ""
    return (
        f"Labels '{labels.name}' lie beside image '{image.name}', where it has no pixels. Choose "
        "the image that lies there, or move the labels onto this one (layer.translate)."
    )


def _directions(layer: Layer) -> NDArray[np.float64]:
    """Return the directions of the axes of a layer in the world, as columns of length 1."""
    own = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear)
    matrix = layer.affine.linear_matrix @ own.linear_matrix
    lengths = np.linalg.norm(matrix, axis=0)
    return np.asarray(matrix / np.where(lengths > 0, lengths, 1))


def _in_signs(directions: NDArray[np.float64]) -> str:
    """Return the nearest axis of the world for each axis, with its sign, as in (+0, -1, +2)."""
    nearest = []
    for column in directions.T:
        axis = int(np.argmax(np.abs(column)))
        nearest.append(f"{'-' if column[axis] < 0 else '+'}{axis}")
    return f"({', '.join(nearest)})"


def is_writeable(layer: Layer) -> bool:
    """Tell whether pixels can be written into a layer and stay: it is an array in memory."""
    # arrays of files that were opened to be read only are of the same class
    return isinstance(layer.data, np.ndarray) and bool(layer.data.flags.writeable)


def in_words(sizes: Sequence[int]) -> str:
    """Return sizes as a user reads them."""
    return " × ".join(map(str, sizes))


def level_of(image: Layer, labels: Layer | None) -> int:
    """Return the level to work on: that of the labels, else the finest that is not too large."""
    sizes = shapes(image)
    if labels is not None:
        for level, size in enumerate(sizes):
            if size[-labels.ndim :] == shape(labels):
                return level
    for level, size in enumerate(sizes):
        if max(size[-2:]) <= _LARGEST_SIDE:
            return level
    return len(sizes) - 1


def misfit(image: Layer | None, labels: Layer | None) -> str:
    """Return why an image and labels are no pair, in words; empty if they are one."""
    if image is None:
        return (
            "There is no image layer: open an image first, or a sample "
            "(File > Open Sample > ICL-SAM)."
        )
    if labels is None:
        return "There are no labels: add a labels layer and paint at least one slice."
    if image.ndim < 2 or min(shape(image)[-2:]) < 2:
        return f"The image '{image.name}' is no picture: it has the size {in_words(shape(image))}."
    for size in shapes(image):
        if size[-labels.ndim :] == shape(labels):
            return turned(image, labels) or elsewhere(image, labels) or _too_narrow(image)
    return (
        f"Sizes differ: image '{image.name}' is {in_words(shape(image))}, "
        f"labels '{labels.name}' are {in_words(shape(labels))}."
    )


def _too_narrow(image: Layer) -> str:
    """Return that an image has so few columns that they look like colors, if so."""
    if shape(image)[-1] >= _NARROWEST:
        return ""
    return (
        f"The image '{image.name}' is {in_words(shape(image))}: at least {_NARROWEST} columns "
        "are needed, since 3 or 4 values count as a color."
    )


def spatial(layer: Layer, level: int = 0) -> dict[str, Any]:
    """Return all spatial metadata for a layer that lies on one level of another, as arguments."""
    values = {name: getattr(layer, name) for name in SPATIAL if hasattr(layer, name)}
    if level:
        factor = _pixel_size(layer, level)
        linear = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear).linear_matrix
        values["scale"] = np.asarray(layer.scale) * factor
        # the centers of the first pixels differ, their corners agree
        values["translate"] = np.asarray(layer.translate) + linear @ ((factor - 1) / 2)
    return values


def put_on(layer: Layer, image: Layer, level: int = 0) -> None:
    """Give a layer the spatial metadata of one level of an image, as far as they differ."""
    if layer.ndim != image.ndim:
        return
    for name, value in spatial(image, level).items():
        # each assignment draws the layer anew
        if not _are_equal(getattr(layer, name), value):
            setattr(layer, name, value)


def _are_equal(a: Any, b: Any) -> bool:
    if isinstance(a, Affine):
        return np.array_equal(a.affine_matrix, b.affine_matrix)
    return np.array_equal(np.asarray(a), np.asarray(b))


def _pixel_size(layer: Layer, level: int) -> NDArray[np.float64]:
    """Return the size of a level's pixels in those of the finest level, for each axis."""
    return np.divide(shape(layer), shape(layer, level))


def axis_names(layer: Layer, viewer_labels: Sequence[str] = ()) -> list[str]:
    """Return what to call the axes: as the layer does, else as the viewer does, else by number."""
    own = list(getattr(layer, "axis_labels", ()))
    shown = list(viewer_labels)[-layer.ndim :]
    for names in (own, shown):
        if len(names) == layer.ndim and not any(map(_is_default_name, names)):
            return list(map(str, names))
    return [f"axis {axis}" for axis in range(layer.ndim)]


def slice_in_words(names: Sequence[str], orientation: SliceOrientation, position: Position) -> str:
    """Return which slice it is: "t 2, z 9", or "slice 9" where axes have no names."""
    return position_in_words([names[axis] for axis in orientation.stack_axes], position)


def position_in_words(stack_names: Sequence[str], position: Position) -> str:
    """Return which slice it is, of axes with these names."""
    if not stack_names or any(map(_is_default_name, stack_names)):
        return f"slice {', '.join(map(str, position))}"
    return ", ".join(f"{name} {index}" for name, index in zip(stack_names, position, strict=True))


def _is_default_name(name: str) -> bool:
    """Tell whether an axis has the name that napari gives by itself: its number."""
    return re.fullmatch(r"(axis )?-?\d+", str(name)) is not None


def displayed_orientation(layer: Layer, order: Sequence[int]) -> SliceOrientation:
    """Return the orientation of the slices of a layer that a viewer shows.

    Parameters
    ----------
    layer : Layer
    order : sequence of int
        Of the viewer's dimensions; the last two are displayed.
    """
    # axes of the viewer that the layer lacks come first
    missing = len(order) - layer.ndim
    own = [axis - missing for axis in order if axis >= missing]
    return SliceOrientation(layer.ndim, *sorted(own[-2:]))


def position(
    layer: Layer, orientation: SliceOrientation, point: Sequence[float], level: int = 0
) -> Position:
    """Return the slice through a point of the world, the nearest one if the point lies outside."""
    world = np.asarray(point, float)
    missing = max(layer.ndim - len(world), 0)
    world = np.pad(world, (missing, 0))[-layer.ndim :]
    at_finest = np.asarray(layer.world_to_data(world))
    at_level = (at_finest + 0.5) / _pixel_size(layer, level) - 0.5
    size = shape(layer, level)
    indices = []
    for axis in orientation.stack_axes:
        indices.append(int(np.clip(round(at_level[axis]), 0, size[axis] - 1)))
    return tuple(indices)


def point(
    layer: Layer, orientation: SliceOrientation, position: Position, level: int = 0
) -> list[float]:
    """Return the point of the world in the middle of a slice."""
    at_level = (np.array(shape(layer, level)) - 1) / 2
    at_level[list(orientation.stack_axes)] = position
    at_finest = (at_level + 0.5) * _pixel_size(layer, level) - 0.5
    return list(map(float, layer.data_to_world(at_finest)))


def go_to(
    viewer: ViewerModel, layer: Layer, orientation: SliceOrientation, position: Position
) -> None:
    """Let a viewer show a slice, which it does not in 3D, or across the slice."""
    middle = point(layer, orientation, position)
    missing = viewer.dims.ndim - len(middle)
    viewer.dims.ndisplay = 2
    across = {axis + missing for axis in orientation.stack_axes} & set(viewer.dims.displayed)
    if across:
        shown = [orientation.rows + missing, orientation.columns + missing]
        others = [axis for axis in range(viewer.dims.ndim) if axis not in shown]
        viewer.dims.order = (*others, *shown)
    for axis in orientation.stack_axes:
        viewer.dims.set_point(axis + missing, middle[axis])


def painted_positions(history: Any, orientation: SliceOrientation) -> set[Position]:
    """Return the slices that an entry of a labels layer's history has changed.

    Parameters
    ----------
    history : list
        The value of a paint event: a stroke as a list of changes, each with a box of slices or with
        indices.
    orientation : SliceOrientation
    """
    found: set[Position] = set()
    for change in history:
        box = getattr(change, "slice_key", None)
        if box is None:
            found.update(_positions_of(change[0], orientation))
        else:
            ranges = [range(box[axis].start, box[axis].stop) for axis in orientation.stack_axes]
            found.update(itertools.product(*ranges))
    return found


def _positions_of(indices: Sequence[Any], orientation: SliceOrientation) -> Iterable[Position]:
    """Return the slices of changed pixels, whose indices are given for each axis."""
    if not orientation.stack_axes:
        return [()]
    columns = [np.ravel(indices[axis]) for axis in orientation.stack_axes]
    # an axis along which all indices are the same comes as one number
    return map(tuple, np.stack(np.broadcast_arrays(*columns), axis=1).tolist())


def pair_2d(images: Sequence[Layer], labels: Sequence[Layer]) -> list[tuple[Layer, Layer]]:
    """Return pairs of 2D image and labels: of one size, in one place, with the likest names."""
    pairs = []
    free = [image for image in images if image.ndim == 2]
    for each in labels:
        if each.ndim == 2:
            image = likely_image(each, free)
            if image is not None:
                free.remove(image)
                pairs.append((image, each))
    return pairs


def likely_image(labels: Layer, images: Iterable[Layer]) -> Layer | None:
    """Return the image that labels belong to: in the same place, else by name; None if none fits.

    Tiles of one size lie side by side, and their names tell less than their places.
    """
    fitting = [image for image in images if not misfit(image, labels)]

    def likelihood(image: Layer) -> tuple[bool, float]:
        return (is_same_place(image, labels), name_similarity(image.name, labels.name))

    return max(fitting, key=likelihood, default=None)


def is_same_place(image: Layer, labels: Layer) -> bool:
    """Tell whether labels cover the same part of the world as an image."""
    extents = [np.asarray(layer.extent.world)[:, -labels.ndim :] for layer in (image, labels)]
    # half a pixel of the labels: those of a coarser level begin so far off
    pixel = np.abs(np.asarray(labels.scale))
    return bool((np.abs(extents[0] - extents[1]) <= pixel * 0.51).all())


def name_similarity(a: str, b: str) -> float:
    """Return how similar two names are, in [0, 1]: words in common, numbers counting double."""
    words = _words(a) | _words(b)
    common = _words(a) & _words(b)
    return sum(map(_weight, common)) / (sum(map(_weight, words)) or 1)


def _words(name: str) -> set[str]:
    return set(re.findall(r"\d+|[a-z]+", name.lower()))


def _weight(word: str) -> int:
    return 2 if word.isdigit() else 1
