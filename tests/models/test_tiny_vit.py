"""MobileSAM's and LiteMedSAM's encoder against published names and published outputs."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_iclsam.models.checkpoint import load_strictly
from napari_iclsam.models.sam import Sam
from napari_iclsam.models.tiny_vit import IGNORED_KEYS, TinyVitEncoder, from_published

DATA = Path(__file__).parent / "data"
SHAPES: dict[str, list[int]] = json.loads((DATA / "mobile_sam_keys.json").read_text())


def named_weight(name: str, shape: list[int]) -> Tensor:
    """Make the parity pack's weight of a name.

    The same everywhere, of a scale that keeps activations sound.
    """
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    seed = zlib.crc32(f"parity-t/sam:{name}".encode())
    z = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        value = 1 + 0.1 * np.abs(z)
    elif "positional_encoding_gaussian_matrix" in name:
        value = z
    elif len(shape) >= 2:
        value = z / np.float32(np.sqrt(np.prod(shape[1:])))
    else:
        value = 1 + 0.1 * z if name.endswith(".weight") else 0.05 * z
    return torch.from_numpy(value.astype(np.float32))


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Return a file of the published layout."""
    return {name: named_weight(name, shape) for name, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def mobile_sam(published: dict[str, Tensor]) -> Sam:
    sam = Sam(TinyVitEncoder())
    load_strictly(sam, from_published(published), "mobile_sam", IGNORED_KEYS)
    return sam.eval()


def test_all_439_published_names_are_loaded_or_named_as_unneeded(
    published: dict[str, Tensor], mobile_sam: Sam
) -> None:
    assert len(published) == 439
    loaded, renamed = mobile_sam.state_dict(), from_published(published)
    assert set(renamed) == set(loaded) | IGNORED_KEYS
    assert all(torch.equal(loaded[name], renamed[name]) for name in loaded)


def test_the_embedding_is_that_of_the_published_implementation(mobile_sam: Sam) -> None:
    y, x = np.mgrid[:1024, :1024]
    waves = [127 + 100 * np.sin(x / 37) * np.cos(y / 53), 127 + 90 * np.cos((x + y) / 71), x % 256]
    image = np.stack(waves).clip(0, 255).astype(np.uint8)
    with torch.inference_mode():
        embedding = mobile_sam.encode(
            mobile_sam.normalise(torch.from_numpy(image)[None].float())
        ).embedding
    expected = np.load(DATA / "mobile_sam_encoder.npz")["features_sub"]
    assert embedding.shape == (1, 256, 64, 64)
    assert np.abs(embedding[0, :, ::8, ::8].numpy() - expected).max() < 1e-4


def test_index_tables_of_older_files_are_passed_over(published: dict[str, Tensor]) -> None:
    older = published | {
        "image_encoder.layers.1.blocks.0.attn.attention_bias_idxs": torch.zeros(49, 49)
    }
    assert from_published(older).keys() == from_published(published).keys()


def test_a_file_that_lacks_a_tensor_is_refused(published: dict[str, Tensor]) -> None:
    lacking = {
        name: value for name, value in published.items() if name != "image_encoder.neck.2.weight"
    }
    with pytest.raises(
        ValueError, match=r"mine: 1 tensor is missing \(image_encoder\.neck\.2\.weight\)"
    ):
        load_strictly(Sam(TinyVitEncoder()), from_published(lacking), "mine", IGNORED_KEYS)


@pytest.fixture
def lite() -> TinyVitEncoder:
    """Return LiteMedSAM's encoder with random weights and random statistics of its batch norms."""
    torch.manual_seed(0)
    encoder = TinyVitEncoder(256)
    for name, value in encoder.state_dict().items():
        if value.is_floating_point():
            value.copy_(named_weight(name, list(value.shape)))
    encoder.eval()
    return encoder.requires_grad_(False)


def timm_s_way(encoder: TinyVitEncoder, x: Tensor) -> Tensor:
    return encoder.neck(encoder.stages(encoder.patch_embed(x)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("height", [64, 80], ids=["whole strips of rows", "a part of a strip"])
def test_the_cheaper_way_gives_the_embedding_of_timm_s(lite: TinyVitEncoder, height: int) -> None:
    images = torch.rand(2, 3, height, 64, generator=torch.Generator().manual_seed(1))
    expected = timm_s_way(lite, images)
    torch.testing.assert_close(lite(images), expected, atol=1e-4, rtol=1e-4)


def test_folded_batch_norms_do_not_change_the_embedding(lite: TinyVitEncoder) -> None:
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = timm_s_way(lite, images)
    lite.fold_norms()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in lite.modules())
    torch.testing.assert_close(lite(images), expected, atol=1e-4, rtol=1e-4)


def test_gradients_reach_the_image_and_the_first_layer(lite: TinyVitEncoder) -> None:
    lite.requires_grad_(True)
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    lite(images).square().sum().backward()
    assert images.grad is not None
    assert images.grad.any()
    assert lite.patch_embed.conv1.conv.weight.grad.any()


def test_an_image_size_of_neither_model_is_refused() -> None:
    with pytest.raises(ValueError, match="image size of 1024 or 256, got 512"):
        TinyVitEncoder(512)
