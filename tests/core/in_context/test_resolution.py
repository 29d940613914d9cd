"""The input size of the in-context model: as small as the masks allow, or nearest to the images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_iclsam.core.encoder.examples import Examples
from napari_iclsam.core.images.intensity import as_rgb8
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.in_context.coarse_to_fine import encode_full_images, full_image_side
from napari_iclsam.core.in_context.runner import InContextRunner
from napari_iclsam.core.recipe import PAPER, Recipe, resolve
from napari_iclsam.core.settings import Settings
from napari_iclsam.models.two_scales import TwoScales
from napari_iclsam.models.universeg import UniverSeg

AUTO = resolve(Settings())


class Sizes(nn.Module):
    """An in-context network that remembers the sizes of the support images it is given."""

    image_sizes = TwoScales.image_sizes
    image_channels = 1

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[int, ...]] = []

    def encode_support(self, images: Tensor, masks: Tensor) -> None:
        assert images.shape == masks.shape
        self.given.append(tuple(images.shape))


def disc(row: int, column: int, radius: int, side: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[:side, :side]
    return np.asarray((y - row) ** 2 + (x - column) ** 2 <= radius**2)


def lines(width: int, side: int) -> NDArray[np.bool_]:
    """Slanting lines, three times as far apart as they are wide."""
    return np.asarray(np.indices((side, side)).sum(axis=0) % (4 * width) < width)


def encoded_side(mask: NDArray[np.bool_], recipe: Recipe) -> int:
    """Input size at which a full image with this mask is encoded."""
    image = np.where(mask, 190, 80).astype(np.uint8)
    examples = Examples(SupportSet.of([image], [mask]), (as_rgb8(image),))
    network = Sizes()
    runner = InContextRunner(network, torch.device("cpu"), torch.float32, recipe)
    encoded = encode_full_images(runner, examples)
    assert network.given == [(1, 1, 1, encoded.side, encoded.side)]
    return encoded.side


@pytest.mark.parametrize(
    ("mask", "side"),
    [
        (disc(150, 150, 120, 384), 256),
        (disc(150, 150, 60, 384) | disc(320, 320, 40, 384), 384),
        (lines(5, 384), 512),
        (lines(3, 256), 512),
        (lines(2, 128), 256),  # no more than twice their own size
        (disc(150, 150, 9, 384), 256),  # crops will outline it
        (disc(60, 60, 6, 256), 128),
        (disc(60, 60, 20, 128), 128),
    ],
)
def test_full_images_are_as_large_as_the_masks_need(mask: NDArray[np.bool_], side: int) -> None:
    assert encoded_side(mask, AUTO) == side
    assert encoded_side(mask, PAPER) == len(mask)


@pytest.mark.parametrize(
    ("shapes", "side"),
    [
        ([(120, 120)], 128),
        ([(88, 203)], 128),
        ([(233, 197)], 256),
        ([(50, 40), (260, 380)], 384),
        ([(2000, 1500)], 512),
    ],
)
def test_in_paper_mode_full_images_are_near_the_size_of_the_largest_example(
    shapes: list[tuple[int, int]], side: int
) -> None:
    masks = [[np.zeros(shape, bool) for shape in shapes]]
    assert full_image_side(TwoScales.image_sizes, masks, PAPER) == side
    assert full_image_side(UniverSeg.image_sizes, masks, PAPER) == 128


def test_in_stacks_objects_of_most_of_the_plane_have_no_crops_that_would_outline_them() -> None:
    comb = np.zeros((384, 384), bool)
    comb[80:310, 80:310] = True
    comb[82:306:4, 90:310] = False
    sides = TwoScales.image_sizes
    in_image = full_image_side(sides, [[comb]], AUTO)
    assert full_image_side(sides, [[comb]], replace(AUTO, sparing=True)) > in_image


def test_the_smallest_input_is_one_for_all() -> None:
    smallest = replace(AUTO, input_size="smallest", coarse_to_fine=False)
    thin = np.zeros((1000, 1000), bool)
    thin[500] = True
    assert full_image_side(TwoScales.image_sizes, [[thin]], smallest) == 128
    assert full_image_side(TwoScales.image_sizes, [[thin]], AUTO) > 128
