"""Every stage of "paper" mode against arrays computed by the published implementation.

The cases in ``data`` and all ``*.npz`` with support images in the folder named by
ICLSAM_PARITY_DIR. Weights are made again from their names.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_iclsam.core.context import FittedContext
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.encoder.embedding import EmbeddedImage
from napari_iclsam.core.encoder.runner import PromptableRunner
from napari_iclsam.core.fusion.published import fuse, icl_score, sam_score
from napari_iclsam.core.fusion.weights import published_weights
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.in_context.coarse_to_fine import segment_in_context
from napari_iclsam.core.networks import LoadedSam, Networks
from napari_iclsam.core.recipe import resolve
from napari_iclsam.core.refinement.guidance import (
    attention_bias,
    in_context_guidance,
    standardise,
)
from napari_iclsam.core.refinement.probe import Probe, fit_probe
from napari_iclsam.core.refinement.prompts import find_boxes
from napari_iclsam.core.refinement.sam import refine_with_sam
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.settings import Settings
from napari_iclsam.models.prompts import Prompts
from napari_iclsam.models.sam import Sam, vit_encoder
from napari_iclsam.models.universeg import UniverSeg

TOLERANCE = 1e-4
SALTS = {"square_rgb_sam": "parity-a3", "square_grey_medsam": "parity-b"}
SETTINGS = Settings(mode="paper", channel="red")
PAPER = resolve(SETTINGS)
FOLDERS = [
    Path(__file__).parent / "data",
    *map(Path, filter(None, [os.environ.get("ICLSAM_PARITY_DIR")])),
]
CASES = [
    path
    for folder in FOLDERS
    for path in sorted(folder.glob("*.npz"))
    if "support_images" in np.load(path)
]


def with_named_weights(network: nn.Module, salt: str, name: str) -> nn.Module:
    """Give a network the weights that follow from the names of its tensors."""
    state = {}
    for key, tensor in network.state_dict().items():
        shape = tuple(tensor.shape)
        seed = zlib.crc32(f"{salt}/{name}:{key}".encode())
        z = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
        if "rel_pos" in key:
            z = 0.02 * z
        elif "pos_embed" in key:
            z = 0.2 * z
        elif "positional_encoding_gaussian_matrix" in key:
            pass
        elif len(shape) >= 2:
            z = z / np.float32(np.sqrt(np.prod(shape[1:])))
        else:
            z = 1 + 0.1 * z if key.endswith(".weight") else 0.05 * z
        state[key] = torch.from_numpy(np.asarray(z, np.float32))
    network.load_state_dict(state)
    return network.eval()


@dataclass(frozen=True)
class Case:
    """One published case and our networks with its weights.

    Stages take the published input of the stage before.
    """

    arrays: Mapping[str, Any]
    context: FittedContext
    query: EmbeddedImage
    confidence: Tensor

    @property
    def promptable(self) -> PromptableRunner:
        return self.context.runners.experts.runners[0]

    @property
    def pairs(self) -> int:
        return len(self.context.examples)

    @property
    def size(self) -> tuple[int, int]:
        return self.arrays["query"].shape[:2]


@pytest.fixture(scope="module", params=CASES, ids=lambda path: path.stem)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    arrays = dict(np.load(request.param))
    salt = str(arrays["salt"]) if "salt" in arrays else SALTS[request.param.stem]
    sam = Sam(
        vit_encoder(96, 4, 3, (1, 3)), preprocessing="medsam" if arrays["medsam_norm"] else "sam"
    )
    networks = Networks(
        (LoadedSam(with_named_weights(sam, salt, "sam")),),
        with_named_weights(UniverSeg(), salt, "universeg"),
    )
    segmenter = ICLSAM(networks=networks, settings=SETTINGS, cache=EmbeddingCache())
    with torch.inference_mode():
        task = segmenter.fit(list(arrays["support_images"]), list(arrays["support_masks"]))
        query = task.context.runners.experts.embed(arrays["query"])
        probe = Probe(
            torch.from_numpy(arrays["probe_coef"])[None],
            torch.from_numpy(arrays["probe_intercept"]),
        )
        yield Case(arrays, task.context, query, probe.confidence(query.embedding))


def difference(ours: Tensor | np.ndarray, published: np.ndarray) -> float:
    return float(np.abs(np.asarray(ours, dtype=np.float64) - published).max())


def segment(case: Case, alpha0: float = PAPER.icl_guidance) -> Tensor:
    runner, encoded = case.context.runners.in_context, case.context.encoded
    assert encoded is not None
    guidance = in_context_guidance(case.confidence, case.pairs, alpha0)
    return segment_in_context(runner, encoded, case.query, guidance).probabilities


def refine(case: Case) -> Tensor:
    boxes = (case.arrays["boxes_xyxy"],)
    return refine_with_sam(
        case.promptable, case.query.embedding, segment(case), case.confidence, boxes, PAPER
    )


def test_embedding(case: Case) -> None:
    features = case.query.embedding.features.embedding
    assert difference(features[0, :, ::8, ::8], case.arrays["features_sub"]) < TOLERANCE


def test_confidence_map_of_the_published_probe(case: Case) -> None:
    assert difference(case.confidence[0, 0, ::2, ::2], case.arrays["confidence_sub"]) < TOLERANCE


def test_confidence_map_of_a_fit_on_all_cells_is_nearly_the_same(case: Case) -> None:
    examples = case.context.examples
    masks = [examples.masks(pair) for pair in range(case.pairs)]
    ours = fit_probe(examples.of_expert(0), masks, PAPER).confidence(case.query.embedding)
    assert np.corrcoef(ours.ravel(), case.confidence.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("alpha0", "name"),
    [(0, "icl_logits_alpha0"), (PAPER.icl_guidance, "icl_logits")],
    ids=["unguided", "guided"],
)
def test_in_context_model(case: Case, alpha0: float, name: str) -> None:
    logits = torch.logit(segment(case, alpha0).double())[0, 0]
    assert difference(logits, case.arrays[name]) < TOLERANCE


def test_numbers_that_depend_on_the_number_of_examples(case: Case) -> None:
    weights = published_weights(case.pairs)
    z = standardise(case.confidence, case.confidence.mean())
    alpha = in_context_guidance(case.confidence, case.pairs, PAPER.icl_guidance) / z
    assert weights.parts[0] == pytest.approx(float(case.arrays["gamma"]), abs=1e-6)
    assert weights.parts[1] == pytest.approx(1 - float(case.arrays["gamma"]), abs=1e-6)
    assert alpha.median().item() == pytest.approx(float(case.arrays["alpha"]), abs=1e-5)


def test_boxes_and_mask_of_the_in_context_model(case: Case) -> None:
    icl = torch.sigmoid(torch.from_numpy(case.arrays["icl_logits"]))[None, None]
    boxes = find_boxes(icl, case.size, PAPER)[0]
    assert boxes.tolist() == case.arrays["boxes_xyxy"].tolist()
    assert agreement(resize(icl, case.size)[0, 0] > 0.5, case.arrays["icl_mask_packed"]) >= 0.999


def test_attention_bias(case: Case) -> None:
    bias = attention_bias(case.confidence, case.query.embedding.frame, 64, PAPER.sam_guidance)
    assert difference(bias.reshape(64, 64), case.arrays["attention_bias_64"]) < TOLERANCE


def test_low_resolution_logits_of_each_box(case: Case) -> None:
    embedding = case.query.embedding
    boxes = embedding.frame.boxes_to_square(case.arrays["boxes_xyxy"])
    bias = torch.from_numpy(case.arrays["attention_bias_64"]).reshape(1, -1)
    decoded = case.promptable.promptable.decode(embedding.features, Prompts(boxes, bias))
    assert difference(decoded.logits[:, ::2, ::2], case.arrays["low_res_logits"]) < TOLERANCE
    assert difference(decoded.iou[:, None], case.arrays["iou"]) < TOLERANCE


def test_sam_logits_on_the_image(case: Case) -> None:
    sam = refine(case)
    assert difference(sam[0, 0, ::2, ::2], case.arrays["sam_logits_sub"]) < TOLERANCE
    assert agreement(sam[0, 0] > 0, case.arrays["sam_mask_packed"]) >= 0.999


def test_fused_score_and_mask(case: Case) -> None:
    icl = icl_score(segment(case), case.size)
    fused = fuse(icl, sam_score(refine(case)), [published_weights(case.pairs)])
    assert difference(fused[0, 0, ::2, ::2], case.arrays["fused_sub"]) < TOLERANCE
    assert agreement(fused[0, 0] > 0, case.arrays["fused_mask_packed"]) >= 0.999


def agreement(mask: Tensor, packed: np.ndarray) -> float:
    """Return on which fraction of pixels a mask equals a published, packed one."""
    flat = np.asarray(mask).ravel()
    return float((flat == np.unpackbits(packed)[: flat.size].astype(bool)).mean())
