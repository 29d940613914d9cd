"""Grey values as a viewer shows them, or by one window: what becomes black and white."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray

from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.viewer.slice_stacks import SliceStack
from napari_iclsam.core.images.intensity import check_image
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.images.windows import Window


@dataclass(frozen=True, slots=True, eq=False)
class ShownArray:
    """An array of grey values in 8 bits, scaled plane by plane when it is read.

    Attributes
    ----------
    array : ArrayLike
    window : Window
    """

    array: ArrayLike
    window: Window

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array."""
        return self.array.shape

    @property
    def dtype(self) -> Any:
        """8 bits."""
        return np.dtype(np.uint8)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        # checked before scaling, which would turn NaN into a grey value without a word
        return self.window.apply(check_image(np.asarray(self.array[key])))


class ShownValues:
    """Arrays of layers as they are shown; one array stays one, so that its slices are compared.

    Parameters
    ----------
    window : Window, optional
        Of examples of a task, which holds for all layers in place of their contrast limits.
    """

    def __init__(self, window: Window | None = None) -> None:
        self._window = window
        self._arrays: dict[int, ShownArray] = {}

    def of_pair(self, layer: Layer, pair: Pair) -> Pair:
        """Return an example on the scale of its layer."""
        if not isinstance(pair.image, SliceStack):
            return pair
        return replace(pair, image=self.of(layer, pair.image))

    def of(self, layer: Layer, stack: SliceStack) -> SliceStack:
        """Return slices of a layer on its scale; colors as they are."""
        if not isinstance(layer, Image) or layer.rgb:
            return stack
        if self._window is not None and not self._window.suits(stack):
            return stack
        key = id(stack.array)
        if key not in self._arrays:
            self._arrays[key] = ShownArray(stack.array, self._window or _limits(layer))
        return replace(stack, array=self._arrays[key])


def _limits(layer: Image) -> Window:
    low, high = layer.contrast_limits
    return Window(float(low), float(high))
