"""What layers hold, as values: arrays, planes, spatial metadata, names and colors of labels. Changes no layer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.transforms import Affine

from napari_iclsam._qt.viewer.slice_stacks import Cut, Position
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.images.support import LabelStyle

PROVENANCE = "napari_iclsam"
"""Key of a layer's metadata under which a result says what made it."""

_SPATIAL = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")

_NAMES = ("name", "label", "class", "label_name")
"""Columns of a layer's features that may hold names of labels."""


def is_result(layer: Layer) -> bool:
    """Tell whether a layer was made by this plugin."""
    return PROVENANCE in layer.metadata


def levels(layer: Layer) -> list[ArrayLike]:
    """Return the arrays of a layer, finest first: one, unless it is multiscale."""
    return list(layer.data) if layer.multiscale else [layer.data]


def shape(layer: Layer, level: int = 0) -> tuple[int, ...]:
    """Return the shape of a layer without colors."""
    return tuple(int(n) for n in levels(layer)[level].shape[: layer.ndim])


def in_words(sizes: Sequence[int]) -> str:
    """Return sizes as a user reads them."""
    return " × ".join(map(str, sizes))


def level_of(image: Layer, labels: Layer | None, side: int = 2048) -> int:
    """Return the level to work on: that of the labels, else the finest with planes of at most so many pixels a side."""
    sizes = [shape(image, level) for level in range(len(levels(image)))]
    if labels is not None:
        fitting = [n for n, size in enumerate(sizes) if size[-labels.ndim :] == shape(labels)]
        if fitting:
            return fitting[0]
    small = [n for n, size in enumerate(sizes) if max(size[-2:]) <= side]
    return small[0] if small else len(sizes) - 1


def misfit(image: Layer | None, labels: Layer | None) -> str:
    """Return why an image and labels are no pair, in words; empty if they are one."""
    if image is None:
        return "There is no image layer: open an image first, or a sample (File > Open Sample > ICL-SAM)."
    if labels is None:
        return "There are no labels: add a labels layer and paint at least one slice."
    if image.ndim < 2 or any(n < 2 for n in shape(image)[-2:]):
        return f"The image '{image.name}' is no picture: it has the size {in_words(shape(image))}."
    size = shape(labels)
    if any(shape(image, n)[-labels.ndim :] == size for n in range(len(levels(image)))):
        return ""
    return f"Sizes differ: image '{image.name}' is {in_words(shape(image))}, labels '{labels.name}' are {in_words(size)}."


def spatial(layer: Layer, level: int = 0) -> dict[str, Any]:
    """Return all spatial metadata of a layer, as keyword arguments for a layer that lies on one of its levels."""
    values = {name: getattr(layer, name) for name in _SPATIAL if hasattr(layer, name)}
    if level:
        full, small = np.array(shape(layer)), np.array(shape(layer, level))
        factor = full / small
        own = {name: values[name] for name in ("scale", "rotate", "shear")}
        shift = Affine(**own).linear_matrix @ ((factor - 1) / 2)
        values["scale"] = np.asarray(layer.scale) * factor
        values["translate"] = np.asarray(layer.translate) + shift
    return values


def axis_names(layer: Layer, viewer_labels: Sequence[str] = ()) -> list[str]:
    """Return what to call the axes: as the layer says, else as the viewer says, else by number."""
    own = list(getattr(layer, "axis_labels", ()))
    shown = list(viewer_labels)[-layer.ndim :]
    for names in (own, shown):
        if len(names) == layer.ndim and not any(
            re.fullmatch(r"(axis )?-?\d+", str(name)) for name in names
        ):
            return [str(name) for name in names]
    return [f"axis {n}" for n in range(layer.ndim)]


def displayed_cut(layer: Layer, order: Sequence[int]) -> Cut:
    """Return the cut that a viewer shows whose dimensions have this order, in the axes of a layer."""
    offset = len(order) - layer.ndim
    shown = sorted(axis - offset for axis in order if axis >= offset)
    ranked = [axis - offset for axis in order if axis >= offset]
    rows, columns = sorted(ranked[-2:]) if len(shown) >= 2 else (layer.ndim - 2, layer.ndim - 1)
    return Cut(layer.ndim, rows, columns)


def position(layer: Layer, cut: Cut, point: Sequence[float], level: int = 0) -> Position:
    """Return the plane of a cut that goes through a point of the world, the nearest one if it lies outside."""
    world = np.asarray(point, float)
    world = np.pad(world, (max(layer.ndim - len(world), 0), 0))[-layer.ndim :]
    size = shape(layer, level)
    factor = np.array(shape(layer)) / np.array(size)
    data = (np.asarray(layer.world_to_data(world)) + 0.5) / factor - 0.5
    return tuple(int(np.clip(round(data[a]), 0, size[a] - 1)) for a in cut.others)


