"""Images, maps, masks and boxes go to the square input and come back where they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.images.geometry import Frame, resize, resize_mask

SIZES = [
    (64, 64),
    (48, 48),
    (90, 90),
    (48, 96),
    (96, 50),
    (61, 33),
    (40, 64),
    (7, 90),
    (200, 13),
    (64, 60),
]
SIDE, GRID = 64, 16
FRAMES = st.builds(
    Frame, st.integers(2, 300), st.integers(2, 300), st.sampled_from([64, 128, 1024])
)
NOT_SQUARE = [(h, w) for h, w in SIZES if h != w]


def ramps(height: int, width: int) -> Tensor:
    """Rows and columns of each pixel's center, as fractions of the image, (1, 2, H, W)."""
    y, x = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
    return torch.stack(torch.meshgrid(y, x, indexing="ij"))[None]


def ramps_on_grid(frame: Frame, grid: int) -> Tensor:
    """The same fractions at the centres of a grid's cells over the square."""
    height, width = frame.scaled
    centres = (torch.arange(grid) + 0.5) * frame.side / grid
    return torch.stack(torch.meshgrid(centres / height, centres / width, indexing="ij"))[None]


@given(FRAMES)
@example(Frame(2, 300, 64))
def test_the_image_fills_the_square_along_its_longer_side(frame: Frame) -> None:
    height, width = frame.scaled
    assert max(height, width) == frame.side
    assert min(height, width) >= 1
    exact = np.array([frame.height, frame.width]) * frame.side / max(frame.height, frame.width)
    assert (np.abs(np.array([height, width]) - exact) <= np.where(exact < 0.5, 1, 0.5)).all()


@given(FRAMES, st.sampled_from([8, 16, 64]))
def test_the_cells_of_an_image_are_those_it_reaches_into(frame: Frame, grid: int) -> None:
    cell = frame.side / grid
    for cells, extent in zip(frame.cells(grid), frame.scaled, strict=True):
        assert (cells - 1) * cell < extent <= cells * cell


@given(FRAMES, st.lists(st.tuples(*[st.integers(0, 300)] * 4), min_size=1, max_size=5))
def test_boxes_are_scaled_and_come_back(
    frame: Frame, corners: list[tuple[int, int, int, int]]
) -> None:
    boxes = np.array(corners, np.int64)
    square = frame.boxes_to_square(boxes)
    assert square.dtype == torch.float32
    height, width = frame.scaled
    scale = np.array([width / frame.width, height / frame.height] * 2)
    assert np.allclose(square.numpy() / scale, boxes, atol=1e-3)


def test_a_box_round_the_image_is_a_box_round_what_lies_in_the_square() -> None:
    assert Frame(50, 100, 1024).boxes_to_square(np.array([[0, 0, 100, 50]])).tolist() == [
        [0, 0, 1024, 512]
    ]


@pytest.mark.parametrize(("height", "width"), NOT_SQUARE)
def test_a_map_of_a_non_square_image_is_not_displaced(height: int, width: int) -> None:
    frame = Frame(height, width, SIDE)
    got, expected = frame.grid_to_image(ramps_on_grid(frame, GRID)), ramps(height, width)
    for axis, extent in enumerate(frame.scaled):
        half_a_cell = 0.5 * SIDE / GRID / extent
        last = (2 * frame.cells(GRID)[axis] - 1) * half_a_cell
        inner = (expected[0, axis] > half_a_cell) & (expected[0, axis] < last)
        assert torch.allclose(got[0, axis][inner], expected[0, axis][inner], atol=1e-5)
        assert (got[0, axis] - expected[0, axis]).abs().max() <= half_a_cell + 1e-5


@pytest.mark.parametrize(("height", "width"), NOT_SQUARE)
def test_a_map_over_a_non_square_image_is_not_displaced_on_the_grid(
    height: int, width: int
) -> None:
    frame = Frame(height, width, SIDE)
    got, expected = frame.image_to_grid(ramps(240, 240), GRID), ramps_on_grid(frame, GRID)
    rows, columns = frame.cells(GRID)
    assert torch.allclose(
        got[..., :rows, :columns],
        expected[..., :rows, :columns].clamp(max=1 - 0.5 / 240),
        atol=1e-4,
    )


