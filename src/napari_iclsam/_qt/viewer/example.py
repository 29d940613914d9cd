"""An example: a slice of an image and of its labels, or a pair that came from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.label_styles import names_of, styles_of
from napari_iclsam._qt.viewer.slice_stacks import Position, SliceOrientation, SliceStack
from napari_iclsam.core.images.regions import LabelledRegion
from napari_iclsam.core.images.support import LabelStyle, SupportSet
from napari_iclsam.core.objects.instances import Separation
from napari_iclsam.core.task_file import Origin
from napari_iclsam.files.label_sets import AS_NUMBERED, LabelReading

_READING = "napari_iclsam_reading"
"""Key of a layer's metadata: what its numbers mean. Closing the dock does not forget it."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerExample:
    """A slice of an image layer and of a labels layer.

    Attributes
    ----------
    image, labels : Layer
    orientation : SliceOrientation
        In the labels.
    position : Position
        Of the slice in the labels.
    lead : Position
        Indices along the axes that only the image has, in front.
    level : int
        Of a multiscale image.
    region : LabelledRegion, optional
        What is labelled of the slice, if not the whole.
    """

    image: Layer
    labels: Layer
    orientation: SliceOrientation
    position: Position = ()
    lead: Position = ()
    level: int = 0
    region: LabelledRegion | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two examples the same one."""
        # names are not unique, and change
        layer_ids = (id(self.image), id(self.labels))
        at = (self.orientation, self.position, self.lead, self.level, self.region)
        return (*layer_ids, *at)

    @property
    def image_orientation(self) -> SliceOrientation:
        """The orientation of the slice in the image."""
        return self.orientation.with_leading_axes(self.image.ndim - self.labels.ndim)

    @property
    def image_position(self) -> Position:
        """The position of the slice in the image."""
        return (*self.lead, *self.position)

    @property
    def place(self) -> tuple[Any, ...]:
        """What makes two examples show the same slice, whatever their labels."""
        return (id(self.image), self.image_orientation, self.image_position)

    @property
    def exists(self) -> bool:
        """Whether the layers still have such a slice: they may have been cropped, or replaced."""
        if self.labels.ndim != self.orientation.ndim or self.image.ndim < self.labels.ndim:
            return False
        if self.level >= len(layers.levels(self.image)):
            return False
        of_image = layers.shape(self.image, self.level)
        of_labels = layers.shape(self.labels)
        if of_image[len(of_image) - len(of_labels) :] != of_labels:
            return False
        sizes = [of_image[axis] for axis in self.image_orientation.stack_axes]
        inside = [at < size for at, size in zip(self.image_position, sizes, strict=True)]
        return all(inside) and self._has_region(of_labels)

    def _has_region(self, shape: tuple[int, ...]) -> bool:
        if self.region is None:
            return True
        height, width = self.orientation.slice_shape(shape)
        return self.region.bottom <= height and self.region.right <= width

    def title(self) -> str:
        """Return which slice of what it is."""
        # labels that napari has made anew have no names of axes
        of_image = getattr(self.image, "axis_labels", ())
        names = layers.axis_names(self.labels, of_image)
        parts = [self.image.name]
        if self.position:
            parts.append(layers.slice_in_words(names, self.orientation, self.position))
        if self.region is not None:
            parts.append(f"region at {self.region.top}, {self.region.left}")
        return ", ".join(parts)

    def depends_on(self, layer: Layer) -> bool:
        """Tell whether the example goes when a layer goes."""
        return layer is self.image or layer is self.labels

    def styles(self, ids: tuple[int, ...]) -> Mapping[int, LabelStyle]:
        """Return names and colors of labels."""
        return styles_of(self.labels, ids)

    def all_styles(self) -> Mapping[int, LabelStyle]:
        """Return names and colors of all labels that have a name, whether the slice holds them."""
        return styles_of(self.labels, names_of(self.labels))

    def pair(self) -> Pair:
        """Return what a run reads. Labels in memory are copied: they may be painted meanwhile."""
        image = SliceStack(
            layers.levels(self.image)[self.level], self.image_orientation, (self.image_position,)
        )
        labels = SliceStack(layers.levels(self.labels)[0], self.orientation, (self.position,))
        if isinstance(labels.array, np.ndarray):
            part = np.array(self._part(labels[0]))
            return Pair(image, part, self.region, reading=self.reading)
        return Pair(image, labels, self.region, reading=self.reading)

    def _part(self, painted: NDArray[Any]) -> NDArray[Any]:
        return painted if self.region is None else painted[self.region.slices]

    @property
    def reading(self) -> LabelReading:
        """What the numbers of the labels mean."""
        return LabelReading(**self.labels.metadata.get(_READING, {}))

    def read_as(self, reading: LabelReading) -> LayerExample:
        """Return the example with what its numbers mean, which is kept with the layer."""
        self.labels.metadata[_READING] = asdict(reading)
        return self


@dataclass(frozen=True, slots=True, eq=False)
class FileExample:
    """A pair that came from a file.

    Attributes
    ----------
    name : str
    image, labels : ndarray
    known_styles : mapping of int to LabelStyle
        Names and colors of its labels.
    was_region : bool
        Whether it is a region of an image.
    reading : LabelReading
        What their numbers mean.
    origin : Origin, optional
        What is known of the files that they came from, if a task brought them.
    separations : mapping of int to Separation
        How touching objects are told apart, as the examples of such a task have taught.
    """

    name: str
    image: NDArray[Any]
    labels: NDArray[Any]
    known_styles: Mapping[int, LabelStyle] = field(default_factory=dict)
    was_region: bool = False
    reading: LabelReading = AS_NUMBERED
    origin: Origin | None = None
    separations: Mapping[int, Separation] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two examples the same one."""
        return (id(self.image), id(self.labels))

    def title(self) -> str:
        """Return where it comes from."""
        return self.name

    def depends_on(self, layer: Layer) -> bool:
        """Tell whether the example goes when a layer goes: never."""
        return False

    def all_styles(self) -> Mapping[int, LabelStyle]:
        """Return names and colors of all labels that are known."""
        return self.known_styles

    def styles(self, ids: tuple[int, ...]) -> Mapping[int, LabelStyle]:
        """Return names and colors of labels, as far as they are known."""
        known = self.known_styles
        return {label: known[label] for label in ids if label in known}

    def pair(self) -> Pair:
        """Return what a run reads."""
        return Pair(
            self.image,
            self.labels,
            was_region=self.was_region,
            reading=self.reading,
            separations=self.separations,
        )

    def read_as(self, reading: LabelReading) -> FileExample:
        """Return the example with what its numbers mean."""
        return replace(self, reading=reading)


Example = LayerExample | FileExample


def examples_of(name: str, support: SupportSet, origin: Origin | None = None) -> list[FileExample]:
    """Return the examples of a task file, with what it knows of their files."""
    examples = []
    styles = support.styles
    pairs = zip(support.images, support.labels, strict=True)
    for number, (image, labels) in enumerate(pairs, start=1):
        title = f"{name}, {number}"
        example = FileExample(
            title,
            image,
            labels,
            styles,
            support.are_regions,
            origin=origin,
            separations=support.separations,
        )
        examples.append(example)
    return examples