def point(layer: Layer, cut: Cut, where: Position, level: int = 0) -> Sequence[float]:
    """Return the point of the world in the middle of a plane."""
    size = shape(layer, level)
    middle = [(n - 1) / 2 for n in size]
    for axis, index in zip(cut.others, where, strict=True):
        middle[axis] = index
    factor = np.array(shape(layer)) / np.array(size)
    return [
        float(v) for v in np.asarray(layer.data_to_world((np.array(middle) + 0.5) * factor - 0.5))
    ]


def go_to(viewer: ViewerModel, layer: Layer, cut: Cut, where: Position, level: int = 0) -> None:
    """Let a viewer show a plane."""
    middle = point(layer, cut, where, level)
    offset = viewer.dims.ndim - len(middle)
    for axis in cut.others:
        viewer.dims.set_point(axis + offset, middle[axis])


def styles(layer: Labels, ids: Iterable[int]) -> dict[int, LabelStyle]:
    """Return names and colors of labels."""
    names = label_names(layer)
    found = {}
    for i in ids:
        color = layer.colormap.map(i)
        found[i] = LabelStyle(names.get(i, ""), tuple(round(float(c), 4) for c in np.ravel(color)))
    return found


def label_names(layer: Labels) -> dict[int, str]:
    """Return the names of labels: from a column of the features called name or label, else from the metadata."""
    table = layer.features
    column = next((c for c in table.columns if str(c).lower() in _NAMES), None)
    if column is not None:
        index = table["index"] if "index" in table.columns else range(len(table))
        pairs = zip(index, table[column], strict=True)
        return {
            int(i): str(name) for i, name in pairs if isinstance(name, str) and name and int(i) != 0
        }
    given = layer.metadata.get("labels", layer.metadata.get("label_names"))
    if isinstance(given, Mapping):
        return {int(i): str(name) for i, name in given.items() if str(i).isdigit()}
    return {}


def color_map(known: Mapping[int, LabelStyle]) -> DirectLabelColormap | None:
    """Return a color map of labels with known colors; others are drawn in grey. None if no color is known."""
    colors: dict[int | None, Any] = {i: s.color for i, s in known.items() if s.color is not None}
    if not colors:
        return None
    return DirectLabelColormap(color_dict={**colors, 0: "transparent", None: (0.6, 0.6, 0.6, 1.0)})


def prepare_colors(known: Mapping[int, LabelStyle]) -> None:
    """Have napari compile how labels of such colors are drawn: a second, once a process, off the main thread."""
    colors = color_map(known)
    if colors is not None:
        Labels(np.zeros((1, 1), np.int32), colormap=colors)


def features(known: Mapping[int, LabelStyle]) -> dict[str, list[Any]]:
    """Return names of labels as a layer's features, which napari shows under the pointer."""
    named = {0: "background", **{i: s.name for i, s in known.items() if s.name}}
    return {"index": list(named), "name": list(named.values())} if len(named) > 1 else {}


def painted(item: Any, cut: Cut) -> set[Position]:
    """Return the planes that an entry of a labels layer's history has changed.

    Parameters
    ----------
    item : list
        The value of a paint event: a stroke as a list of changes, each with a box of slices or with
        indices.
    cut : Cut
    """
    found: set[Position] = set()
    for change in item:
        box = getattr(change, "slice_key", None)
        if box is not None:
            ranges = [range(box[a].start, box[a].stop) for a in cut.others]
            found.update(itertools.product(*ranges))
            continue
        columns = [np.ravel(np.asarray(change[0][a])) for a in cut.others]
        found.update(
            zip(*(c.tolist() for c in np.broadcast_arrays(*columns)), strict=True)
            if columns
            else [()]
        )
    return found


def pairs_of(images: Sequence[Layer], labels: Sequence[Layer]) -> list[tuple[Layer, Layer]]:
    """Return the pairs of 2D image and labels that belong together: of one size, the most alike by name."""
    pairs = []
    free = list(images)
    for each in labels:
        fitting = [image for image in free if image.ndim == 2 and not misfit(image, each)]
        if each.ndim == 2 and fitting:
            best = max(fitting, key=lambda image: likeness(image.name, each.name))
            free.remove(best)
            pairs.append((best, each))
    return pairs


def is_image(layer: Layer) -> bool:
    """Tell whether a layer can be segmented: an image that this plugin has not made."""
    return isinstance(layer, Image) and layer.ndim >= 2 and not is_result(layer)


def likeness(a: str, b: str) -> float:
    """Return how alike two names are, in [0, 1]: words in common, numbers counting double."""
    one, other = (re.findall(r"\d+|[a-z]+", name.lower()) for name in (a, b))
    weigh = {word: 2 if word.isdigit() else 1 for word in {*one, *other}}
    common = sum(weigh[w] for w in set(one) & set(other))
    return common / (sum(weigh.values()) or 1)
