"""The linear probe: which cells it is fitted to, and its confidence map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.recipe import AUTO
from napari_iclsam.core.refinement.probe import Probe, fit_probe
from napari_iclsam.models.features import Features

SIDE, GRID, CHANNELS = 64, 16, 6
SIZES = [(64, 64), (40, 64), (128, 48), (30, 90)]
RIGHT = 0.9  # of the pixels: a cell is up to six pixels wide


def mask(height: int, width: int) -> NDArray[np.bool_]:
    """An object in the lower right quarter, (1, H, W)."""
    made = np.zeros((1, height, width), bool)
    made[0, height // 2 :, width // 2 :] = True
    return made


def embedding(
    height: int, width: int, *, noise: float = 0.3, padding: float = 0.0, seed: int = 0
) -> Embedding:
    """Features whose first channel shows the object of `mask`.

    The others are noise, the padding has one value.
    """
    rng, frame = np.random.default_rng(seed), Frame(height, width, SIDE)
    features = rng.normal(0, noise, (CHANNELS, GRID, GRID))
    features[0] -= 1
    h, w = (extent * GRID // SIDE for extent in frame.scaled)
    features[0, h // 2 : h, w // 2 : w] += 2
    rows, columns = frame.cells(GRID)
    features[:, rows:], features[:, :, columns:] = padding, padding
    return Embedding(Features(torch.from_numpy(features).float()[None]), frame)


def flat(probe: Probe) -> bool:
    return not (probe.weights.any() or probe.intercepts.any())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_separable_cells_give_the_right_map_on_the_image(height: int, width: int) -> None:
    probe = fit_probe([embedding(height, width)], [mask(height, width)], AUTO)
    found = probe.confidence(embedding(height, width, seed=1))
    assert found.shape == (1, 1, height, width)
    assert found.min() >= 0
    assert found.max() <= 1
    assert ((found[0, 0].numpy() > 0.5) == mask(height, width)[0]).mean() > RIGHT


def test_the_map_is_the_logistic_function_of_a_plane_in_feature_space() -> None:
    query = embedding(64, 64)
    probe = Probe(torch.randn(2, CHANNELS), torch.randn(2))
    features = query.features.embedding[0]
    for label in range(2):
        plain = (
            sum(probe.weights[label, c] * features[c] for c in range(CHANNELS))
            + probe.intercepts[label]
        )
        assert torch.allclose(probe.logits(query)[label, 0], plain, atol=1e-5)
        expected = query.frame.grid_to_image(1 / (1 + torch.exp(-plain))[None, None])
        assert torch.allclose(probe.confidence(query)[label], expected[0], atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(40, 64), (128, 48)], ids=["wide", "high"])
def test_cells_in_the_padding_do_not_count(height: int, width: int) -> None:
    plain, wild = (
        fit_probe([embedding(height, width, padding=value)], [mask(height, width)], AUTO)
        for value in (0.0, 50.0)
    )
    assert torch.equal(plain.weights, wild.weights)
    assert torch.equal(
        plain.confidence(embedding(height, width)),
        plain.confidence(embedding(height, width, padding=9)),
    )


def test_one_probe_is_fitted_to_images_of_different_sizes() -> None:
    probe = fit_probe(
        [embedding(h, w, seed=h) for h, w in SIZES], [mask(h, w) for h, w in SIZES], AUTO
    )
    for height, width in SIZES:
        found = probe.confidence(embedding(height, width, seed=9))[0, 0].numpy() > 0.5
        assert (found == mask(height, width)[0]).mean() > RIGHT


@pytest.mark.parametrize("value", [False, True], ids=["nowhere", "everywhere"])
def test_a_label_that_is_nowhere_or_everywhere_has_a_flat_map(value: bool) -> None:
    masks = np.concatenate([mask(64, 64), np.full((1, 64, 64), value)])
    probe = fit_probe([embedding(64, 64)], [masks], AUTO)
    assert flat(Probe(probe.weights[1:], probe.intercepts[1:]))
    assert not flat(Probe(probe.weights[:1], probe.intercepts[:1]))
    assert (probe.confidence(embedding(64, 64))[1] == 0.5).all()


def test_a_rare_label_weighs_as_much_as_the_rest() -> None:
    small = np.zeros((1, 64, 64), bool)
    small[0, 56:, 56:] = True
    rare = embedding(64, 64, noise=0.1)
    rare.features.embedding[0, 1, 14:, 14:] += 2
    found = fit_probe([rare], [small], AUTO).confidence(rare)[0, 0].numpy()
    assert found[small[0]].mean() > 0.8
    assert found[~small[0]].mean() < 0.1


def test_labels_fitted_together_are_those_fitted_alone() -> None:
    masks = np.concatenate([mask(64, 64), ~mask(64, 64)[:, ::-1], mask(64, 64)[:, :, ::-1]])
    together = fit_probe([embedding(64, 64, noise=2)], [masks], AUTO)
    for label in range(3):
        alone = fit_probe([embedding(64, 64, noise=2)], [masks[label : label + 1]], AUTO)
        assert torch.allclose(together.weights[label], alone.weights[0], atol=1e-6)


class TestWithMoreCellsThanAsked:
    """256 cells an image; of five images, 1000 cells are drawn."""

    embeddings = tuple(embedding(64, 64, noise=2, seed=s) for s in range(5))
    masks = (mask(64, 64),) * 5

    def fit(self, seed: int) -> Probe:
        return fit_probe(self.embeddings, self.masks, replace(AUTO, probe_cells=1000, seed=seed))

    def test_the_draw_follows_from_the_seed(self) -> None:
        assert torch.equal(self.fit(1).weights, self.fit(1).weights)
        assert not torch.equal(self.fit(1).weights, self.fit(2).weights)

    def test_the_map_hardly_changes(self) -> None:
        full = fit_probe(self.embeddings, self.masks, AUTO)
        few, all_of_them = (p.confidence(self.embeddings[0]).flatten() for p in (self.fit(1), full))
        assert np.corrcoef(few, all_of_them)[0, 1] > 0.98


def test_cells_of_which_nothing_is_known_do_not_count() -> None:
    truth = mask(64, 64)
    known = np.ones((64, 64), bool)
    known[:, :20] = False
    # what is said of unknown pixels is wrong, and does no harm
    wrong = truth | ~known
    probe = fit_probe([embedding(64, 64)], [wrong], AUTO, [known])
    right = fit_probe([embedding(64, 64)], [truth], AUTO, [known])
    assert torch.equal(probe.weights, right.weights)
    assert not torch.equal(probe.weights, fit_probe([embedding(64, 64)], [wrong], AUTO).weights)
