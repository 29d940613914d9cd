"""What a run is to do, as values. Knows neither Qt nor napari."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam._qt.viewer.slice_stacks import SliceStack
from napari_iclsam.core.images.intensity import check_image
from napari_iclsam.core.images.planes import ArrayLike
from napari_iclsam.core.images.regions import (
    LabelledRegion,
    RegionLabels,
    check_agreement,
    cut_region,
)
from napari_iclsam.core.images.support import LabelStyle, SupportSet
from napari_iclsam.core.images.unknown import UNKNOWN, mark_unknown
from napari_iclsam.core.large_image import LARGE
from napari_iclsam.core.lazy_image import LazyImage
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.objects.instances import Separation, learn_separation
from napari_iclsam.core.settings import Settings
from napari_iclsam.files.label_sets import AS_NUMBERED, LabelReading, NamedLabels, with_one_white


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One example: stacks of one slice, which are read in the worker, or arrays in memory.

    Attributes
    ----------
    image : SliceStack or ndarray, (H, W) or (H, W, 3 or 4)
    labels : SliceStack or ndarray, (H, W), integer
        An array holds those of the region alone, if there is one.
    region : LabelledRegion, optional
        What is labelled of the image, if not the whole.
    was_region : bool
        Whether it is a region that was cut out and saved.
    reading : LabelReading
        What the numbers of the labels mean.
    separations : mapping of int to Separation
        What is known of how touching objects are told apart.
    """

    image: SliceStack | NDArray[Any]
    labels: SliceStack | NDArray[Any]
    region: LabelledRegion | None = None
    was_region: bool = False
    reading: LabelReading = AS_NUMBERED
    separations: Mapping[int, Separation] = field(default_factory=dict)

    def read_image(self) -> NDArray[Any]:
        """Return the image in memory, or the region on the grey scale of the image."""
        if self.region is None:
            return _read(self.image)
        if isinstance(self.image, SliceStack) and is_large_plane(self.image):
            return _part_of(self.image.array, self.region)
        return cut_region(check_image(_read(self.image)), self.region)

    def read_labels(self) -> NDArray[Any]:
        """Return the labels in memory, as they are meant; what is ignored is `UNKNOWN`."""
        return self.reading.apply(self._painted())

    def read_objects(self) -> NDArray[Any]:
        """Return the labels with a number for each object; what is ignored is background."""
        marked = mark_unknown(self._painted(), self.reading.ignored)
        return np.where(marked > 0, marked, 0)

    def _painted(self) -> NDArray[Any]:
        labels = _read(self.labels)
        if self.region is not None and not isinstance(self.labels, np.ndarray):
            labels = labels[self.region.slices]
        return labels


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Slices of one image to segment.

    Attributes
    ----------
    number : int
        In the order of the jobs of a run.
    name : str
        Of the image.
    slices : SliceStack
    spacing : tuple of float, optional
        Distance of slices, rows and columns.
    stack_names : tuple of str
        Of the axes that the slices follow each other along; empty for numbers alone.
    """

    number: int
    name: str
    slices: SliceStack
    spacing: tuple[float, float, float] | None = None
    stack_names: tuple[str, ...] = ()

    @property
    def is_large(self) -> bool:
        """Whether it is a plane that is not in memory, and too large to be read as a whole."""
        return is_large_plane(self.slices)


@dataclass(frozen=True, slots=True)
class SliceNumber:
    """One slice of a run.

    Attributes
    ----------
    job : int
        Number of the job.
    number : int
        Among the slices of the job.
    """

    job: int
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """All that a run needs: nothing is read from the viewer while it runs.

    Attributes
    ----------
    models : ModelChoice
    settings : Settings
    pairs : tuple of Pair
    styles : mapping of int to LabelStyle
    jobs : tuple of Job
    preview : SliceNumber, optional
        The slice to segment first, by the in-context model alone: the one that the user sees.
    interpolate : bool
        Whether slices of a stack may be interpolated.
    """

    models: ModelChoice
    settings: Settings
    pairs: tuple[Pair, ...]
    styles: Mapping[int, LabelStyle]
    jobs: tuple[Job, ...]
    preview: SliceNumber | None = None
    interpolate: bool = True

    @property
    def total(self) -> int:
        """Number of slices to segment."""
        return sum(len(job.slices) for job in self.jobs)

    @property
    def unit(self) -> str:
        """What is counted: "image" if all jobs are 2D images, else "slice"."""
        is_flat = all(job.slices.orientation.ndim == 2 for job in self.jobs)
        return "image" if is_flat else "slice"

    def read_support(self) -> SupportSet:
        """Read the examples and check them. Called in the worker.

        Raises
        ------
        ValueError, TypeError
            See `SupportSet.of`.
        """
        images = [pair.read_image() for pair in self.pairs]
        labels = []
        for number, pair in enumerate(self.pairs, start=1):
            labels.append(NamedLabels(f"example {number}", pair.read_labels()))
        # 0 and 1 in one layer and 0 and 255 in another are one object
        joined = with_one_white(labels).examples
        painted = [each.labels for each in joined]
        regions = self._regions(painted)
        check_agreement(regions)
        are_regions = bool(regions) or any(pair.was_region for pair in self.pairs)
        support = SupportSet.of(
            images, painted, self.styles, are_regions=are_regions, unknown=(UNKNOWN,)
        )
        return replace(support, separations=self._separations())

    def _separations(self) -> dict[int, Separation]:
        """Return how touching objects are told apart, as numbered ones of one class (1) teach.

        Without any, as examples of a saved task have taught.
        """
        numbered = [pair.read_objects() for pair in self.pairs if pair.reading.one_class]
        if any(ids.any() for ids in numbered):
            return {1: learn_separation(numbered)}
        return {label: each for pair in self.pairs for label, each in pair.separations.items()}

    def _regions(self, painted: Sequence[NDArray[Any]]) -> list[RegionLabels]:
        """Return the regions among the examples.

        Raises
        ------
        ValueError
            If nothing is painted in one.
        """
        found = []
        for pair, labels in zip(self.pairs, painted, strict=True):
            if pair.region is None:
                continue
            if not (labels > 0).any():
                raise ValueError(
                    f"The region {pair.region} holds no labels: paint every object in it, or "
                    "remove it from the examples."
                )
            assert isinstance(pair.image, SliceStack)
            key = (id(pair.image.array), pair.image.positions)
            found.append(RegionLabels(key, "one image", pair.region, labels))
        return found


def is_large_plane(slices: SliceStack) -> bool:
    """Tell whether a plane is not in memory, and too large to be read as a whole."""
    if slices.orientation.ndim != 2 or isinstance(slices.array, np.ndarray):
        return False
    height, width = slices.shape[1:3]
    # what is written part by part needs it
    return height * width >= LARGE and importlib.util.find_spec("zarr") is not None


def _part_of(array: ArrayLike, region: LabelledRegion) -> NDArray[np.uint8]:
    """Return a region of a plane on disk, on the scale in which all its parts are seen."""
    part = check_image(np.asarray(array[region.slices]))
    return LazyImage.of(array).scale.to_uint8(part)


def _read(source: SliceStack | NDArray[Any]) -> NDArray[Any]:
    return np.asarray(source[0]) if isinstance(source, SliceStack) else source
