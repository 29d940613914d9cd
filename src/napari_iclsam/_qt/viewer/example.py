"""One row of the support table: a plane of an image and of its labels, or a pair that came from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.slice_stacks import Cut, Planes, Position
from napari_iclsam.core.images.support import LabelStyle


@dataclass(frozen=True, slots=True, eq=False)
class LayerExample:
    """A plane of an image layer and of a labels layer.

    Attributes
    ----------
    image, labels : Layer
    cut : Cut
        Of the labels.
    position : Position
        Of the plane in the labels.
    lead : Position
        Indices along the axes that only the image has, in front.
    level : int
        Of a multiscale image.
    """

    image: Layer
    labels: Layer
    cut: Cut
    position: Position = ()
    lead: Position = ()
    level: int = 0

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two examples the same one."""
        return (id(self.image), id(self.labels), self.cut, self.position, self.lead, self.level)

    @property
    def image_cut(self) -> Cut:
        """The cut of the image."""
        return self.cut.behind(self.image.ndim - self.labels.ndim)

    @property
    def image_position(self) -> Position:
        """Where the plane lies in the image."""
        return (*self.lead, *self.position)

    def title(self) -> str:
        """Say which plane of what."""
        names = layers.axis_names(self.labels)
        where = ", ".join(
            f"{names[a]} {i}" for a, i in zip(self.cut.others, self.position, strict=True)
        )
        return f"{self.image.name}, {where}" if where else self.image.name

    def depends_on(self, layer: Layer) -> bool:
        """Tell whether the example goes when a layer goes."""
        return layer is self.image or layer is self.labels

    def styles(self, ids: tuple[int, ...]) -> Mapping[int, LabelStyle]:
        """Return names and colors of the labels."""
        return layers.styles(self.labels, ids)

    def pair(self) -> Pair:
        """Return what a run needs: a copy of labels in memory, and a promise of everything else."""
        image = Planes(
            layers.levels(self.image)[self.level], self.image_cut, (self.image_position,)
        )
        labels = Planes(layers.levels(self.labels)[0], self.cut, (self.position,))
        return Pair(image, np.array(labels[0]) if isinstance(labels.array, np.ndarray) else labels)


@dataclass(frozen=True, slots=True, eq=False)
class FileExample:
    """A pair that came from a file.

    Attributes
    ----------
    name : str
    image, labels : ndarray
    names : mapping of int to LabelStyle
    """

    name: str
    image: NDArray[Any]
    labels: NDArray[Any]
    names: Mapping[int, LabelStyle] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two examples the same one."""
        return (id(self.image), id(self.labels))

    def title(self) -> str:
        """Say where it comes from."""
        return self.name

    def depends_on(self, layer: Layer) -> bool:
        """Tell whether the example goes when a layer goes: never."""
        return False

    def styles(self, ids: tuple[int, ...]) -> Mapping[int, LabelStyle]:
        """Return names and colors of the labels."""
        return {i: s for i, s in self.names.items() if i in ids}

    def pair(self) -> Pair:
        """Return what a run needs."""
        return Pair(self.image, self.labels)


Example = LayerExample | FileExample
