"""SAM's guided decoder against segment-anything's, and against the published guidance."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from segment_anything.build_sam import _build_sam
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from torch import Tensor, nn

from napari_iclsam.models.features import Decoded, Features
from napari_iclsam.models.prompts import Prompts
from napari_iclsam.models.sam import Sam, vit_encoder

COUNT, GRID = 3, 16
BOXES = torch.tensor(
    [[10.0, 20.0, 90.0, 120.0], [100.0, 5.0, 250.0, 60.0], [0.0, 0.0, 255.0, 255.0]]
)


class SmallSam(Sam):
    """SAM on a grid of 16 x 16 cells."""

    grid = GRID


class PublishedAttention(nn.Module):
    """Attention whose weights are multiplied by exp(bias) after the softmax and renormalised."""

    def __init__(self, attention: Any, bias: Tensor) -> None:
        super().__init__()
        self.attention, self.bias = attention, bias

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        a = self.attention
        q, k, v = (
            x.reshape(*x.shape[:2], a.num_heads, -1)
            for x in (a.q_proj(q), a.k_proj(k), a.v_proj(v))
        )
        logits = torch.einsum("nqhc,nkhc->nhqk", q, k) / q.shape[-1] ** 0.5
        weights = torch.softmax(logits, dim=-1) * torch.exp(self.bias)[:, None]
        weights = weights / weights.sum(dim=-1, keepdim=True)
        return a.out_proj(torch.einsum("nhqk,nkhc->nqhc", weights, v).flatten(2))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    network = SmallSam(nn.Identity(), image_size=256).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.fixture(scope="module")
def features() -> Features:
    return Features(torch.randn(1, 256, GRID, GRID, generator=torch.Generator().manual_seed(1)))


def own_decoder(sam: Sam) -> Any:
    """segment-anything's decoder with the weights of ours."""
    decoder = MaskDecoder(
        transformer_dim=256,
        transformer=TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048),
    )
    decoder.load_state_dict(sam.mask_decoder.state_dict())
    return decoder.eval().requires_grad_(False)


