"""In which precision the networks compute, and that a run says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_iclsam import ICLSAM, Settings, dice
from napari_iclsam.core.encoder import device
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.encoder.device import choose_precision
from napari_iclsam.core.encoder.embedding import Embedding
from napari_iclsam.core.encoder.runner import PromptableRunner, Prompts
from napari_iclsam.core.images.geometry import Frame
from napari_iclsam.core.recipe import AUTO
from napari_iclsam.models.assembly import HalfPrecision
from napari_iclsam.models.build import build_sam
from napari_iclsam.models.features import Features
from napari_iclsam.models.sam import Sam, vit_encoder
from napari_iclsam.models.universeg import UniverSeg

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
    ids=["avx512", "amx", "neither", "unknown"],
)
def test_auto_is_bfloat16_where_the_processor_multiplies_it(
    cpu: dict[str, object], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_cpu", lambda: cpu)
    assert choose_precision("auto", CPU, large=True) == expected
    assert choose_precision("auto", CPU, large=False) == torch.float32


@pytest.mark.parametrize("known", [True, False], ids=["bfloat16", "float16"])
def test_auto_is_what_a_graphics_card_knows(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: known)
    expected = torch.bfloat16 if known else torch.float16
    assert choose_precision("auto", torch.device("cuda"), large=True) == expected


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_precision_that_is_asked_for_is_taken(name: str) -> None:
    assert choose_precision(name, CPU, large=False) == getattr(torch, name)


def test_an_unknown_precision_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"one of auto, float32, bfloat16, float16; got 'half'"):
        choose_precision("half", CPU, large=True)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A small SAM for images of 1024 x 1024 and a small in-context model, with random weights."""
    torch.manual_seed(0)
    sam, icl = tmp_path / "own_sam.safetensors", tmp_path / "own_icl.safetensors"
    save_file(Sam(vit_encoder(32, 2, 2, (1,))).state_dict(), sam)
    save_file(UniverSeg(1, (8, 8)).state_dict(), icl)
    return str(sam), str(icl)


@pytest.mark.parametrize(
    ("mode", "asked", "expected"),
    [
        ("auto", "auto", "bfloat16"),
        ("auto", "float32", "float32"),
        ("paper", "auto", "float32"),
        ("paper", "bfloat16", "bfloat16"),
    ],
    ids=["auto", "asked-for", "paper", "paper-asked-for"],
)
def test_a_prediction_says_how_precise_it_is(
    mode: str, asked: str, expected: str, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_cpu", lambda: {"avx512_bf16": True})
    segmenter = ICLSAM(
        files[0],
        icl=files[1],
        device="cpu",
        settings=Settings(mode=mode, cross_validate=False),
        cache=EmbeddingCache(),
        precision=asked,
    )
    image = np.random.default_rng(0).integers(0, 255, (40, 48), np.uint8)
    labels = np.zeros((40, 48), np.int32)
    labels[10:30, 10:30] = 1

    prediction = segmenter.fit([image], [labels]).predict(image)

    assert prediction.provenance.precision == expected
    assert prediction.provenance.icl_precision == expected
    encoder = segmenter.networks.sams[0].network.image_encoder
    assert isinstance(encoder, HalfPrecision) == (expected != "float32")
    assert next(encoder.parameters()).dtype == getattr(torch, expected)
    assert segmenter.networks.icl_dtype == getattr(torch, expected)


@pytest.mark.parametrize(("asked", "expected"), [("auto", "bfloat16"), ("float32", "float32")])
def test_decoders_run_in_half_precision_where_small_encoders_do_not(
    asked: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_cpu", lambda: {"avx512_bf16": True})
    networks = ICLSAM("starter", device="cpu", precision=asked).networks
    experts = networks.runners(AUTO, EmbeddingCache()).experts.runners
    assert len(experts) == 2
    for expert in experts:
        assert expert.precision == "float32"
        assert expert.encoder_autocast == ""
        assert expert.decoder_precision == expected


@pytest.mark.parametrize(("asked", "expected"), [("auto", "bfloat16"), ("float32", "float32")])
def test_in_a_stack_the_encoder_of_starter_sam_computes_in_half_precision(
    asked: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_cpu", lambda: {"avx512_bf16": True})
    settings = Settings(cross_validate=False)
    segmenter = ICLSAM("starter", device="cpu", precision=asked, settings=settings)
    volume = np.random.default_rng(0).integers(0, 255, (3, 40, 48), np.uint8)
    labels = np.zeros((3, 40, 48), np.int32)
    labels[0, 10:30, 10:30] = 1

    task = segmenter.fit_stack(volume, labels).task

    (runner,) = task.context.runners.experts.runners
    assert runner.encoder_autocast == task.provenance.precision == expected
    image = segmenter.fit([volume[0]], [labels[0]])
    assert image.provenance.precision == "float32"


def test_the_encoder_of_starter_sam_nearly_says_the_same_in_half_precision() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
    # one cache: what one has embedded is not what the other asks for
    network, cache = build_sam("starter_sam").module, EmbeddingCache()
    embedded = {}
    for name in ("float32", "bfloat16"):
        runner = PromptableRunner(network, cache, CPU, encoder_autocast=name)
        embedded[name] = runner.embed(image)
    pairs = zip(
        (embedded["float32"].features.embedding, embedded["float32"].features.detail),
        (embedded["bfloat16"].features.embedding, embedded["bfloat16"].features.detail),
        strict=True,
    )
    for full, half in pairs:
        assert full.dtype == half.dtype == torch.float32
        assert 1e-4 < float((full - half).norm() / full.norm()) < 0.02


def test_sam_decodes_in_the_precision_of_its_encoder_and_nearly_the_same() -> None:
    torch.manual_seed(0)
    sam = Sam(torch.nn.Identity()).eval().requires_grad_(False)
    embedding = Embedding(Features(torch.randn(1, 256, 64, 64) / 2), Frame(900, 1000, 1024))
    boxes = torch.tensor([[100.0, 100, 400, 500], [300, 20, 900, 800]])
    prompts = Prompts(boxes, torch.randn(2, 4096), 4 * torch.randn(2, 1, 256, 256))
    with torch.inference_mode():
        full, half = (
            PromptableRunner(sam, EmbeddingCache(), CPU, precision).decode(embedding, prompts)
            for precision in ("float32", "bfloat16")
        )
    assert full.dtype == half.dtype == torch.float32
    assert 1e-4 < float((full - half).norm() / full.norm()) < 0.03
    assert dice((full > 0).numpy(), (half > 0).numpy()) > 0.99


def test_the_bundled_in_context_model_finds_the_same_in_half_precision() -> None:
    random = np.random.default_rng(0)
    images, labels = random.normal(50, 10, (3, 120, 100)), np.zeros((3, 120, 100), np.int32)
    for n in range(3):
        labels[n, 20 + 10 * n : 60 + 10 * n, 30:70] = 1
    images[labels > 0] += 60
    found = {}
    for precision in ("float32", "bfloat16"):
        settings = Settings(use_sam=False, cross_validate=False, fine_tune=False)
        task = ICLSAM(
            precision=precision, device="cpu", settings=settings, cache=EmbeddingCache()
        ).fit(images[:2], labels[:2])
        found[precision] = task.predict(images[2])
    assert not np.array_equal(found["float32"].probabilities[1], found["bfloat16"].probabilities[1])
    assert dice(found["float32"].labels, found["bfloat16"].labels) > 0.99
