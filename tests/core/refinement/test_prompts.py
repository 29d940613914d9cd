"""Opening and box prompts against slow transcriptions of their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_iclsam.core.recipe import AUTO, PAPER, Recipe
from napari_iclsam.core.refinement.prompts import boxes_of, find_boxes, open_until_shrunk

MASKS = hnp.arrays(bool, st.tuples(st.integers(2, 14), st.integers(2, 14)))


@st.composite
def blobs(draw: st.DrawFn) -> NDArray[np.bool_]:
    """Unions of a few rectangles: unlike pixel noise, they survive erosion."""
    height, width = draw(st.integers(4, 24)), draw(st.integers(4, 24))
    mask = np.zeros((height, width), bool)
    for _ in range(draw(st.integers(0, 4))):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[y : y + draw(st.integers(1, 14)), x : x + draw(st.integers(1, 14))] = True
    return mask


def neighbourhood(mask: NDArray[np.bool_], y: int, x: int) -> NDArray[np.bool_]:
    """The 3 x 3 square round a pixel; outside the image is background."""
    return np.pad(mask, 1)[y : y + 3, x : x + 3]


def everywhere(mask: NDArray[np.bool_], reduce: str) -> NDArray[np.bool_]:
    height, width = mask.shape
    return np.array(
        [
            [getattr(neighbourhood(mask, y, x), reduce)() for x in range(width)]
            for y in range(height)
        ]
    )


def opened_slowly(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Erode at least once and until at most 0.9 of the area is left, dilate as often."""
    eroded, times = everywhere(mask, "all"), 1
    while eroded.sum() > 0.9 * mask.sum():
        eroded, times = everywhere(eroded, "all"), times + 1
    for _ in range(times):
        eroded = everywhere(eroded, "any")
    return eroded


def flooded(mask: NDArray[np.bool_]) -> list[set[tuple[int, int]]]:
    """4-connected components in the order in which reading finds them."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    components = []
    for start in sorted(left):
        if start not in left:
            continue
        component, border = set(), [start]
        while border:
            y, x = border.pop()
            if (y, x) in left:
                left.remove((y, x))
                component.add((y, x))
                border += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        components.append(component)
    return components


def box(component: set[tuple[int, int]]) -> list[int]:
    ys, xs = zip(*component, strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


@given(MASKS | blobs())
def test_opening_is_what_the_paper_defines(mask: NDArray[np.bool_]) -> None:
    before = mask.copy()
    assert (open_until_shrunk(mask) == opened_slowly(mask)).all()
    assert (mask == before).all()


@given(blobs())
def test_opening_adds_nothing(mask: NDArray[np.bool_]) -> None:
    assert not (open_until_shrunk(mask) & ~mask).any()


def test_a_large_object_is_eroded_until_a_tenth_is_gone() -> None:
    mask = np.zeros((120, 120), bool)
    mask[10:110, 10:110] = (
        True  # 98 * 98 / 100 ** 2 = 0.96, 96 * 96 / 100 ** 2 = 0.92, 94 * 94 / 100 ** 2 = 0.88
    )
    mask[58:62, :10] = True  # a whisker 4 pixels thick survives one erosion, not three
    opened = open_until_shrunk(mask)
    assert opened[10:110, 10:110].all()
    assert not opened[:, :10].any()


def test_outside_the_image_is_background() -> None:
    assert not open_until_shrunk(np.ones((2, 9), bool)).any()


@pytest.mark.parametrize("thickness", [1, 2])
def test_nothing_thinner_than_three_pixels_survives(thickness: int) -> None:
    mask = np.zeros((20, 20), bool)
    mask[5 : 5 + thickness, 2:18] = True
    assert not open_until_shrunk(mask).any()
    assert boxes_of(mask, 0.05, 8).tolist() == [[2, 5, 17, 4 + thickness]]


@given(mask=MASKS | blobs(), fraction=st.floats(0, 1), most=st.integers(1, 6))
def test_boxes_are_tight_round_the_large_4_connected_components(
    mask: NDArray[np.bool_], fraction: float, most: int
) -> None:
    components = flooded(mask)
    by_size = sorted(components, key=len, reverse=True)
    kept = by_size[:most]
    expected = []
    if components:
        main = by_size[0]
        others = [
            c for c in components if c is not main and c in kept and len(c) > fraction * len(main)
        ]
        expected = [box(main), *map(box, others)]
    found = boxes_of(mask, fraction, most)
    assert found.tolist() == expected
    assert (found.dtype, found.shape[1]) == (np.int64, 4)


def test_components_that_touch_at_a_corner_are_two() -> None:
    assert boxes_of(np.eye(2, dtype=bool), 0.05, 8).tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]


def test_the_largest_is_first_and_the_others_follow_from_top_to_bottom() -> None:
    mask = np.zeros((12, 12), bool)
    mask[0, 0:2], mask[2, 0:3], mask[5:10, 5:10], mask[11, 0] = True, True, True, True
    assert boxes_of(mask, 0.05, 8).tolist() == [[5, 5, 9, 9], [0, 0, 1, 0], [0, 2, 2, 2]]


def test_a_component_of_exactly_the_smallest_fraction_gets_no_box() -> None:
    mask = np.zeros((12, 30), bool)
    mask[0:4, 0:5], mask[8, 8] = True, True
    assert len(boxes_of(mask, 0.05, 8)) == 1
    assert len(boxes_of(mask, 0.049, 8)) == 2


def test_of_too_many_components_the_largest_get_boxes() -> None:
    mask = np.zeros((3, 40), bool)
    for n, width in enumerate([1, 4, 2, 5, 3]):
        mask[1, 8 * n : 8 * n + width] = True
    assert boxes_of(mask, 0, 3)[:, 0].tolist() == [24, 8, 32]


def test_an_empty_mask_has_no_boxes() -> None:
    assert boxes_of(np.zeros((4, 4), bool), 0.05, 8).shape == (0, 4)


@pytest.mark.parametrize(
    ("recipe", "boxes"),
    [(AUTO, [[4, 20, 59, 21]]), (PAPER, [])],
    ids=["auto", "paper"],
)
def test_an_object_too_thin_for_the_opening_has_a_box_in_auto_mode(
    recipe: Recipe, boxes: list[list[int]]
) -> None:
    probabilities = torch.zeros(1, 1, 64, 64)
    probabilities[..., 20:22, 4:60] = 1
    found = find_boxes(probabilities, (64, 64), recipe)
    assert found[0].tolist() == boxes


def test_boxes_are_in_pixels_of_the_image_label_by_label() -> None:
    probabilities = torch.zeros(3, 1, 32, 32)
    probabilities[0, 0, 8:16, 8:24] = 1
    probabilities[2, 0, 0:8, 0:4] = 1
    probabilities[2, 0, 20:30, 4:24] = 1
    found = find_boxes(probabilities, (64, 128), AUTO)
    assert [len(boxes) for boxes in found] == [1, 0, 2]
    assert np.abs(found[0][0] - [32, 16, 95, 31]).max() <= 1
    assert np.abs(found[2][0] - [16, 40, 95, 59]).max() <= 1
