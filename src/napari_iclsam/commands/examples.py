"""Examples in files: pairs of an image and its labels, read, checked and understood together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.commands.inputs import Axis, Reading
from napari_iclsam.commands.placement import Placement, Planes, is_on_disk, place
from napari_iclsam.commands.region_examples import LabelledPlane, RegionExample, around, regions_of
from napari_iclsam.commands.resolution import Resolution
from napari_iclsam.core.images.intensity import check_image
from napari_iclsam.core.images.regions import LabelledRegion, RegionLabels, check_agreement
from napari_iclsam.core.images.support import LabelStyle, SupportSet
from napari_iclsam.core.images.unknown import UNKNOWN
from napari_iclsam.core.images.windows import Window, ct_window, with_window
from napari_iclsam.core.objects.instances import Separation, learn_separation
from napari_iclsam.core.task_file import Origin, SavedTask
from napari_iclsam.core.volume.intensity import GreyScale, estimate_grey_scale, sampled_planes
from napari_iclsam.files import FilePair, ImageFile, read_pair
from napari_iclsam.files.label_sets import (
    LabelReading,
    LabelSet,
    NamedLabels,
    kinds_of,
    read_as,
    understood,
)
from napari_iclsam.files.orientation import can_turn


@dataclass(frozen=True, slots=True, eq=False)
class SourceStack:
    """A stack some of whose planes are examples.

    Attributes
    ----------
    path : Path
        Of the image.
    pairs : mapping of int to int
        By plane, as planes are segmented: its number among the examples.
    scale : GreyScale
        Of the grey values of all its planes.
    """

    path: Path
    pairs: Mapping[int, int]
    scale: GreyScale

    def is_file(self, path: Path) -> bool:
        """Return whether a path is that of this stack."""
        return self.path.resolve() == path.resolve()


@dataclass(frozen=True, slots=True, eq=False)
class ReadExamples:
    """Examples, and what queries have to know of the files that they came from.

    Attributes
    ----------
    support : SupportSet
    notes : tuple of str
        What is to be said before anything is computed.
    reference : ndarray, (4, 4), optional
        Affine of the first NIfTI file: those of queries are turned to lie as it does.
    window : Window, optional
        Grey values that became black and white in all images.
    given_window : Window, optional
        That window, if it was given by the user.
    of_task : bool
        Whether they came from a task file, of whose making nothing else is known.
    stacks : tuple of SourceStack
        Stacks that they are planes of.
    on_scale_of_stack : bool
        Whether the window is that of the one stack that they are planes of.
    resolution : Resolution
        That they were read in.
    axis : int or str, optional
        That their planes lie along, if they are planes of stacks.
    """

    support: SupportSet
    notes: tuple[str, ...] = ()
    reference: NDArray[np.float64] | None = None
    window: Window | None = None
    given_window: Window | None = None
    of_task: bool = False
    stacks: tuple[SourceStack, ...] = ()
    on_scale_of_stack: bool = False
    resolution: Resolution = field(default_factory=Resolution)
    axis: Axis | None = None

    @property
    def origin(self) -> Origin:
        """What a task file keeps of the files."""
        rows = None
        if self.reference is not None:
            rows = tuple(map(tuple, self.reference.tolist()))
        given = self.given_window
        window = None if given is None else (given.low, given.high)
        resolution = self.resolution
        return Origin(rows, window, self.axis, resolution.pixel_size, resolution.own_planes)

    @classmethod
    def of_saved(cls, saved: SavedTask) -> ReadExamples:
        """Return the examples of a task file."""
        origin = saved.origin
        reference = None if origin.reference is None else np.array(origin.reference)
        window = None if origin.window is None else Window(*origin.window)
        return cls(
            saved.support,
            reference=reference,
            window=window,
            given_window=window,
            of_task=True,
            resolution=Resolution(origin.pixel_size, own_planes=origin.own_planes),
        )

    def stack_of(self, path: Path) -> SourceStack | None:
        """Return the stack of a file that examples are planes of.

        None if there is none, or more than one.
        """
        found = [stack for stack in self.stacks if stack.is_file(path)]
        # Two sets of labels of one stack may contradict each other: neither is taken.
        return found[0] if len(found) == 1 else None


@dataclass(slots=True)
class _Gathered:
    """Planes of all pairs read so far."""

    images: list[NDArray[Any]] = field(default_factory=list)
    labels: list[NamedLabels] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reference: NDArray[np.float64] | None = None
    stacks: list[SourceStack] = field(default_factory=list)
    styles: dict[int, LabelStyle] = field(default_factory=dict)
    resolution: Resolution = field(default_factory=Resolution)
    regions: list[RegionLabels] = field(default_factory=list)


def read_examples(pairs: Sequence[tuple[Path, Path]], reading: Reading) -> ReadExamples:
    """Read pairs of an image and a label file.

    Of a stack, the planes that have any label become examples.

    Raises
    ------
    OSError, ValueError
        See `read_pair`, `place` and `SupportSet.of`.
    """
    gathered = _Gathered()
    anywhere = reading.ignore_affine
    for number, paths in enumerate(pairs):
        box = around(reading.regions.get(number, ()))
        pair = read_pair(*paths, reading.part, ignore_affine=anywhere, in_memory=False, box=box)
        # The notes about reading a file go before those about how it lies.
        gathered.notes += pair.notes
        _gather(pair, reading, reading.regions.get(number, ()), gathered)
        gathered.styles = {**pair.labels.styles, **gathered.styles}
        gathered.resolution = gathered.resolution.with_image(pair.image)
    check_agreement(gathered.regions)
    labels = _understood(gathered.labels, reading)
    masks = [each.labels for each in labels.examples]
    are_regions = bool(gathered.regions)
    support = SupportSet.of(
        gathered.images, masks, gathered.styles, are_regions=are_regions, unknown=(UNKNOWN,)
    )
    if reading.instances_as_one:
        support = replace(support, separations=_learnt(gathered.labels, reading))
    notes = (*gathered.notes, *labels.notes)
    return ReadExamples(
        support,
        notes,
        gathered.reference,
        stacks=tuple(gathered.stacks),
        resolution=gathered.resolution,
        axis=reading.axis if gathered.stacks else None,
    )


def on_scale_of_stack(examples: ReadExamples, queries: Sequence[Path]) -> ReadExamples:
    """Return examples on the grey scale of the stack that they are planes of.

    They are unchanged if anything else is segmented, too.
    """
    if examples.window is not None or len(examples.stacks) != 1:
        return examples
    stack = examples.stacks[0]
    # One image from elsewhere has grey values that this stack's scale may not fit.
    all_from_stack = len(stack.pairs) == len(examples.support)
    if not all_from_stack or not all(map(stack.is_file, queries)):
        return examples
    scale = stack.scale
    if not scale.low < scale.high:  # a stack of one value has no scale
        return examples
    window = Window(scale.low, scale.high)
    support = with_window(examples.support, window)
    return replace(examples, support=support, window=window, on_scale_of_stack=True)


def on_one_scale(examples: ReadExamples, window: Window | None) -> ReadExamples:
    """Return examples on one grey scale: the window that was given, else that of CT."""
    known = examples.given_window
    if known is not None and window not in (None, known):
        raise ValueError(
            f"The examples of the task were saved with --window {known.low:g} {known.high:g}; "
            "leave --window out, or make the task again."
        )
    if known is not None:
        return examples
    if window is not None:
        support = examples.support
        if not _were_scaled(examples):
            support = with_window(support, window)
        return replace(examples, support=support, window=window, given_window=window)
    window = ct_window(examples.support.images)
    if window is None:
        return examples
    note = (
        f"The images look like CT: one grey scale for all, from {window.low:g} to {window.high:g} "
        "HU. Choose another with --window."
    )
    support = with_window(examples.support, window)
    return replace(examples, support=support, notes=(*examples.notes, note), window=window)


def _were_scaled(examples: ReadExamples) -> bool:
    """Return whether a window was applied to the images of a task before it was saved."""
    return examples.of_task and all(each.dtype == np.uint8 for each in examples.support.images)


def _gather(
    pair: FilePair, reading: Reading, regions: Sequence[LabelledRegion], gathered: _Gathered
) -> None:
    """Add the labelled planes of a pair, or regions of them."""
    image = pair.image
    labels = pair.labels
    placement = _placed(image, reading, gathered)
    is_large = placement.axis is None and is_on_disk(image.array)
    images = Planes(placement.apply(image.array, image), placement.axis)
    # Labels lie on the grid of their image, so the image's turn is theirs.
    masks = Planes(placement.apply(labels.array, image), placement.axis)
    painted = _painted(masks, placement, reading)
    if placement.axis is not None:
        declared = _declared_empty(reading, placement, len(masks), painted)
        painted = sorted({*painted, *declared})
        first = len(gathered.images)
        # A plane that is known in part does not tell where the objects of a stack end.
        if not regions:
            gathered.stacks.append(_source_stack(image.path, images, painted, first))
    if not painted:
        raise ValueError(
            f"{labels.path} is background everywhere: paint at least one object in one plane."
        )
    for number in painted:
        plane = _plane_in_words(number, placement)
        called = plane or "image "
        # of a large plane, the regions alone are read
        is_cut = is_large and bool(regions)
        shown = image.array if is_cut else check_image(images[number], f"{called}{image.path}")
        painted_here = labels.array if is_cut else masks[number]
        kinds = kinds_of(labels.styles)
        named = NamedLabels(f"{plane}{labels.path.name}", painted_here, kinds)
        if regions:
            plane_of_file = LabelledPlane(image.path, number, shown, named)
            has_window = reading.window is not None
            parts = regions_of(plane_of_file, regions, has_window=has_window)
            _gather_regions(parts, gathered)
        else:
            gathered.images.append(shown)
            gathered.labels.append(named)


def _gather_regions(parts: Iterable[RegionExample], gathered: _Gathered) -> None:
    for part in parts:
        gathered.images.append(part.image)
        gathered.labels.append(part.labels)
        gathered.regions.append(part.region)


def _placed(image: ImageFile, reading: Reading, gathered: _Gathered) -> Placement:
    """Choose how an image's planes are taken, and note what is to be known of it."""
    placement = place(image, reading.axis, gathered.reference)
    # The first file that says how it lies is what all later ones are turned to.
    if gathered.reference is None and can_turn(image) and image.space.nifti is not None:
        gathered.reference = image.space.nifti.affine
    if placement.note:
        gathered.notes.append(f"{image.path.name}: {placement.note}")
    return placement


