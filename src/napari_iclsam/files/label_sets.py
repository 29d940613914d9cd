"""What the labels of several examples mean together: one object or two, instances, rims."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_iclsam.core.images.support import LabelStyle
from napari_iclsam.core.images.unknown import UNKNOWN, has_unknown, mark_unknown

_WHITES = frozenset((1, 255, 65535))
"""How programs write the only object of a mask: 1, or the highest number of 8 or 16 bits."""

VOID = 255
"""What data sets of natural images (PASCAL VOC, Cityscapes) call pixels that nobody decided on."""

_INSTANCES = 5
"""From so many numbers in one example on they may be instances."""

_COUNTABLE = 1_000_000
"""Numbers below this are counted in a table, which is quicker than sorting all pixels."""

_TINY = 20
"""Painted pixels up to which a label is too small to be an example of anything."""

_TINY_SHARE = 0.0005
"""Share of an image up to which all that is painted is called little."""

_MUCH_SMALLER = 20
"""How many times less than in the other examples of a label is worth a word."""


@dataclass(frozen=True, slots=True)
class Remedies:
    """What to do about labels that are meant otherwise, as the end of a sentence each."""

    void: str
    instances: str


ON_COMMAND_LINE = Remedies(
    "give --ignore-label 255: it is then neither an object nor background.",
    "give --instances-as-one (one label for all).",
)

IN_DOCK = Remedies(
    "press 'Ignore 255': it is then neither an object nor background.",
    "press 'One class' (one label for all).",
)


@dataclass(frozen=True, slots=True, eq=False)
class NamedLabels:
    """The labels of an example.

    Attributes
    ----------
    name : str
        What the example is called in messages.
    labels : ndarray, (H, W), integer
    kinds : mapping of int to str
        What the labels are called, as far as somebody has named them.
    """

    name: str
    labels: NDArray[Any]
    kinds: Mapping[int, str] = field(default_factory=dict)


def kinds_of(styles: Mapping[int, LabelStyle]) -> dict[int, str]:
    """Return the names of labels that have one."""
    return {label: style.name for label, style in styles.items() if style.name}


@dataclass(frozen=True, slots=True, eq=False)
class LabelSet:
    """The labels of all examples, and what is to be said of them.

    Attributes
    ----------
    examples : tuple of NamedLabels
    notes : tuple of str
    has_void : bool
        Whether a number seems to mark pixels that are to be ignored.
    has_instances : bool
        Whether each object seems to have a number of its own.
    """

    examples: tuple[NamedLabels, ...]
    notes: tuple[str, ...] = ()
    has_void: bool = False
    has_instances: bool = False


@dataclass(frozen=True, slots=True)
class LabelReading:
    """What the numbers of labels mean, where their user has said it.

    Attributes
    ----------
    ignored : tuple of int
        Numbers of pixels that are neither an object nor background.
    one_class : bool
        Whether all other numbers but 0 are one kind of object.
    """

    ignored: tuple[int, ...] = ()
    one_class: bool = False

    def apply(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return labels (H, W) as they are meant; what is ignored is `UNKNOWN`."""
        # Ignored first: joined into one object, a rim could no longer be told from it.
        marked = mark_unknown(labels, self.ignored)
        return np.where(marked > 0, 1, marked) if self.one_class else marked


AS_NUMBERED = LabelReading()
"""Each number but 0 is a kind of object."""


def read_as(examples: Sequence[NamedLabels], reading: LabelReading) -> tuple[NamedLabels, ...]:
    """Return examples whose labels are as they are meant."""
    read = []
    for each in examples:
        read.append(replace(each, labels=reading.apply(each.labels)))
    return tuple(read)


def understood(examples: Sequence[NamedLabels], remedies: Remedies = ON_COMMAND_LINE) -> LabelSet:
    """Join what is certainly one object, and say what looks as if it were meant otherwise.

    The joined object is 1: masks of 0 and 1 beside masks of 0 and 255. Rims of 255, numbered
    instances, and examples that cover very little are only said.
    """
    joined = with_one_white(examples)
    # Counted once for all questions: of large images it takes longest.
    areas = [_areas(each.labels) for each in joined.examples]
    void = _about_void(areas, remedies)
    instances = _about_instances(joined.examples, areas, remedies)
    small = _about_small(joined.examples, areas)
    notes = (*joined.notes, *void, *instances, *small)
    return LabelSet(joined.examples, notes, bool(void), bool(instances))