def prompts(kind: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    known = {
        "boxes": {"boxes": BOXES},
        "points": {
            "points": 256 * torch.rand(COUNT, 2, 2, generator=generator),
            "point_labels": torch.tensor([[1, 0], [1, 1], [1, -1]]),
        },
        "masks": {"masks": torch.randn(COUNT, 1, 4 * GRID, 4 * GRID, generator=generator)},
    }
    return {name: value for part in kind.split(" and ") for name, value in known[part].items()}


def decoded_by_segment_anything(
    sam: Sam, decoder: Any, features: Features, given: dict[str, Tensor]
) -> Decoded:
    points = (given["points"], given["point_labels"]) if "points" in given else None
    sparse, dense = sam.prompt_encoder(
        points=points, boxes=given.get("boxes"), masks=given.get("masks")
    )
    logits, iou = decoder(
        features.embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=False
    )
    return Decoded(logits[:, 0], iou[:, 0])


def difference(a: Decoded, b: Decoded) -> float:
    """Largest difference, relative to the range of the logits."""
    assert a.logits.shape == b.logits.shape
    assert a.iou.shape == b.iou.shape
    scale = float(b.logits.max() - b.logits.min())
    return max(float((a.logits - b.logits).abs().max()) / scale, float((a.iou - b.iou).abs().max()))


@pytest.mark.parametrize(
    "kind", ["boxes", "points", "masks", "boxes and points", "boxes and masks", "points and masks"]
)
def test_without_guidance_the_decoder_is_segment_anything_s(
    sam: Sam, features: Features, kind: str
) -> None:
    given = prompts(kind)
    published = decoded_by_segment_anything(sam, own_decoder(sam), features, given)
    assert published.logits.std() > 1e-3
    assert difference(sam.decode(features, Prompts(**given)), published) < 1e-5


@pytest.mark.parametrize("kind", ["boxes", "boxes and masks"])
@pytest.mark.parametrize("strength", [0.0, 0.5, 4.0])
def test_guidance_is_a_factor_on_the_attention_weights(
    sam: Sam, features: Features, kind: str, strength: float
) -> None:
    given = prompts(kind)
    bias = strength * torch.randn(COUNT, GRID * GRID, generator=torch.Generator().manual_seed(3))
    decoder = own_decoder(sam)
    tokens = 1 + decoder.num_mask_tokens + 2  # IoU, masks, the corners of the box
    to_image = torch.zeros(COUNT, tokens, GRID * GRID)
    to_image[:, 1] = bias
    transformer = decoder.transformer
    last = transformer.layers[1]
    last.cross_attn_image_to_token = PublishedAttention(
        last.cross_attn_image_to_token, to_image.transpose(1, 2)
    )
    transformer.final_attn_token_to_image = PublishedAttention(
        transformer.final_attn_token_to_image, to_image
    )
    published = decoded_by_segment_anything(sam, decoder, features, given)
    guided = sam.decode(features, Prompts(**given, bias=bias))
    assert difference(guided, published) < 1e-5
    assert (difference(guided, sam.decode(features, Prompts(**given))) > 1e-4) == (strength > 0)


@pytest.mark.parametrize("kind", ["boxes", "boxes and points", "boxes and masks"])
def test_many_prompts_in_one_call_are_decoded_as_if_alone(
    sam: Sam, features: Features, kind: str
) -> None:
    given = prompts(kind)
    bias = torch.randn(COUNT, GRID * GRID, generator=torch.Generator().manual_seed(3))
    together = sam.decode(features, Prompts(**given, bias=bias))
    for n in range(COUNT):
        alone = sam.decode(features, Prompts(**given, bias=bias).part(n, n + 1))
        assert (
            difference(Decoded(together.logits[n : n + 1], together.iou[n : n + 1]), alone) < 1e-5
        )


def test_one_bias_may_serve_all_prompts(sam: Sam, features: Features) -> None:
    bias = torch.randn(GRID * GRID, generator=torch.Generator().manual_seed(3))
    one = sam.decode(features, Prompts(BOXES, bias))
    each = sam.decode(features, Prompts(BOXES, bias.expand(COUNT, -1)))
    assert torch.equal(one.logits, each.logits)


def test_guidance_towards_a_place_raises_the_attention_there() -> None:
    """With values that show where they come from, the token reads more of the guided cells."""
    torch.manual_seed(0)
    small = SmallSam(
        nn.Identity(), image_size=256
    ).mask_decoder.transformer.final_attn_token_to_image
    attention = PublishedAttention(copy.deepcopy(small), torch.zeros(1, 1, 4))
    bias = torch.tensor([0.0, 9.0, 0.0, 0.0]).view(1, 1, 4)
    q, v = torch.randn(1, 1, 256), torch.randn(1, 4, 256)
    guided = PublishedAttention(attention.attention, bias)(q, v, v)
    alone = PublishedAttention(attention.attention, torch.zeros(1, 1, 1))(q, v[:, 1:2], v[:, 1:2])
    assert (guided - alone).abs().max() < (attention(q, v, v) - alone).abs().max()


def test_sam_subtracts_the_mean_of_imagenet_and_divides_by_its_deviation() -> None:
    network = SmallSam(nn.Identity(), image_size=256)
    pixels = torch.tensor([123.675, 116.28 + 57.12, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert network.normalise(pixels)[0, :, 0, 0].tolist() == pytest.approx(
        [0, 1, -103.53 / 57.375], abs=1e-5
    )


def test_medsam_scales_each_image_by_its_own_extremes() -> None:
    network = SmallSam(nn.Identity(), image_size=256, preprocessing="medsam")
    pixels = torch.stack(
        [torch.linspace(10, 210, 48).view(3, 4, 4), torch.linspace(5, 6, 48).view(3, 4, 4)]
    )
    scaled = network.normalise(pixels)
    for image, before in zip(scaled, pixels, strict=True):
        assert torch.allclose(
            image, (before - before.min()) / (before.max() - before.min()), atol=1e-5
        )


def test_medsam_s_scale_of_a_constant_image_is_zeros() -> None:
    network = SmallSam(nn.Identity(), image_size=256, preprocessing="medsam")
    assert not network.normalise(torch.full((1, 3, 4, 4), 77.0)).any()


def test_the_state_dict_has_the_names_and_shapes_of_segment_anything() -> None:
    published = _build_sam(32, 2, 2, (1,)).state_dict()
    ours = Sam(vit_encoder(32, 2, 2, (1,))).state_dict()
    assert {name: tuple(t.shape) for name, t in ours.items()} == {
        name: tuple(t.shape) for name, t in published.items()
    }