@pytest.mark.parametrize(("height", "width"), NOT_SQUARE)
def test_padding_never_leaks_into_a_map_of_the_image(height: int, width: int) -> None:
    frame = Frame(height, width, SIDE)
    rows, columns = frame.cells(GRID)
    grid_map = torch.full((1, 1, GRID, GRID), torch.nan)
    grid_map[..., :rows, :columns] = 1
    assert ((frame.grid_to_image(grid_map) - 1).abs() < 1e-6).all()
    assert frame.crop_grid(grid_map).shape[-2:] == (rows, columns)
    assert (frame.crop_grid(grid_map) == 1).all()


@pytest.mark.parametrize(("height", "width"), NOT_SQUARE)
def test_the_padding_of_a_grid_is_zero(height: int, width: int) -> None:
    frame = Frame(height, width, SIDE)
    rows, columns = frame.cells(GRID)
    grid_map = frame.image_to_grid(torch.ones(2, 1, 128, 128), GRID)
    assert (grid_map[..., :rows, :columns] - 1).abs().max() < 1e-6
    assert not grid_map[..., rows:, :].any()
    assert not grid_map[..., columns:].any()


@pytest.mark.parametrize("size", [16, 48, 64, 131])
def test_maps_of_square_images_are_plain_bilinear_resizing(size: int) -> None:
    frame, generator = Frame(size, size, SIDE), torch.Generator().manual_seed(0)
    grid_map = torch.rand(2, 1, GRID, GRID, generator=generator)
    assert torch.equal(
        frame.grid_to_image(grid_map),
        F.interpolate(grid_map, (size, size), mode="bilinear", align_corners=False),
    )
    image_map = torch.rand(2, 1, size, size, generator=generator)
    assert torch.allclose(
        frame.image_to_grid(image_map, GRID),
        F.interpolate(image_map, (GRID, GRID), mode="bilinear", align_corners=False),
        atol=1e-6,
    )


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_smooth_map_comes_back_from_the_grid(height: int, width: int) -> None:
    frame = Frame(height, width, SIDE)
    there = 0.5 - 0.5 * torch.cos(torch.pi * ramps(height, width))
    back = frame.grid_to_image(frame.image_to_grid(there, GRID))
    for axis, extent in enumerate(frame.scaled):
        cell = SIDE / GRID / extent
        assert (back[0, axis] - there[0, axis]).abs().max() < max(0.02, 1.7 * cell**1.5)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_logits_of_a_half_plane_come_back_as_that_half(height: int, width: int) -> None:
    frame = Frame(height, width, SIDE)
    low = ramps_on_grid(frame, 64)
    image = frame.logits_to_image(low - 0.5)
    assert image.shape == (1, 2, height, width)
    wrong = (image > 0) != (ramps(height, width) - 0.5 > 0)
    near = (ramps(height, width) - 0.5).abs() <= torch.tensor([0.6 / e for e in frame.scaled]).view(
        1, 2, 1, 1
    )
    assert not (wrong & ~near).any()


def test_logits_of_a_square_image_go_through_the_square_as_sam_does() -> None:
    logits = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(
        F.interpolate(logits, (64, 64), mode="bilinear"), (50, 50), mode="bilinear"
    )
    assert torch.allclose(Frame(50, 50, 64).logits_to_image(logits), expected, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pixels_are_resized_by_their_longer_side_and_padded_with_zeros(
    height: int, width: int
) -> None:
    frame = Frame(height, width, SIDE)
    pixels = frame.to_square(np.full((height, width, 3), [10, 20, 30], np.uint8))
    assert (pixels.shape, pixels.dtype) == ((1, 3, *frame.scaled), torch.float32)
    assert pixels[0, :, 0, 0].tolist() == [10, 20, 30]
    padded = frame.pad(pixels)
    assert padded.shape == (1, 3, SIDE, SIDE)
    assert padded.sum() == pixels.sum()
    assert torch.equal(padded[..., : frame.scaled[0], : frame.scaled[1]], pixels)


def test_an_image_of_the_square_s_size_is_not_touched() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    assert (Frame(SIDE, SIDE, SIDE).to_square(rgb)[0].numpy() == rgb.transpose(2, 0, 1)).all()


def test_resizing_to_the_same_size_gives_the_same_tensor() -> None:
    x = torch.rand(1, 1, 5, 7)
    assert resize(x, (5, 7)) is x
    assert resize(x, (10, 14)).shape[-2:] == (10, 14)


def test_masks_are_resized_by_nearest_neighbours() -> None:
    mask = np.array([[True, False], [False, True]])
    got = resize_mask(mask, (4, 4))
    assert (got.shape, got.dtype) == ((1, 1, 4, 4), torch.float32)
    assert got[0, 0].tolist() == np.kron(mask, np.ones((2, 2))).tolist()