def about_unknown(examples: Sequence[NamedLabels]) -> tuple[str, ...]:
    """Say that labels hold `UNKNOWN` as they were made, before anything is read as unknown."""
    holding = [each.name for each in examples if has_unknown(each.labels)]
    if not holding:
        return ()
    others = f" and {len(holding) - 1} more" if len(holding) > 1 else ""
    note = (
        f"{holding[0]}{others}: pixels of {UNKNOWN} are unknown, neither an object nor background."
    )
    return (note,)


def _areas(labels: NDArray[Any]) -> Mapping[int, int]:
    """Count the pixels of each object."""
    labels = labels.astype(np.uint8) if labels.dtype == bool else labels
    is_countable = int(labels.min()) >= 0 and int(labels.max()) < _COUNTABLE
    if is_countable:
        counts = np.bincount(labels.ravel())
        numbers = np.flatnonzero(counts)
        counts = counts[numbers]
    else:
        numbers, counts = np.unique(labels, return_counts=True)
    return {int(n): int(c) for n, c in zip(numbers, counts, strict=True) if n > 0}


def with_one_white(examples: Sequence[NamedLabels]) -> LabelSet:
    """Make masks of one object that are written with 1 here and 255 there masks of 1."""
    if not examples:
        return LabelSet(())
    ids = [set(_areas(each.labels)) for each in examples]
    found = set().union(*ids)
    # Where 1 and 255 stand beside each other they are two objects, or one and its rim.
    is_mask_each = max(map(len, ids)) <= 1
    if len(found) < 2 or not found <= _WHITES or not is_mask_each:
        return LabelSet(tuple(examples))
    first_with: dict[int, str] = {}
    for example, own in zip(examples, ids, strict=True):
        for number in own:
            first_with.setdefault(number, example.name)
    named = [f"0/{number} in {first_with[number]}" for number in sorted(found)]
    note = f"Masks are {' and '.join(named)}: taken as the same object, label 1."
    return LabelSet(read_as(examples, LabelReading(one_class=True)), (note,))


def _about_void(areas: Sequence[Mapping[int, int]], remedies: Remedies) -> list[str]:
    """Say that 255 beside smaller numbers may be neither object nor background."""
    found = set().union(*areas)
    others = found - {VOID}
    if VOID not in found or not others:
        return []
    # Whoever numbers beyond 255, or uses all numbers below it, counts and marks nothing.
    if max(others) > VOID or len(others) >= VOID - 1:
        return []
    if min(others) > 250:  # instances that happen to reach it
        return []
    listed = _in_short(sorted(others))
    note = (
        f"Labels hold 255 beside {listed}: it is taken as one more object. If it marks a rim or "
        f"pixels to be ignored (void), {remedies.void}"
    )
    return [note]


def _in_short(numbers: Sequence[int]) -> str:
    text = [str(number) for number in numbers[:5]]
    return ", ".join(text) + (", ..." if len(numbers) > len(text) else "")


def _about_instances(
    examples: Sequence[NamedLabels], areas: Sequence[Mapping[int, int]], remedies: Remedies
) -> list[str]:
    """Say that each object seems to have a number of its own."""
    counts = [len(own) for own in areas]
    most = max(counts)
    if most < _INSTANCES or _have_kinds(examples, areas) or not _look_like_instances(examples):
        return []
    example = examples[counts.index(most)]
    note = (
        f"The labels look like instances: {example.name} has {most} numbers, each object its own. "
        "Each number is taken "
        "for another kind of object, which takes long and is seldom meant. If they are one kind, "
        f"{remedies.instances}"
    )
    return [note]


def _have_kinds(examples: Sequence[NamedLabels], areas: Sequence[Mapping[int, int]]) -> bool:
    """Tell whether all numbers have names, of which none is another's but for its number."""
    named: dict[int, str] = {}
    for each in examples:
        named |= {label: re.sub(r"[\d\W_]+", "", kind) for label, kind in each.kinds.items()}
    numbers = {label for own in areas for label in own}
    kinds = {named.get(label, "") for label in numbers}
    return "" not in kinds and len(kinds) == len(numbers)


