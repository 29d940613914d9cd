"""Small networks with fixed random weights, and images with objects to find in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray

from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.networks import LoadedSam, ModelFacts, Networks
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.settings import Settings
from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.models.universeg import UniverSeg

settings.register_profile(
    "untimed", deadline=None
)  # how fast a machine is, is no property of the code
settings.load_profile("untimed")


def scene(
    height: int = 48, width: int = 48, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """A noisy image with a bright disc (label 1) and a darker bar (label 4)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.int32)
    cy, cx = height * rng.uniform(0.25, 0.4), width * rng.uniform(0.25, 0.4)
    labels[(y - cy) ** 2 + (x - cx) ** 2 <= (min(height, width) * 0.2) ** 2] = 1
    labels[int(height * 0.7) : int(height * 0.9), int(width * 0.5) : int(width * 0.9)] = 4
    grey = np.select([labels == 1, labels == 4], [200, 140], 60) + rng.normal(0, 8, labels.shape)
    return np.clip(grey, 0, 255).astype(np.uint8), labels


Scene = Callable[..., tuple[NDArray[np.uint8], NDArray[np.int32]]]


@pytest.fixture(name="scene", scope="session")
def _scene() -> Scene:
    """Make an image with labels 1 and 4 of a height, a width and a seed."""
    return scene


@pytest.fixture(scope="session")
def networks() -> Networks:
    """Random networks whose in-context model takes bright pixels as foreground."""
    torch.manual_seed(3)
    icl = UniverSeg(features=(8, 8, 8, 8)).eval().requires_grad_(False)
    sam = StarterSam(image_size=64).eval().requires_grad_(False)
    image, labels = scene()
    query = torch.from_numpy(image / 255).float()[None, None]
    mask = torch.from_numpy(labels > 0).float()[None, None, None]
    logits = icl(query, icl.encode_support(query[:, None], mask))
    sign = (
        1
        if logits[0, 0][mask[0, 0, 0] > 0].mean() > logits[0, 0][mask[0, 0, 0] == 0].mean()
        else -1
    )
    scale = 2 * sign / logits.std()
    icl.out_conv.conv.weight.mul_(scale)
    icl.out_conv.conv.bias.sub_(logits.quantile(0.65 if sign > 0 else 0.35)).mul_(scale)
    return Networks(
        (LoadedSam(sam, facts=ModelFacts("small_sam", "a", fusion_default="starter")),),
        icl,
        icl_facts=ModelFacts("small_icl", "b"),
    )


@pytest.fixture(scope="session")
def cache() -> EmbeddingCache:
    return EmbeddingCache()


@pytest.fixture(scope="session")
def segmenter(networks: Networks, cache: EmbeddingCache) -> Callable[..., ICLSAM]:
    """Make segmenters of the small networks.

    Settings are given by name; cross-validation is off unless they ask for it.
    """

    def make(**settings: Any) -> ICLSAM:
        return ICLSAM(
            settings=Settings(**{"cross_validate": False, **settings}),
            networks=networks,
            cache=cache,
        )

    return make
