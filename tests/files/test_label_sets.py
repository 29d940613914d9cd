"""What labels of several examples mean together, and what is said of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_iclsam.core.images.unknown import UNKNOWN
from napari_iclsam.files.label_sets import (
    LabelReading,
    NamedLabels,
    about_unknown,
    read_as,
    understood,
)

ROWS, COLUMNS = np.indices((80, 80))


def disc(row: float, column: float, radius: float = 12) -> NDArray[np.bool_]:
    return np.asarray(np.hypot(ROWS - row, COLUMNS - column) < radius)


def cells(seed: int, count: int = 12) -> NDArray[np.uint16]:
    """Draw equal cells in a grid, numbered in an order of chance."""
    labels = np.zeros((80, 80), np.uint16)
    numbers = np.random.default_rng(seed).permutation(16)[:count] + 1
    for number, place in zip(numbers, np.ndindex(4, 4), strict=False):
        labels[disc(10 + 20 * place[0], 10 + 20 * place[1], 7)] = number
    return labels


def organs(shift: int = 0) -> NDArray[np.uint8]:
    """Draw six organs of many sizes, each in its place."""
    labels = np.zeros((80, 80), np.uint8)
    places = [(20, 20, 15), (20, 60, 9), (50, 20, 7), (50, 45, 5), (70, 60, 4), (50, 66, 2.5)]
    for number, (row, column, radius) in enumerate(places, start=1):
        labels[disc(row + shift, column + shift, radius)] = number
    return labels


def named(arrays: Sequence[NDArray[Any]]) -> list[NamedLabels]:
    return [NamedLabels(f"{number}.png", array) for number, array in enumerate(arrays)]


def notes_on(*arrays: NDArray[Any]) -> str:
    return " ".join(understood(named(arrays)).notes)


@pytest.mark.parametrize("values", [(1, 255), (255, 1), (1, 65535), (255, 65535)])
def test_one_object_written_in_two_ways_is_one_object(values: tuple[int, int]) -> None:
    arrays = [disc(40, 40).astype(np.int32) * value for value in values]
    found = understood(named(arrays))
    assert [np.unique(each.labels).tolist() for each in found.examples] == [[0, 1], [0, 1]]
    assert "taken as the same object" in found.notes[0]
    assert f"0/{values[0]} in 0.png" in found.notes[0]


@pytest.mark.parametrize("values", [(1, 2), (1, 1), (255, 255)], ids=str)
def test_two_objects_stay_two_and_one_stays_as_it_is(values: tuple[int, int]) -> None:
    arrays = [disc(40, 40).astype(np.int32) * value for value in values]
    found = understood(named(arrays))
    assert [int(each.labels.max()) for each in found.examples] == list(values)
    assert found.notes == ()


def test_a_rim_of_255_is_said_with_what_to_do() -> None:
    labels = disc(40, 40).astype(np.uint8)
    labels[disc(40, 40, 14) & ~disc(40, 40)] = 255
    assert "255 beside 1" in notes_on(labels)
    assert "--ignore-label 255" in notes_on(labels)
    (ignored,) = read_as(named([labels]), LabelReading((255,)))
    assert ((ignored.labels == 1) == disc(40, 40)).all()
    assert ((ignored.labels == UNKNOWN) == (labels == 255)).all()
    assert not understood([ignored]).has_void
    (joined,) = read_as(named([labels * 1]), LabelReading((255,), one_class=True))
    assert (joined.labels == ignored.labels).all()


@pytest.mark.parametrize(
    "arrays",
    [[cells(0)], [cells(0), cells(1)], [cells(0, 5), cells(1, 5)], [cells(0), cells(1), organs()]],
    ids=["one example", "two", "few", "with other things"],
)
def test_instances_are_said_with_what_to_do(arrays: list[NDArray[Any]]) -> None:
    assert "look like instances" in notes_on(*arrays)
    assert "--instances-as-one" in notes_on(*arrays)


@pytest.mark.parametrize(
    "arrays",
    [
        [organs(), organs(2)],
        [organs()],
        [disc(40, 40).astype(int), disc(20, 20).astype(int)],
        [(cells(0) > 0).astype(int)],
        [np.where(cells(0) % 2, 1, 2) * (cells(0) > 0)],
    ],
    ids=["organs", "organs once", "one object", "one kind", "two kinds"],
)
def test_kinds_of_objects_are_no_instances(arrays: list[NDArray[Any]]) -> None:
    assert "instances" not in notes_on(*arrays)


@pytest.mark.parametrize(
    ("names", "are_kinds"),
    [
        (("heart", "liver", "spleen", "left kidney", "right kidney"), True),
        (("cell 1", "cell 2", "cell 3", "cell 4", "cell 5"), False),
        (("heart", "liver", "spleen", "kidney"), False),
    ],
    ids=["each another", "numbered", "one without"],
)
def test_labels_that_have_names_are_kinds(names: tuple[str, ...], are_kinds: bool) -> None:
    labels = np.zeros((80, 80), np.int32)
    for number in range(5):
        labels[10:20, 15 * number : 15 * number + 9] = number + 1
    example = NamedLabels("a.seg.nrrd", labels, dict(enumerate(names, start=1)))
    assert understood([example]).has_instances is not are_kinds
    assert understood(named([labels])).has_instances


def test_hundreds_of_instances_are_recognized_quickly() -> None:
    labels = np.zeros((400, 400), np.int32)
    for number, (row, column) in enumerate(np.ndindex(40, 40), start=1):
        labels[10 * row : 10 * row + 6, 10 * column : 10 * column + 6] = number
    assert "1600 numbers" in notes_on(labels)


def test_instances_can_be_taken_as_one() -> None:
    (joined,) = read_as(named([cells(0)]), LabelReading(one_class=True))
    assert (joined.labels == (cells(0) > 0)).all()


@pytest.mark.parametrize(
    "painted", [disc(40, 40, 2), np.eye(80, dtype=bool) & disc(40, 40, 10)], ids=["dot", "stroke"]
)
def test_a_dot_or_stroke_is_said(painted: NDArray[np.bool_]) -> None:
    note = notes_on(painted.astype(np.uint8))
    assert f"only {painted.sum()} of 6400 pixels are painted" in note
    assert "Paint whole objects" in note


def test_an_example_that_covers_far_less_than_the_others_is_said() -> None:
    arrays = [disc(40, 40).astype(int), disc(30, 40).astype(int), disc(40, 40, 2.7).astype(int)]
    assert "2.png: label 1 covers 21 pixels" in notes_on(*arrays)
    assert notes_on(*arrays[:2]) == ""


def test_an_example_of_background_only_is_no_small_example() -> None:
    assert notes_on(disc(40, 40).astype(int), np.zeros((80, 80), int)) == ""


def test_pixels_of_minus_one_are_said_to_be_unknown() -> None:
    holes = disc(40, 40).astype(np.int16)
    assert about_unknown(named([holes])) == ()
    assert about_unknown(named([disc(40, 40)])) == ()
    holes[:5] = UNKNOWN
    (note,) = about_unknown(named([holes, holes]))
    assert note == ("0.png and 1 more: pixels of -1 are unknown, neither an object nor background.")
