"""Names and files of one's own become networks, or sentences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from segment_anything.build_sam import _build_sam
from torch import Tensor, nn

from napari_iclsam.models import memory, tiny_vit
from napari_iclsam.models.architectures import recognise, vit_shape
from napari_iclsam.models.assembly import HalfPrecision
from napari_iclsam.models.build import build_icl, build_sam, describe
from napari_iclsam.models.prompts import Prompts
from napari_iclsam.models.sam import Sam, vit_encoder
from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.models.universeg import UniverSeg
from napari_iclsam.weights import folders
from napari_iclsam.weights.catalogue import CATALOGUE
from napari_iclsam.weights.download import ChecksumError, MissingWeights

Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a network's weights and return the path."""

    def write(module: nn.Module | dict[str, Tensor], name: str = "mine.pth") -> str:
        state = module.state_dict() if isinstance(module, nn.Module) else module
        path = tmp_path / name
        if path.suffix == ".safetensors":
            safetensors.torch.save_file(state, path)
        else:
            torch.save(state, path)
        return str(path)

    return write


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    """Return segment-anything's own network, small, with random weights."""
    torch.manual_seed(0)
    sam = _build_sam(
        encoder_embed_dim=48, encoder_depth=2, encoder_num_heads=3, encoder_global_attn_indexes=[1]
    )
    for name, value in sam.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            nn.init.normal_(value, std=0.1)
    return sam.eval()  # type: ignore[no-any-return]


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folders.weights_folder().mkdir(parents=True)
    return folders.weights_folder()


def test_a_sam_of_one_s_own_embeds_and_decodes_as_segment_anything(
    reference: nn.Module, save: Save
) -> None:
    path = save(reference)
    built = build_sam(path)
    sam = built.module
    assert isinstance(sam, Sam)
    assert not sam.training
    assert not any(parameter.requires_grad for parameter in sam.parameters())
    assert built.sha256 == f"sha256:{hashlib.sha256(Path(path).read_bytes()).hexdigest()}"
    assert built.weights.architecture == "vit_b"
    assert built.weights.license == "unknown (own file)"
    image, box = 255 * torch.rand(1, 3, 1024, 1024), torch.tensor([[100.0, 200.0, 600.0, 700.0]])
    with torch.inference_mode():
        features = sam.encode(sam.normalise(image))
        expected = reference.image_encoder(reference.preprocess(image))
        assert (features.embedding - expected).abs().max() < 1e-4
        sparse, dense = reference.prompt_encoder(points=None, boxes=box, masks=None)
        logits, iou = reference.mask_decoder(
            expected, reference.prompt_encoder.get_dense_pe(), sparse, dense, False
        )
        decoded = sam.decode(features, Prompts(box))
    assert (decoded.logits - logits[:, 0]).abs().max() < 1e-4
    assert (decoded.iou - iou[:, 0]).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("sizes", "architecture"),
    [
        ((768, 12, 12, (2, 5, 8, 11)), "vit_b"),
        ((1024, 24, 16, (5, 11, 17, 23)), "vit_l"),
        ((1280, 32, 16, (7, 15, 23, 31)), "vit_h"),
    ],
    ids=["b", "l", "h"],
)
def test_the_size_is_recognised_from_the_tensors(
    sizes: tuple[int, int, int, tuple[int, ...]], architecture: str
) -> None:
    with torch.device("meta"):
        tensors = Sam(vit_encoder(*sizes)).state_dict()
    shape = vit_shape(tensors, Path("mine.pth"))
    assert (shape.embed_dim, shape.depth, shape.heads, shape.global_blocks) == sizes
    assert shape.image_size == 1024
    assert recognise(tensors, Path("mine.pth")) == architecture
    assert sum(value.numel() for value in tensors.values()) == pytest.approx(
        CATALOGUE[f"sam_{architecture}"].parameters, rel=1e-3
    )


def test_bfloat16_halves_the_encoder_and_nearly_keeps_its_output(
    reference: nn.Module, save: Save
) -> None:
    path = save(reference)
    half, full = build_sam(path, torch.bfloat16).module, build_sam(path).module
    assert isinstance(half, Sam)
    assert isinstance(full, Sam)
    image = torch.rand(1, 3, 1024, 1024)
    with torch.inference_mode():
        one, other = half.encode(image), full.encode(image)
        assert half.decode(one, Prompts(torch.tensor([[0.0, 0, 9, 9]]))).logits.isfinite().all()
    assert one.embedding.dtype == torch.float32
    assert (one.embedding - other.embedding).norm() < 0.05 * other.embedding.norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_is_that_of_the_encoder_alone(
    dtype: torch.dtype, reference: nn.Module, save: Save
) -> None:
    sam = build_sam(save(reference), dtype).module
    assert isinstance(sam, Sam)
    assert isinstance(sam.image_encoder, HalfPrecision)
    assert {value.dtype for value in sam.image_encoder.parameters()} == {dtype}
    assert {value.dtype for value in sam.mask_decoder.parameters()} == {torch.float32}