def _look_like_instances(examples: Sequence[NamedLabels]) -> bool:
    """Tell instances from kinds of object: in one piece, alike in size or in no fixed place."""
    measured = [_measured(each.labels) for each in examples]
    entries: list[_Measured] = []
    for own in measured:
        entries.extend(own.values())
    # Kinds of object, such as tissues, lie about in many pieces; four of five allows for cuts.
    in_one_piece = [entry.pieces == 1 for entry in entries]
    if np.mean(in_one_piece) < 0.8:
        return False
    areas = np.array([entry.area for entry in entries], float)
    alike = bool(areas.std() < 0.75 * areas.mean())
    return alike or _lie_elsewhere(measured)


@dataclass(frozen=True, slots=True)
class _Measured:
    """Of one label: pixels, connected pieces, and center as shares of height and width."""

    area: int
    pieces: int
    row: float
    column: float


def _measured(labels: NDArray[Any]) -> Mapping[int, _Measured]:
    """Measure each label (H, W) within its own box, so that hundreds take no longer than a few."""
    from scipy import ndimage

    painted = np.maximum(labels, 0)
    numbers, index = np.unique(painted, return_inverse=True)
    # find_objects lists a box for each number up to the highest: these may be far apart.
    background = 0 if numbers[0] == 0 else 1
    dense = index.reshape(labels.shape) + background
    boxes = ndimage.find_objects(dense)
    measured = {}
    for number, box in zip(numbers[numbers != 0], boxes, strict=True):
        measured[int(number)] = _measured_within(painted, int(number), box)
    return measured


def _measured_within(labels: NDArray[Any], number: int, box: tuple[slice, slice]) -> _Measured:
    from scipy import ndimage

    mask = labels[box] == number
    rows, columns = np.nonzero(mask)
    # Pixels that touch at a corner are one piece: thin things are drawn so.
    touching = np.ones((3, 3))
    pieces = int(ndimage.label(mask, touching)[1])
    height, width = labels.shape
    row = float(rows.mean() + box[0].start) / height
    column = float(columns.mean() + box[1].start) / width
    return _Measured(len(rows), pieces, row, column)


def _lie_elsewhere(measured: Sequence[Mapping[int, _Measured]]) -> bool:
    """Tell whether numbers lie elsewhere, or are absent, in the other examples: organs do not."""
    if len(measured) < 2:
        return False
    first, *others = measured
    distances = []
    for other in others:
        for number in first.keys() & other.keys():
            distances.append(_distance(first[number], other[number]))
    # Organs come again in most images; the numbers of instances are as many as there are.
    if len(distances) < 0.5 * len(first) * len(others):
        return True
    return bool(np.mean(distances) > 0.25)  # of two random places in a unit square it is 0.52


def _distance(one: _Measured, other: _Measured) -> float:
    """Return the distance of two centers, in sides of the image."""
    return float(np.hypot(one.row - other.row, one.column - other.column))


def _about_small(examples: Sequence[NamedLabels], areas: Sequence[Mapping[int, int]]) -> list[str]:
    """Say which examples cover so little that they may be scribbles, or not finished."""
    notes = []
    for example, own in zip(examples, areas, strict=True):
        total = sum(own.values())
        # An empty example is one on purpose: it shows what is not meant.
        if 0 < total <= max(_TINY, _TINY_SHARE * example.labels.size):
            notes.append(
                f"{example.name}: only {total} of {example.labels.size} pixels are painted, and "
                "all others count as background. Paint whole objects, not points or strokes."
            )
            continue
        notes.extend(_about_smaller(example.name, own, areas))
    return notes


def _about_smaller(
    name: str, own: Mapping[int, int], areas: Sequence[Mapping[int, int]]
) -> list[str]:
    notes = []
    for number, area in own.items():
        # The median, for one huge object would make all others look small.
        of_all = [each[number] for each in areas if number in each]
        usual = float(np.median(of_all))
        if area * _MUCH_SMALLER <= usual:
            notes.append(
                f"{name}: label {number} covers {area} pixels, in half of the examples "
                f"{usual:.0f} or more. What is not painted counts as background."
            )
    return notes
