"""Where an object is to be expected: by template and position prior."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.images.crops import Region
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.in_context.localisation import fit_template, localise
from napari_iclsam.models.features import Features

CELL = 1 / 32


def field(seed: int, cells: int = 32) -> Tensor:
    """Features (16, cells, cells) that change slowly from cell to cell."""
    coarse = torch.randn(
        (1, 16, cells // 4 + 1, cells // 4 + 1), generator=torch.Generator().manual_seed(seed)
    )
    return F.interpolate(coarse, (cells, cells), mode="bicubic", align_corners=True)[0]


def embedding(features: Tensor, height: int = 320, width: int = 320) -> Embedding:
    """The embedding of an image whose part of the grid shows some features.

    The rest is padding, and loud.
    """
    side = max(features.shape[-2:])
    square = torch.full((1, len(features), side, side), 50.0)
    square[..., : features.shape[-2], : features.shape[-1]] = features
    return Embedding(Features(square), Frame(height, width, 512))


def place(
    examples: list[Embedding], regions: list[Region | None], query: Embedding
) -> tuple[float, float]:
    region = localise({3: fit_template(examples, regions)}, query)[3]
    assert region.size == 0
    return region.row, region.column


def at(row: int, column: int, size: float = 0.15) -> Region:
    """A region about the middle of a cell."""
    return Region((row + 0.5) * CELL, (column + 0.5) * CELL, size)


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-4, 5)])
def test_an_object_moves_with_what_lies_around_it(shift: tuple[int, int]) -> None:
    features = field(0)
    moved = features.roll(shift, (-2, -1))
    assert place([embedding(features)], [at(14, 17)], embedding(moved)) == pytest.approx(
        ((14 + shift[0] + 0.5) * CELL, (17 + shift[1] + 0.5) * CELL)
    )


def test_padding_counts_for_nothing_and_places_are_relative_to_the_image() -> None:
    features = field(0)
    wide = F.interpolate(features[None], (16, 32), mode="bilinear")[0]
    region = at(20, 8)
    found = place([embedding(wide, 160, 320)], [region], embedding(wide, 160, 320))
    assert found == pytest.approx((region.row, region.column), abs=1.5 * CELL)


def test_of_places_that_look_the_same_the_nearer_one_is_expected() -> None:
    tile = field(1, 16)
    everywhere = tile.repeat(1, 2, 2)
    for row, column in ((9, 9), (22, 10)):
        found = place([embedding(everywhere)], [at(row, column, 0.05)], embedding(everywhere))
        assert found == pytest.approx((at(row, column).row, at(row, column).column))


def test_the_place_is_that_of_the_formula() -> None:
    """Written out cell by cell, over two examples of which another one does not hold the label."""
    examples, query = [field(n) for n in range(3)], field(5)
    regions = [at(12, 20, 0.2), None, at(16, 15, 0.3)]
    known = [(e, r) for e, r in zip(examples, regions, strict=True) if r]

    def units(features: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        values = features.double().numpy()
        values = values - values.mean(axis=(1, 2), keepdims=True)
        return np.asarray(values / np.linalg.norm(values, axis=0))

    asked, mean = units(query), np.mean([(r.row, r.column) for _, r in known], axis=0)
    scores = np.zeros((32, 32))
    for row in range(32):
        for column in range(32):
            for features, region in known:
                shown, total, likeness = units(features), 0.0, 0.0
                for y in range(-16, 17):
                    for x in range(-16, 17):
                        weight = np.exp(-(y * y + x * x) / 2 / (0.53 * 32 * region.size) ** 2)
                        total += weight
                        a, b = int(region.row * 32) + y, int(region.column * 32) + x
                        c, d = row + y, column + x
                        if min(a, b, c, d) >= 0 and max(a, b, c, d) < 32:
                            likeness += weight * float(shown[:, a, b] @ asked[:, c, d])
                scores[row, column] += likeness / total / len(known)
            centre = (np.array([row, column]) + 0.5) / 32
            scores[row, column] -= float(((centre - mean) ** 2).sum())
    best = np.unravel_index(scores.argmax(), scores.shape)
    found = place([embedding(e) for e in examples], list(regions), embedding(query))
    assert found == pytest.approx(tuple((index + 0.5) / 32 for index in best))


class TestReliable:
    """A template is reliable if the examples are localised well by means of each other."""

    def reliable(self, features: list[Tensor], regions: list[Region | None]) -> bool:
        return fit_template([embedding(own) for own in features], regions).reliable

    def test_of_the_same_scene_a_little_moved(self) -> None:
        shifts = [(0, 0), (2, 1), (-1, 3), (0, -2)]
        features = [field(0).roll(shift, (-2, -1)) for shift in shifts]
        assert self.reliable(features, [at(15 + row, 16 + column) for row, column in shifts])

    def test_not_of_unrelated_scenes_with_objects_here_and_there(self) -> None:
        places = [(8, 9), (24, 8), (7, 25), (23, 22)]
        assert not self.reliable([field(n) for n in range(4)], [at(*place) for place in places])

    def test_not_of_one_example(self) -> None:
        assert not self.reliable([field(0), field(0)], [at(15, 16), None])

    def test_one_that_is_elsewhere_changes_nothing(self) -> None:
        regions = [at(15, 16), at(15, 16), at(15, 16), at(25, 27)]
        assert self.reliable([field(0)] * 4, list(regions))
