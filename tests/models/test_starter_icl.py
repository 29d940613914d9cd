"""The in-context starter network: sizes, batches, its ridge similarity, and its bundled weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_iclsam.models.build import build_icl
from napari_iclsam.models.starter_icl import StarterIcl
from napari_iclsam.models.two_scales import TwoScales


def red_squares(count: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return grey noise with a red square (the target) and a green one, each somewhere.

    (N, 3, s, s), (N, 1, s, s).
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, size, size, generator=generator).expand(-1, 3, -1, -1) * 0.3 + 0.2
    images, masks, side = images.clone(), torch.zeros(count, 1, size, size), size // 4
    for n in range(count):
        for channel, half in ((0, 0), (1, size // 2)):
            top = int(torch.randint(0, size - side, (), generator=generator))
            left = half + int(torch.randint(0, size // 2 - side, (), generator=generator))
            if n % 2:
                left = size - side - left
            images[n, channel, top : top + side, left : left + side] += 0.5
            if channel == 0:
                masks[n, :, top : top + side, left : left + side] = 1
    return images, masks


@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
@pytest.mark.parametrize("guided", [False, True])
def test_tasks_and_queries_together_equal_one_at_a_time(
    size: tuple[int, int], guided: bool
) -> None:
    torch.manual_seed(0)
    net = StarterIcl().eval()
    images, masks = torch.rand(2, 3, 3, *size), (torch.rand(2, 3, 1, *size) > 0.5).float()
    queries, guidance = torch.rand(4, 3, *size), torch.randn(4, 1, *size) if guided else None
    with torch.no_grad():
        together = net(queries, net.encode_support(images, masks), guidance)
        assert together.shape == (4, 1, *size)
        for n in range(4):
            one = net.encode_support(images[n // 2][None], masks[n // 2][None])
            alone = net(queries[n][None], one, None if guidance is None else guidance[n][None])
            assert torch.allclose(alone[0], together[n], atol=1e-4)


@pytest.mark.parametrize("make", [StarterIcl, TwoScales])
@pytest.mark.parametrize("guided", [False, True])
def test_images_that_all_tasks_share_give_what_copies_of_them_give(
    make: type[StarterIcl | TwoScales], guided: bool
) -> None:
    torch.manual_seed(0)
    net = make().eval()
    images, masks = torch.rand(1, 3, 3, 64, 64), (torch.rand(2, 3, 1, 64, 64) > 0.5).float()
    query, guidance = torch.rand(1, 3, 64, 64), torch.randn(2, 1, 64, 64) if guided else None
    with torch.no_grad():
        shared = net(query, net.encode_support(images, masks), guidance)
        copies = net.encode_support(images.repeat(2, 1, 1, 1, 1), masks)
        assert shared.shape == (2, 1, 64, 64)
        assert torch.allclose(shared, net(query.repeat(2, 1, 1, 1), copies, guidance), atol=1e-4)


def test_an_untrained_similarity_finds_a_color_wherever_it_is() -> None:
    torch.manual_seed(0)
    net = StarterIcl()
    images, masks = red_squares(4, 64, seed=1)
    queries, truth = red_squares(6, 64, seed=2)
    with torch.no_grad():
        similarity = net.similarity(queries, net.encode_support(images[None], masks[None]))
    assert similarity.shape == (6, 2, 32, 32)
    inside = F.avg_pool2d(truth, 2) > 0.5
    assert similarity[:, :1][inside].mean() > 0.5
    assert similarity[:, :1][~inside].mean() < -0.5


def test_the_guidance_changes_the_answer_and_a_similarity_at_hand_does_not() -> None:
    torch.manual_seed(0)
    net = StarterIcl().eval()
    images, masks = red_squares(3, 32, seed=3)
    with torch.no_grad():
        context = net.encode_support(images[None, :2], masks[None, :2])
        plain = net(images[2:], context)
        assert torch.equal(
            plain, net(images[2:], context, similarity=net.similarity(images[2:], context))
        )
        assert not torch.allclose(
            plain, net(images[2:], context, torch.randn(1, 1, 32, 32)), atol=1e-4
        )


def test_attention_finds_the_support_wherever_it_lies_and_begins_with_nothing() -> None:
    torch.manual_seed(0)
    net = StarterIcl((8, 32), meeting=(1,)).eval()
    attention = net.core.attention["1"]
    u, v = torch.rand(2, 32, 4, 4), [torch.rand(2, 2, 32, 4, 4), torch.rand(2, 1, 32, 4, 4)]
    with torch.no_grad():
        assert torch.equal(attention(u, v), u)
        torch.nn.init.normal_(attention.out.weight)
        met = attention(u, v)
        assert not torch.allclose(met, u, atol=0.1)
        moved = [group.flip(1).roll((1, 2), dims=(-2, -1)) for group in reversed(v)]
        assert torch.allclose(attention(u, moved), met, atol=1e-4)
        assert torch.allclose(attention(u.flip(-1), v), met.flip(-1), atol=1e-4)
        assert not torch.allclose(attention(u, [2 * group * group for group in v]), met, atol=0.1)


def test_two_scales_are_the_mean_of_the_outputs_of_both_while_the_merge_is_untrained() -> None:
    torch.manual_seed(0)
    net = StarterIcl().eval()
    images, masks = red_squares(3, 64, seed=6)
    both = TwoScales(net)
    with torch.no_grad():
        found = both(images[2:], both.encode_support(images[None, :2], masks[None, :2]))
        fine = net(images[2:], net.encode_support(images[None, :2], masks[None, :2]))
        small, small_masks = F.avg_pool2d(images, 2), F.avg_pool2d(masks, 2)
        coarse = net(small[2:], net.encode_support(small[None, :2], small_masks[None, :2]))
        assert torch.allclose(
            found, (fine + F.interpolate(coarse, (64, 64), mode="bilinear")) / 2, atol=1e-5
        )


def test_the_traits_of_a_support_set_tell_thin_masks_and_sharp_images_from_others() -> None:
    lines = (torch.arange(64) % 8 == 0).float().expand(2, 2, 1, 64, 64)
    block = F.pad(torch.ones(2, 2, 1, 32, 32), (16, 16, 16, 16))
    smooth = torch.linspace(0, 1, 64).expand(2, 2, 3, 64, 64)
    noise = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    both = TwoScales()
    with torch.no_grad():
        thin, thick, sharp = (
            both.encode_support(*x).traits
            for x in ((smooth, lines), (smooth, block), (noise, block))
        )
    assert (thin[:, 0] > 5 * thick[:, 0]).all()
    assert (sharp[:, 1] > 5 * thick[:, 1]).all()
    assert torch.allclose(thick[:, 2], torch.tensor(0.5))


def test_the_merge_weighs_tasks_one_by_one() -> None:
    torch.manual_seed(1)
    both = TwoScales()
    torch.nn.init.normal_(both.merge.decide.weight)
    images, masks = torch.rand(2, 3, 3, 64, 64), (torch.rand(2, 3, 1, 64, 64) > 0.5).float()
    masks[1] = 0
    masks[1, :, :, 20:40, 20:40] = 1
    queries = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        together = both(queries, both.encode_support(images, masks))
        for n in range(4):
            one = both.encode_support(images[n // 2][None], masks[n // 2][None])
            assert torch.allclose(both(queries[n][None], one)[0], together[n], atol=1e-4)


@pytest.mark.parametrize("size", TwoScales.image_sizes)
def test_the_bundled_weights_fit_and_find_a_red_square_among_others(size: int) -> None:
    net = build_icl("starter").module
    assert isinstance(net, TwoScales)
    images, masks = red_squares(4, size, seed=4)
    queries, truth = red_squares(4, size, seed=5)
    with torch.no_grad():
        found = net(queries, net.encode_support(images[None], masks[None])) > 0
    overlap = (found & (truth > 0)).sum()
    assert 2 * overlap / (found.sum() + truth.sum()) > 0.8
