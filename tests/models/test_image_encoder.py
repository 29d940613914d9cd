"""SAM's image encoder against segment-anything's own."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor, nn

from napari_iclsam.models import global_attention
from napari_iclsam.models.image_encoder import ImageEncoder


def published(size: int) -> ImageEncoderViT:
    """segment-anything's own encoder with random weights and random positions."""
    torch.manual_seed(size)
    encoder = ImageEncoderViT(
        img_size=size,
        embed_dim=96,
        depth=4,
        num_heads=3,
        global_attn_indexes=(1, 3),
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
    )
    for name, parameter in encoder.named_parameters():
        if "pos" in name or name.endswith("bias"):
            nn.init.normal_(parameter, std=0.5)
    return encoder.eval().requires_grad_(False)


def ours(theirs: ImageEncoderViT) -> ImageEncoder:
    encoder = ImageEncoder(96, 4, 3, (1, 3), theirs.img_size)
    encoder.load_state_dict(theirs.state_dict())
    return encoder.eval().requires_grad_(False)


def relative_error(a: Tensor, b: Tensor) -> float:
    return ((a.float() - b).norm() / b.norm()).item()


@pytest.mark.parametrize(
    ("size", "batch"),
    [(128, 1), (224, 2), (256, 2), (464, 1), (1024, 1)],
    ids=[
        "less-than-a-window",
        "one-window",
        "windows-cut-off",
        "windows-cut-off-two-whole",
        "as-published",
    ],
)
def test_the_encoder_equals_the_published_one(size: int, batch: int) -> None:
    theirs = published(size)
    images = torch.randn(batch, 3, size, size)
    with torch.inference_mode():
        assert torch.allclose(ours(theirs)(images), theirs(images), atol=1e-4, rtol=0)


@pytest.mark.parametrize("queries", [1, 100, 4096], ids=str)
def test_how_many_queries_attend_at_once_changes_nothing(
    queries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = published(256)
    images = torch.randn(1, 3, 256, 256)
    monkeypatch.setattr(global_attention, "_QUERIES", queries)
    with torch.inference_mode():
        assert torch.allclose(ours(theirs)(images), theirs(images), atol=1e-4, rtol=0)


def test_positions_folded_into_the_product_equal_positions_added() -> None:
    """What a graphics card computes."""
    q, k, v = torch.randn(3, 2, 4, 6 * 5, 8)
    by_row, by_column = torch.randn(2, 4, 30, 6), torch.randn(2, 4, 30, 5)
    bias = (by_row[..., :, None] + by_column[..., None, :]).flatten(-2)
    expected = torch.softmax(q @ k.mT / 8**0.5 + bias, dim=-1) @ v
    heads = global_attention.GlobalHeads(q, k, v, by_row, by_column)
    attended = global_attention.attend_folded(heads).transpose(1, 2)
    assert torch.allclose(attended, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_half_precision_stays_near_the_published_encoder(dtype: torch.dtype) -> None:
    theirs = published(256)
    images = torch.randn(2, 3, 256, 256)
    with torch.inference_mode():
        expected = theirs(images)
        assert relative_error(ours(theirs).to(dtype)(images.to(dtype)), expected) < 0.03


def test_the_state_dict_has_the_published_names_and_shapes() -> None:
    theirs = published(256)
    encoder = ours(theirs)
    with torch.inference_mode():
        encoder(
            torch.randn(1, 3, 256, 256)
        )  # what is laid out at the first image does not become part of it
    assert {n: t.shape for n, t in encoder.state_dict().items()} == {
        n: t.shape for n, t in theirs.state_dict().items()
    }


def test_new_weights_replace_all_that_was_laid_out_of_the_old_ones() -> None:
    first = published(224)
    second = copy.deepcopy(first)
    for name, parameter in second.named_parameters():
        if "rel_pos" in name:
            nn.init.normal_(parameter)
    encoder, images = ours(first), torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        before = encoder(images)
        encoder.load_state_dict(second.state_dict())
        after = encoder(images)
        assert torch.allclose(after, second(images), atol=1e-4, rtol=0)
    assert not torch.allclose(before, after, atol=1e-2)


def test_another_precision_replaces_all_that_was_laid_out_of_the_old_one() -> None:
    theirs = published(224)
    encoder, images = ours(theirs), torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        encoder(images)
        expected = theirs.double()(images.double())
        assert torch.allclose(encoder.double()(images.double()), expected, atol=1e-9, rtol=0)


def test_gradients_are_those_of_the_published_encoder() -> None:
    theirs = published(224)
    encoder = ours(theirs)
    images = torch.randn(1, 3, 224, 224)
    gradients = []
    for network in (encoder, theirs):
        query = images.clone().requires_grad_()
        gradients += torch.autograd.grad(network(query).square().sum(), query)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_an_image_in_the_batch_does_not_touch_the_others() -> None:
    encoder = ours(published(256))
    images = torch.randn(3, 3, 256, 256)
    with torch.inference_mode():
        together = encoder(images)
        for n in range(3):
            assert torch.allclose(encoder(images[n : n + 1])[0], together[n], atol=1e-5)
