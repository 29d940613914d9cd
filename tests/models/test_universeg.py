"""UniverSeg's factorised form against a plain transcription of the published formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.models.universeg import UniverSeg


def plain_block(block: torch.nn.Module, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """u (Cu, H, W), v (S, Cv, H, W).

    The formula as published, one convolution of the concatenation a pair.
    """
    z = block.cross.cross_conv(torch.cat([u.expand(len(v), *u.shape), v], dim=1))
    target, support = block.target.vmapped, block.support.vmapped
    return (
        F.leaky_relu(target.norm(target.conv(z.mean(dim=0, keepdim=True))), 0.01)[0],
        F.leaky_relu(support.norm(support.conv(z)), 0.01),
    )


def plain_universeg(
    net: UniverSeg, query: Tensor, images: Tensor, masks: Tensor, guidance: Tensor | None
) -> Tensor:
    """Return logits (1, H, W) of a query (C, H, W).

    Of images (S, C, H, W), masks (S, 1, H, W) and guidance (1, H, W).
    """
    u, v = query, torch.cat([images, masks], dim=1)
    skips = []
    for level, block in enumerate(net.enc_blocks):
        u, v = plain_block(block, u, v)
        if level < len(net.enc_blocks) - 1:
            skips.append((u, v))
            u, v = F.max_pool2d(u[None], 2)[0], F.max_pool2d(v, 2)
    for block in net.dec_blocks:
        skip_u, skip_v = skips.pop()
        size = skip_u.shape[-2:]
        u = torch.cat(
            [F.interpolate(u[None], size, mode="bilinear", align_corners=True)[0], skip_u]
        )
        v = torch.cat([F.interpolate(v, size, mode="bilinear", align_corners=True), skip_v], dim=1)
        if guidance is not None:
            weighted = v * F.interpolate(guidance[None], size, mode="bilinear").exp()
            v = weighted * v.norm() / weighted.norm()
        u, v = plain_block(block, u, v)
    return net.out_conv.conv(u[None])[0]


def relative_difference(a: Tensor, b: Tensor) -> float:
    return ((a - b).abs().max() / (b.max() - b.min())).item()


@pytest.mark.parametrize("guided", [False, True], ids=["plain", "guided"])
@pytest.mark.parametrize("pairs", [1, 2, 5, 16])
@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "rgb"])
def test_factorised_form_equals_the_published_formula(
    channels: int, pairs: int, guided: bool
) -> None:
    torch.manual_seed(pairs)
    net = UniverSeg(channels)
    query = torch.rand(channels, 32, 48)
    images, masks = (
        torch.rand(pairs, channels, 32, 48),
        (torch.rand(pairs, 1, 32, 48) > 0.5).float(),
    )
    guidance = 0.3 * torch.randn(1, 32, 48) if guided else None

    ours = net(
        query[None],
        net.encode_support(images[None], masks[None]),
        None if guidance is None else guidance[None],
    )
    plain = plain_universeg(net, query, images, masks, guidance)
    assert relative_difference(ours[0], plain) < 1e-5


@pytest.mark.parametrize("guided", [False, True], ids=["plain", "guided"])
@pytest.mark.parametrize("pairs", [1, 5])
def test_factorised_form_equals_the_plain_one_with_normalisation_and_several_mask_channels(
    pairs: int, guided: bool
) -> None:
    torch.manual_seed(pairs)
    net = UniverSeg(5, (16, 24, 16), mask_channels=2, groups=4)
    query, guidance = torch.rand(2, 5, 16, 24), 0.3 * torch.randn(2, 1, 16, 24) if guided else None
    images, masks = torch.rand(2, pairs, 5, 16, 24), torch.rand(2, pairs, 2, 16, 24)

    ours = net(query, net.encode_support(images, masks), guidance)
    for n in range(2):
        plain = plain_universeg(
            net, query[n], images[n], masks[n], None if guidance is None else guidance[n]
        )
        assert relative_difference(ours[n], plain) < 1e-5


@pytest.mark.parametrize("guided", [False, True], ids=["plain", "guided"])
@pytest.mark.parametrize("pairs", [1, 2, 5, 16])
def test_factorised_form_has_the_gradient_of_the_published_formula(
    pairs: int, guided: bool
) -> None:
    torch.manual_seed(
        pairs
    )  # in float64: in float32 a rounding may flip the sign before a rectifier
    net = UniverSeg().double()
    query = torch.rand(1, 16, 24, dtype=torch.float64, requires_grad=True)
    images, masks = (
        torch.rand(pairs, 1, 16, 24).double(),
        (torch.rand(pairs, 1, 16, 24) > 0.5).double(),
    )
    guidance = 0.3 * torch.randn(1, 16, 24).double() if guided else None

    ours = net(
        query[None],
        net.encode_support(images[None], masks[None]),
        None if guidance is None else guidance[None],
    )
    plain = plain_universeg(net, query, images, masks, guidance)
    unused = ("dec_blocks.2.support",)  # nobody reads the last block's support output
    parameters = [query, *(p for name, p in net.named_parameters() if not name.startswith(unused))]
    target = torch.rand_like(plain)
    for a, b in zip(
        torch.autograd.grad((ours[0] * target).sum(), parameters),
        torch.autograd.grad((plain * target).sum(), parameters),
        strict=True,
    ):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_a_batch_of_tasks_and_queries_equals_one_at_a_time() -> None:
    torch.manual_seed(0)
    net = UniverSeg()
    images, masks = torch.rand(2, 9, 1, 16, 16), torch.rand(2, 9, 1, 16, 16)
    queries, guidance = torch.rand(6, 1, 16, 16), torch.randn(6, 1, 16, 16)
    with torch.no_grad():
        together = net(queries, net.encode_support(images, masks), guidance)
        for n in range(6):
            one = net.encode_support(images[n // 3][None], masks[n // 3][None])
            assert torch.allclose(
                net(queries[n][None], one, guidance[n][None])[0], together[n], atol=1e-6
            )


@pytest.mark.parametrize("guided", [False, True], ids=["plain", "guided"])
def test_images_that_all_tasks_share_give_what_copies_of_them_give(guided: bool) -> None:
    torch.manual_seed(0)
    net = UniverSeg()
    images, masks = torch.rand(1, 5, 1, 16, 16), torch.rand(3, 5, 1, 16, 16)
    query, guidance = torch.rand(1, 1, 16, 16), torch.randn(3, 1, 16, 16) if guided else None
    with torch.no_grad():
        shared = net(query, net.encode_support(images, masks), guidance)
        copies = net.encode_support(images.repeat(3, 1, 1, 1, 1), masks)
        assert shared.shape == (3, 1, 16, 16)
        assert torch.allclose(shared, net(query.repeat(3, 1, 1, 1), copies, guidance), atol=1e-6)


def test_the_state_dict_has_the_published_names_and_size() -> None:
    state = UniverSeg().state_dict()
    assert sum(t.numel() for t in state.values()) == 1_182_785
    assert set(state) == {
        *(
            f"{part}_blocks.{n}.{conv}.{kind}"
            for part, blocks in (("enc", 4), ("dec", 3))
            for n in range(blocks)
            for conv in ("cross.cross_conv", "target.vmapped.conv", "support.vmapped.conv")
            for kind in ("weight", "bias")
        ),
        "out_conv.conv.weight",
        "out_conv.conv.bias",
    }


def test_guidance_of_zero_changes_nothing() -> None:
    torch.manual_seed(1)
    net = UniverSeg()
    query = torch.rand(1, 1, 16, 16)
    support = net.encode_support(torch.rand(1, 3, 1, 16, 16), torch.rand(1, 3, 1, 16, 16))
    assert torch.allclose(
        net(query, support), net(query, support, torch.zeros(1, 1, 16, 16)), atol=1e-6
    )