def test_a_mobile_sam_is_recognised(save: Save) -> None:
    shapes = json.loads((Path(__file__).parent / "data" / "mobile_sam_keys.json").read_text())
    built = build_sam(save({name: torch.zeros(shape) for name, shape in shapes.items()}))
    assert built.weights.architecture == "vit_t"
    assert isinstance(built.module, Sam)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model_state": state},
        lambda state: {f"sam.{name}": value for name, value in state.items()},
        lambda state: (
            state
            | {"image_encoder.layers.1.blocks.0.attn.attention_bias_idxs": torch.zeros(49, 49)}
        ),
        lambda state: {name: value for name, value in state.items() if "head.weight" not in name},
    ],
    ids=["in a checkpoint", "with a prefix", "with index tables", "without the classifier"],
)
def test_a_fine_tuned_mobile_sam_is_recognised(
    wrap: Callable[[dict[str, Tensor]], dict[str, Any]], save: Save
) -> None:
    shapes = json.loads((Path(__file__).parent / "data" / "mobile_sam_keys.json").read_text())
    path = save(wrap({name: torch.zeros(shape) for name, shape in shapes.items()}), "vit_t.pt")
    built = build_sam(f"vit_t_lm:{path}")
    assert built.weights.architecture == "vit_t"
    assert built.weights.license == "CC-BY-4.0"
    assert built.weights.preprocessing == "sam"


def lite_medsam_tensors() -> dict[str, Tensor]:
    """Return tensors of LiteMedSAM's layout.

    MobileSAM's with patches of one pixel and without a classifier.
    """
    shapes = json.loads((Path(__file__).parent / "data" / "mobile_sam_keys.json").read_text())
    for name in (
        "image_encoder.patch_embed.seq.0.c.weight",
        "image_encoder.patch_embed.seq.2.c.weight",
    ):
        shapes[name][2:] = [1, 1]
    return {
        name: torch.zeros(shape)
        for name, shape in shapes.items()
        if name not in tiny_vit.IGNORED_KEYS
    }


def test_a_lite_medsam_is_recognised_and_gets_its_own_preprocessing(save: Save) -> None:
    assert len(lite_medsam_tensors()) == 435
    built = build_sam(save(lite_medsam_tensors()))
    assert built.weights.architecture == "vit_t_256"
    assert built.weights.preprocessing == "lite_medsam"
    assert isinstance(built.module, Sam)
    assert built.module.image_size == 256
    assert built.module.resampling == "area"


def test_a_lite_medsam_in_bfloat16_keeps_its_decoder_in_float32(save: Save) -> None:
    sam = build_sam(save(lite_medsam_tensors()), torch.bfloat16).module
    assert isinstance(sam, Sam)
    assert {value.dtype for value in sam.image_encoder.parameters()} == {torch.bfloat16}
    assert {value.dtype for value in sam.mask_decoder.parameters()} == {torch.float32}


def test_pixels_of_a_lite_medsam_are_scaled_by_the_image_s_extremes_before_padding() -> None:
    sam = Sam(nn.Identity(), image_size=256, preprocessing="lite_medsam")
    pixels = torch.tensor([50.0, 100.0, 150.0]).view(1, 1, 1, 3).expand(1, 3, 2, 3)
    assert sam.normalise(pixels)[0, 0, 0].tolist() == [0, 0.5, 1]
    assert sam.resampling == "area"
    assert Sam(nn.Identity(), preprocessing="medsam").resampling == "bilinear"


@pytest.mark.parametrize("channels", [1, 3])
def test_a_universeg_of_any_channels_and_widths_is_recognised(channels: int, save: Save) -> None:
    module = UniverSeg(channels, (8, 12, 16))
    built = build_icl(save(module, "mine.safetensors"))
    assert isinstance(built.module, UniverSeg)
    assert built.module.image_channels == channels
    state = module.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in built.module.state_dict().items())


def test_a_starter_sam_of_one_s_own_is_recognised(save: Save) -> None:
    built = build_sam(save(StarterSam(), "mine.safetensors"))
    assert isinstance(built.module, StarterSam)
    assert built.weights.preprocessing == "starter"


@pytest.mark.parametrize(
    ("name", "prefix", "preprocessing"),
    [
        ("mine.pth", "", "sam"),
        ("mine.pth", "medsam:", "medsam"),
        ("medsam_vit_b.pth", "", "medsam"),
    ],
    ids=["by default", "by a name before it", "by its file name"],
)
def test_the_preprocessing_of_a_file_is_sam_s_unless_said_otherwise(
    name: str, prefix: str, preprocessing: str, reference: nn.Module, save: Save
) -> None:
    built = build_sam(prefix + save(reference, name))
    assert built.weights.preprocessing == preprocessing
    assert isinstance(built.module, Sam)
    assert built.module.preprocessing == preprocessing