def _painted(masks: Sequence[NDArray[Any]], placement: Placement, reading: Reading) -> list[int]:
    """Return the numbers of the planes that are examples."""
    # A picture of its own was chosen as an example, even if nothing is in it.
    if placement.axis is None:
        return [0]
    # A plane of nothing but ignored pixels shows no object.
    nothing = (0, *reading.ignored_labels)
    painted = []
    for number, mask in enumerate(masks):
        if mask.any() and not np.isin(mask, nothing).all():
            painted.append(number)
    return painted


def _plane_in_words(number: int, placement: Placement) -> str:
    """Name a plane as its file counts it; empty for a picture of its own."""
    if placement.axis is None:
        return ""
    return f"plane {placement.number_in_file(number)} of "


def _declared_empty(
    reading: Reading, placement: Placement, count: int, painted: Sequence[int]
) -> list[int]:
    """Return the planes that were declared empty, as planes are segmented.

    Raises
    ------
    ValueError
        If there is no such plane, or it is painted.
    """
    # Users count as the file does; a turn may have reversed the planes.
    by_number = {placement.number_in_file(number): number for number in range(count)}
    outside = [number for number in reading.empty_planes if number not in by_number]
    if outside:
        raise ValueError(
            f"--empty-planes takes planes 0 to {count - 1} of the stack; got {outside[0]}."
        )
    declared = [by_number[number] for number in reading.empty_planes]
    both = [placement.number_in_file(number) for number in declared if number in painted]
    if both:
        raise ValueError(
            f"Plane {both[0]} was declared empty (--empty-planes) and has labels: erase them, or "
            "do not declare it empty."
        )
    return declared


def _source_stack(
    path: Path, images: Sequence[NDArray[Any]], planes: Sequence[int], first: int
) -> SourceStack:
    """Describe a stack of which some planes are examples, the first of them the given number."""
    # A scale needs no more than some planes, and a stack may have thousands.
    sample = [images[number] for number in sampled_planes(len(images), planes)]
    pairs = {number: first + index for index, number in enumerate(planes)}
    return SourceStack(path, pairs, estimate_grey_scale(sample))


def _learnt(labels: Sequence[NamedLabels], reading: Reading) -> dict[int, Separation]:
    """Learn of numbered objects, which become label 1, how touching ones are told apart."""
    kept = read_as(labels, LabelReading(reading.ignored_labels))
    # What is neither an object nor background is below 0.
    return {1: learn_separation([each.labels.clip(min=0) for each in kept])}


def _understood(labels: Sequence[NamedLabels], reading: Reading) -> LabelSet:
    meant = LabelReading(reading.ignored_labels, reading.instances_as_one)
    return understood(read_as(labels, meant))
