"""What opened tasks know of the files of their examples, and what is kept of layers in a task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

from napari.layers import Layer

from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import Example, FileExample, LayerExample
from napari_iclsam._qt.viewer.shown_values import ShownArray
from napari_iclsam._qt.viewer.slice_stacks import SliceStack
from napari_iclsam.core.images.windows import Window
from napari_iclsam.core.task_file import Origin
from napari_iclsam.files.units import convert, is_length, unit_of

_Value = TypeVar("_Value")

_VOLUME = 3
"""Axes that a file counts; layers may have more in front."""


def origins_of(examples: Iterable[Example]) -> list[Origin]:
    """Return what is known of the files of those examples that a task brought."""
    known = [each.origin for each in examples if isinstance(each, FileExample)]
    return [origin for origin in known if origin is not None]


def window_of(examples: Iterable[Example]) -> Window | None:
    """Return the grey values that became black and white in examples of opened tasks."""
    given = _first(origin.window for origin in origins_of(examples))
    return None if given is None else Window(*given)


def axis_of(examples: Iterable[Example], image: Layer) -> int | None:
    """Return the axis of a stack that examples of opened tasks lie along; None if none says it."""
    axis = _first(origin.axis for origin in origins_of(examples))
    # a layer does not say which of its axes leads up in a body
    if not isinstance(axis, int) or not 0 <= axis < _VOLUME <= image.ndim:
        return None
    return int(image.ndim) - _VOLUME + axis


def reason_against(examples: Iterable[Example]) -> str:
    """Return why examples of several tasks cannot be used together, in words."""
    windows = sorted({each.window for each in origins_of(examples) if each.window is not None})
    if len(windows) < 2:
        return ""
    words = " and ".join(f"{low:g} to {high:g}" for low, high in windows)
    return f"The opened tasks see other grey values, {words}: untick the examples of one of them."


def remark_on(examples: Iterable[Example]) -> str:
    """Return what a user has to see to: how the slices of opened tasks lie."""
    origins = origins_of(examples)
    axis = _first(origin.axis for origin in origins)
    if isinstance(axis, str):
        return (
            f"Those of the opened task are {axis} slices: choose the axis along which the slices "
            f"of the image are {axis}, too."
        )
    if _first(origin.reference for origin in origins) is not None:
        return (
            "Those of the opened task lie as their file does: see that the slices of the image lie "
            "alike. The command napari-iclsam predict turns volumes by itself."
        )
    return ""


def origin_of(examples: Sequence[Example], pairs: Sequence[Pair]) -> Origin:
    """Return what a task that is saved should know of its examples.

    Parameters
    ----------
    examples : sequence of Example
    pairs : sequence of Pair
        What a run reads of them, in the same order.
    """
    known = origins_of(examples)
    of_layers = [each for each in examples if isinstance(each, LayerExample)]
    window = _first(origin.window for origin in known) or _window_shown(pairs)
    axes: list[int | str | None] = [*map(_axis, of_layers), *(origin.axis for origin in known)]
    sizes = map(_pixel_size, of_layers)
    return Origin(
        _first(origin.reference for origin in known),
        window,
        next((axis for axis in axes if axis is not None), None),
        _first([*(origin.pixel_size for origin in known), *sizes]),
        any(origin.own_planes for origin in known),
    )


def _window_shown(pairs: Iterable[Pair]) -> tuple[float, float] | None:
    """Return the contrast limits that all examples were scaled by, if they are the same."""
    windows = set()
    for pair in pairs:
        array = pair.image.array if isinstance(pair.image, SliceStack) else None
        windows.add(array.window if isinstance(array, ShownArray) else None)
    window = windows.pop() if len(windows) == 1 else None
    return None if window is None else (window.low, window.high)


def _axis(example: LayerExample) -> int | None:
    """Return the axis that a slice of a volume is stacked along, counted as in a file."""
    axis = example.orientation.axis
    if axis is None:
        return None
    in_file = axis - (example.orientation.ndim - _VOLUME)
    return in_file if in_file >= 0 else None


def _pixel_size(example: LayerExample) -> float | None:
    """Return the size of a pixel of a slice in micrometers; None if the layer has no length."""
    image = example.image
    scale = layers.spatial(image, example.level)["scale"]
    sides = []
    for axis in (example.image_orientation.rows, example.image_orientation.columns):
        unit = unit_of(image.units[axis])
        if not is_length(unit):
            return None
        sides.append(convert(abs(float(scale[axis])), unit, "µm"))
    return math.sqrt(sides[0] * sides[1])


def _first(values: Iterable[_Value | None]) -> _Value | None:
    return next((value for value in values if value is not None), None)