def test_a_file_may_be_replaced_once_it_is_loaded(reference: nn.Module, save: Save) -> None:
    path = save(reference)
    module = build_sam(path).module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with Path(path).open("r+b") as file:
        file.write(bytes(Path(path).stat().st_size))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("name", ["starter", "sam_vit_b", "medsam", "vit_b_lm"])
def test_a_name_is_described_without_its_file(name: str) -> None:
    assert describe(name, "sam").kind == "sam"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("sam_vit_q", r"no weights are called 'sam_vit_q': did you mean 'sam_vit_"),
        ("absent.pth", r"there is no file of weights absent\.pth"),
        ("some/folder", r"there is no file of weights some"),
        ("medsam:absent.pth", r"there is no file of weights absent\.pth"),
        ("universeg", r"'universeg' is not a promptable model"),
    ],
)
def test_what_is_neither_a_name_nor_a_file_gets_a_sentence(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build_sam(name)


def test_weights_that_are_not_there_are_said_to_be_missing(
    no_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 10**12)
    with pytest.raises(MissingWeights, match="napari-iclsam models download sam_vit_b"):
        build_sam("sam_vit_b")


def test_a_file_under_a_published_name_is_checked_before_it_is_read(
    no_hub: Path, reference: nn.Module
) -> None:
    torch.save(reference.state_dict(), no_hub / "mobile_sam.pt")
    with pytest.raises(
        ChecksumError, match=r"has \d+ bytes, expected 40728226.*Nothing was changed"
    ):
        build_sam("mobile_sam")
    assert (no_hub / "mobile_sam.pt").exists()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda state: state.pop("mask_decoder.iou_token.weight"),
            r"1 tensor is missing \(mask_decoder\.iou_token",
        ),
        (lambda state: state.update(gain=torch.ones(1)), r"1 tensor is unknown \(gain\)"),
        (
            lambda state: state.update({"image_encoder.neck.0.weight": torch.ones(128, 48, 1, 1)}),
            r"neck\.0\.weight: expected \[256, 48, 1, 1\], got \[128, 48, 1, 1\]",
        ),
        (
            lambda state: state.pop("image_encoder.pos_embed"),
            r"incomplete SAM: 'image_encoder\.pos_embed' is missing",
        ),
        (
            lambda state: state.update({"image_encoder.pos_embed": torch.ones(1, 32, 32, 48)}),
            r"for images of 512 x 512 in patches of 16, expected 1024 x 1024",
        ),
    ],
    ids=["missing", "unknown", "shape", "incomplete", "input size"],
)
def test_a_sam_that_does_not_fit_says_which_tensor(
    spoil: Callable[[dict[str, Tensor]], object], sentence: str, reference: nn.Module, save: Save
) -> None:
    state = dict(reference.state_dict())
    spoil(state)
    with pytest.raises(ValueError, match=sentence):
        build_sam(save(state))


def test_a_network_of_another_kind_is_refused_with_what_it_is(save: Save) -> None:
    universeg, other = save(UniverSeg(1, (4, 4)), "icl.pth"), save(nn.Linear(2, 3), "other.pth")
    with pytest.raises(ValueError, match=r"icl\.pth holds universeg, expected a promptable model"):
        build_sam(universeg)
    with pytest.raises(
        ValueError, match=r"2 tensors of a network that is not known here \(first: weight\)"
    ):
        build_icl(other)


def test_a_vit_h_is_refused_before_it_is_fetched_where_memory_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 3_000_000_000)
    with pytest.raises(
        MemoryError, match=r"SAM ViT-H needs about .* GB of memory and 3\.0 GB are free: close"
    ):
        build_sam("sam_vit_h")
    with pytest.raises(
        MissingWeights
    ):  # it would be embedded elsewhere: only its parameters are needed here
        build_sam("sam_vit_h", torch.bfloat16, here=False)


def test_a_large_file_of_one_s_own_is_refused_where_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, reference: nn.Module, save: Save
) -> None:
    path = save(reference)
    monkeypatch.setattr(memory, "available", lambda: 1_000_000)
    with pytest.raises(MemoryError, match=r"own file mine\.pth needs about"):
        build_sam(path)


def test_free_memory_is_a_sound_number() -> None:
    assert 0 < memory.available() < 10**14


def test_a_container_s_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    (tmp_path / "memory.stat").write_text("anon 3500\ninactive_file 300\n")
    assert memory.available() == 1300
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() > 1300
