"""Names and colors of labels, read from labels layers and written for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_iclsam.core.images.overlay import Color, default_color
from napari_iclsam.core.images.support import LabelStyle

_NAME_COLUMNS = ("name", "label_name", "class", "label", "label-value", "label_value")
"""Columns of a layer's features that may hold names of labels, if they hold texts."""

_ID_COLUMNS = ("label_value", "label-value", "label", "index")
"""Columns that may hold the label itself, if they hold whole numbers.

`index` is napari's own, which some readers fill with numbers of the rows.
"""

_OTHER_COLOR = (0.6, 0.6, 0.6, 1.0)
"""Grey, of labels whose color is not known."""


def styles_of(layer: Labels, ids: Iterable[int]) -> dict[int, LabelStyle]:
    """Return names and colors of labels."""
    names = names_of(layer)
    styles = {}
    for label in ids:
        channels = np.ravel(layer.colormap.map(label)).tolist()
        # float32 and back would make two equal colors differ
        color = tuple(round(channel, 4) for channel in channels)
        styles[label] = LabelStyle(names.get(label, ""), color)
    return styles


def names_of(layer: Labels) -> dict[int, str]:
    """Return the names of labels: from a column of the layer's features, else from its metadata."""
    column = _column(layer.features, _NAME_COLUMNS, _is_text)
    if column is not None:
        return _names_in_column(layer, column)
    names = layer.metadata.get("labels", layer.metadata.get("label_names"))
    if not isinstance(names, Mapping):
        return {}
    return {int(label): str(name) for label, name in names.items() if str(label).isdigit()}


def _names_in_column(layer: Labels, column: Any) -> dict[int, str]:
    table = layer.features
    id_column = _column(table, _ID_COLUMNS, _is_number)
    ids = range(len(table)) if id_column is None else table[id_column]
    names = {}
    for label, name in zip(ids, table[column], strict=True):
        # cells of a column may be empty, or no text
        if _is_text(name) and _is_number(label) and int(label) != 0:
            names[int(label)] = name
    return names


def _column(table: Any, names: Sequence[str], holds: Callable[[Any], bool]) -> Any:
    """Return the first of some columns that a table has and that holds what is wanted, if any."""
    by_name = {str(column).lower(): column for column in table.columns}
    for name in names:
        if name in by_name and any(map(holds, table[by_name[name]])):
            return by_name[name]
    return None


def _is_text(cell: Any) -> bool:
    return isinstance(cell, str) and bool(cell)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, (int, float, np.integer, np.floating)) and float(cell).is_integer()


def color_map(styles: Mapping[int, LabelStyle]) -> DirectLabelColormap | None:
    """Return a color map with the known colors of labels; None if no color is known."""
    colors: dict[int | None, Any] = {}
    for label, style in styles.items():
        if style.color is not None:
            colors[label] = style.color
    if not colors:
        return None
    return DirectLabelColormap(color_dict={**colors, 0: "transparent", None: _OTHER_COLOR})


def compile_colors(styles: Mapping[int, LabelStyle]) -> None:
    """Let napari compile how labels of such colors are drawn.

    This takes a second, once a process: in a worker, the window does not wait for it.
    """
    colors = color_map(styles)
    if colors is not None:
        Labels(np.zeros((1, 1), np.int32), colormap=colors)


def features_of(styles: Mapping[int, LabelStyle]) -> dict[str, list[Any]]:
    """Return names of labels as a layer's features, which napari shows under the pointer."""
    names = {0: "background"}
    for label, style in styles.items():
        if style.name:
            names[label] = style.name
    # a table with nothing but the background helps nobody
    if len(names) == 1:
        return {}
    return {"index": list(names), "name": list(names.values())}


def name_of(label: int, styles: Mapping[int, LabelStyle]) -> str:
    """Return what a user calls a label: its name or ``label N``."""
    style = styles.get(label)
    return style.name if style is not None and style.name else f"label {label}"


def rgb_of(ids: Iterable[int], styles: Mapping[int, LabelStyle]) -> dict[int, Color]:
    """Return red, green, blue of labels in [0, 255]: their own colors, else default ones."""
    colors = {}
    for label in ids:
        style = styles.get(label)
        if style is None or style.color is None:
            colors[label] = default_color(label)
        else:
            red, green, blue = (round(255 * channel) for channel in style.color[:3])
            colors[label] = (red, green, blue)
    return colors
