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

from napari_iclsam.core import fusion, in_context, method
from napari_iclsam.core.encoder.cache import Embedding, EmbeddingCache
from napari_iclsam.core.images.geometry import resize
from napari_iclsam.core.networks import Networks
from napari_iclsam.core.refinement.probe import Probe, fit_probe
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.settings import Settings
from napari_iclsam.models.sam import Sam, vit_encoder
from napari_iclsam.models.universeg import UniverSeg

TOLERANCE = 1e-4
SALTS = {"square_rgb_sam": "parity-a3", "square_grey_medsam": "parity-b"}
PAPER = Settings(mode="paper", channel="red")
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
    """One published case and our networks with its weights; stages take the published input of the stage before."""

    arrays: Mapping[str, Any]
    networks: Networks
    query: Embedding
    probe: Probe
    confidence: Tensor
    learnt: method.Learnt
    examples: method.Examples

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
        with_named_weights(sam, salt, "sam"), with_named_weights(UniverSeg(), salt, "universeg")
    )
    segmenter = ICLSAM(networks=networks, settings=PAPER, cache=EmbeddingCache())
    with torch.inference_mode():
        task = segmenter.fit(list(arrays["support_images"]), list(arrays["support_masks"]))
        query = networks.embed(arrays["query"], segmenter.cache)
        probe = Probe(
            torch.from_numpy(arrays["probe_coef"])[None],
            torch.from_numpy(arrays["probe_intercept"]),
        )
        yield Case(
            arrays, networks, query, probe, probe.confidence(query), task._learnt, task._examples
        )


def difference(ours: Tensor | np.ndarray, published: np.ndarray) -> float:
    return float(np.abs(np.asarray(ours, dtype=np.float64) - published).max())


def segment(case: Case, settings: Settings) -> Tensor:
    seen = in_context.segment_in_context(
        case.networks,
        case.learnt.reference,
        case.examples,
        case.arrays["query"],
        case.query,
        case.confidence,
        settings,
    )
    return seen.closer


def refine(case: Case) -> Tensor:
    boxes = (case.arrays["boxes_xyxy"],)
    return method.refine_with_sam(
        case.networks, case.query, segment(case, PAPER), case.confidence, boxes, PAPER
    )


def test_embedding(case: Case) -> None:
    assert (
        difference(case.query.features.embedding[0, :, ::8, ::8], case.arrays["features_sub"])
        < TOLERANCE
    )


def test_confidence_map_of_the_published_probe(case: Case) -> None:
    assert difference(case.confidence[0, 0, ::2, ::2], case.arrays["confidence_sub"]) < TOLERANCE


def test_confidence_map_of_a_fit_on_all_cells_is_nearly_the_same(case: Case) -> None:
    masks = [case.examples.masks(pair) for pair in range(len(case.examples.support))]
    ours = fit_probe(case.examples.embeddings, masks, PAPER).confidence(case.query)
    assert np.corrcoef(ours.ravel(), case.confidence.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings(mode="paper", channel="red", icl_guidance=0), "icl_logits_alpha0"),
        (PAPER, "icl_logits"),
    ],
    ids=["unguided", "guided"],
)
def test_in_context_model(case: Case, settings: Settings, name: str) -> None:
    assert (
        difference(torch.logit(segment(case, settings).double())[0, 0], case.arrays[name])
        < TOLERANCE
    )


def test_numbers_that_depend_on_the_number_of_examples(case: Case) -> None:
    weights = fusion.published_weights(len(case.examples.support))
    z = fusion.standardise(case.confidence, case.confidence.mean())
    alpha = fusion.icl_guidance(case.confidence, len(case.examples.support), PAPER) / z
    assert weights.icl == pytest.approx(float(case.arrays["gamma"]), abs=1e-6)
    assert weights.sam == pytest.approx(1 - float(case.arrays["gamma"]), abs=1e-6)
    assert alpha.median().item() == pytest.approx(float(case.arrays["alpha"]), abs=1e-5)


def test_boxes_and_mask_of_the_in_context_model(case: Case) -> None:
    icl = torch.sigmoid(torch.from_numpy(case.arrays["icl_logits"]))[None, None]
    boxes = method.find_boxes(icl, case.size, PAPER)[0]
    assert boxes.tolist() == case.arrays["boxes_xyxy"].tolist()
    assert agreement(resize(icl, case.size)[0, 0] > 0.5, case.arrays["icl_mask_packed"]) >= 0.999


def test_attention_bias(case: Case) -> None:
    bias = fusion.sam_bias(case.confidence, case.query.frame, 64, PAPER).reshape(64, 64)
    assert difference(bias, case.arrays["attention_bias_64"]) < TOLERANCE


def test_low_resolution_logits_of_each_box(case: Case) -> None:
    boxes = case.query.frame.boxes_to_square(case.arrays["boxes_xyxy"])
    bias = torch.from_numpy(case.arrays["attention_bias_64"]).reshape(1, -1)
    decoded = case.networks.promptable.decode(case.query.features, boxes, bias=bias)
    assert difference(decoded.logits[:, ::2, ::2], case.arrays["low_res_logits"]) < TOLERANCE
    assert difference(decoded.iou[:, None], case.arrays["iou"]) < TOLERANCE


def test_sam_logits_on_the_image(case: Case) -> None:
    sam = refine(case)
    assert difference(sam[0, 0, ::2, ::2], case.arrays["sam_logits_sub"]) < TOLERANCE
    assert agreement(sam[0, 0] > 0, case.arrays["sam_mask_packed"]) >= 0.999


def test_fused_score_and_mask(case: Case) -> None:
    icl = fusion.icl_score(segment(case, PAPER), case.size)
    weights = [fusion.published_weights(len(case.examples.support))]
    fused = fusion.fuse(icl, fusion.sam_score(refine(case)), weights)
    assert difference(fused[0, 0, ::2, ::2], case.arrays["fused_sub"]) < TOLERANCE
    assert agreement(fused[0, 0] > 0, case.arrays["fused_mask_packed"]) >= 0.999


def agreement(mask: Tensor, packed: np.ndarray) -> float:
    """Return on which fraction of pixels a mask equals a published, packed one."""
    flat = np.asarray(mask).ravel()
    return float((flat == np.unpackbits(packed)[: flat.size].astype(bool)).mean())
