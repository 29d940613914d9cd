"""What resembles an object by the features of promptable models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.recipe import AUTO, PAPER, resolve
from napari_iclsam.core.refinement.probe import fit_probe, mean_similarity
from napari_iclsam.core.refinement.similarity import fit_similarity
from napari_iclsam.core.settings import Settings
from napari_iclsam.models.features import Features

SIDE, GRID, CHANNELS = 64, 16, 6
SIZES = [(64, 64), (40, 64), (128, 48)]


def masks(height: int, width: int) -> NDArray[np.bool_]:
    """An object in the lower right quarter, and a label that is not there, (2, H, W)."""
    made = np.zeros((2, height, width), bool)
    made[0, height // 2 :, width // 2 :] = True
    return made


def embedding(height: int, width: int, seed: int, *, first: int = 0) -> Embedding:
    """Features of which one channel shows the object and the others are noise."""
    rng, frame = np.random.default_rng(seed), Frame(height, width, SIDE)
    features = rng.normal(0, 0.3, (CHANNELS, GRID, GRID))
    h, w = (extent * GRID // SIDE for extent in frame.scaled)
    features[first] -= 1
    features[first, h // 2 : h, w // 2 : w] += 2
    rows, columns = frame.cells(GRID)
    # beside the image there is no image: these values must not count
    features[:, rows:], features[:, :, columns:] = 50, 50
    return Embedding(Features(torch.from_numpy(features).float()[None]), frame)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_what_looks_like_the_object_is_found(height: int, width: int) -> None:
    fitted = fit_similarity([embedding(height, width, 0)], [masks(height, width)], AUTO)
    log_odds = fitted.log_odds(embedding(height, width, 1))
    assert log_odds.shape == (2, 1, height, width)
    found = log_odds[0, 0].numpy() > 0
    assert (found == masks(height, width)[0]).mean() > 0.9


def test_of_a_label_that_no_example_holds_nothing_is_known() -> None:
    fitted = fit_similarity([embedding(64, 64, 0)], [masks(64, 64)], AUTO)
    assert not fitted.log_odds(embedding(64, 64, 1))[1].any()


def test_unknown_pixels_do_not_count() -> None:
    known = np.ones((64, 64), bool)
    # the upper half would tell that the object is background
    known[:32] = False
    wrong = masks(64, 64)
    wrong[0, :32] = True
    fitted = fit_similarity([embedding(64, 64, 0)], [wrong], AUTO, [known])
    found = fitted.log_odds(embedding(64, 64, 1))[0, 0].numpy() > 0
    assert (found == masks(64, 64)[0])[32:].mean() > 0.9


def test_a_part_of_the_cells_tells_as_much() -> None:
    few = replace(AUTO, probe_cells=100)
    fitted = fit_similarity([embedding(64, 64, 0)], [masks(64, 64)], few)
    whole = fit_similarity([embedding(64, 64, 0)], [masks(64, 64)], AUTO)
    assert not torch.equal(fitted.mean, whole.mean)
    found = fitted.log_odds(embedding(64, 64, 1))[0, 0].numpy() > 0
    assert (found == masks(64, 64)[0]).mean() > 0.9


def test_two_models_are_averaged() -> None:
    of_image = [masks(64, 64)]
    probes = [fit_probe([embedding(64, 64, 0, first=n)], of_image, AUTO) for n in (0, 3)]
    seen = [embedding(64, 64, 1, first=n) for n in (0, 3)]
    both = mean_similarity(probes, seen)
    each = []
    for probe, own in zip(probes, seen, strict=True):
        assert probe.similarity is not None
        each.append(probe.similarity.log_odds(own))
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)


def test_examples_may_be_more_than_cells() -> None:
    few = replace(AUTO, probe_cells=1)
    of_images = [masks(64, 64)] * 2
    fitted = fit_similarity([embedding(64, 64, n) for n in range(2)], of_images, few)
    assert torch.isfinite(fitted.log_odds(embedding(64, 64, 2))).all()


def test_without_in_context_guidance_there_is_none() -> None:
    assert resolve(Settings()).feature_similarity
    assert not resolve(Settings(icl_guidance=0)).feature_similarity


def test_in_paper_mode_there_is_none() -> None:
    probe = fit_probe([embedding(64, 64, 0)], [masks(64, 64)], PAPER)
    assert mean_similarity([probe], [embedding(64, 64, 1)]) is None
