"""starter-sam: shapes, every kind of prompt, guidance, and the bundled weights."""

from __future__ import annotations

from importlib.resources import files

import pytest
import torch
from safetensors.torch import load
from torch import Tensor

from napari_iclsam.models.features import Features
from napari_iclsam.models.prompt_maps import bias_maps, box_maps, mask_maps, point_maps, prompt_maps
from napari_iclsam.models.prompts import Prompts
from napari_iclsam.models.starter_sam import StarterSam

BOXES = torch.tensor([[8.0, 16.0, 56.0, 80.0], [40.0, 8.0, 90.0, 60.0], [2.0, 2.0, 20.0, 20.0]])


@pytest.fixture(scope="module")
def network() -> StarterSam:
    torch.manual_seed(0)
    return StarterSam(image_size=96).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def features(network: StarterSam) -> Features:
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(1)) * 255
    return network.encode(network.normalise(image))


def test_an_image_becomes_an_embedding_and_detail_at_twice_its_size(
    network: StarterSam, features: Features
) -> None:
    assert network.grid == 12
    assert features.embedding.shape == (1, network.embedding_channels, 12, 12)
    assert features.detail is not None
    assert features.detail.shape[2:] == (24, 24)


def test_the_default_input_gives_the_embedding_size_of_sam() -> None:
    network = StarterSam()
    assert (network.image_size, network.grid, network.embedding_channels) == (512, 64, 256)


def test_an_input_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 32, got 100"):
        StarterSam(image_size=100)


@pytest.mark.parametrize("kind", ["boxes", "points", "masks", "all"])
def test_each_kind_of_prompt_gives_one_mask_and_one_quality_a_prompt(
    network: StarterSam, features: Features, kind: str
) -> None:
    points = torch.tensor([[[20.0, 30.0], [1.0, 1.0]]]).expand(3, -1, -1)
    labels = torch.tensor([[1, 0], [1, -1], [1, 1]])
    prompts = Prompts(
        boxes=BOXES if kind in ("boxes", "all") else None,
        points=points if kind in ("points", "all") else None,
        point_labels=labels if kind in ("points", "all") else None,
        masks=torch.randn(3, 1, 48, 48) if kind in ("masks", "all") else None,
    )
    decoded = network.decode(features, prompts)
    assert decoded.logits.shape == (3, 48, 48)
    assert decoded.logits.isfinite().all()
    assert decoded.iou.shape == (3,)
    assert ((decoded.iou >= 0) & (decoded.iou <= 1)).all()


def test_many_boxes_give_what_each_gives_alone(network: StarterSam, features: Features) -> None:
    together = network.decode(features, Prompts(BOXES))
    for index in range(len(BOXES)):
        alone = network.decode(features, Prompts(BOXES[index : index + 1]))
        torch.testing.assert_close(together.logits[index], alone.logits[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(together.iou[index], alone.iou[0], atol=1e-4, rtol=1e-4)


def test_the_box_decides_which_mask_is_drawn(network: StarterSam, features: Features) -> None:
    logits = network.decode(features, Prompts(BOXES)).logits
    assert (logits[0] - logits[1]).abs().max() > 1e-3


@pytest.mark.parametrize("shape", [(144,), (3, 144)], ids=["one_for_all_prompts", "one_a_prompt"])
def test_guidance_changes_the_mask(
    network: StarterSam, features: Features, shape: tuple[int, ...]
) -> None:
    bias = torch.randn(shape, generator=torch.Generator().manual_seed(2)) * 3
    plain = network.decode(features, Prompts(BOXES))
    guided = network.decode(features, Prompts(BOXES, bias))
    assert (plain.logits - guided.logits).abs().max() > 1e-3


def test_guidance_of_one_prompt_leaves_the_others_as_they_were(
    network: StarterSam, features: Features
) -> None:
    bias = torch.zeros(3, 144)
    other = bias.clone()
    other[1] = torch.linspace(-4, 4, 144)
    first = network.decode(features, Prompts(BOXES, bias))
    second = network.decode(features, Prompts(BOXES, other))
    torch.testing.assert_close(first.logits[[0, 2]], second.logits[[0, 2]], atol=1e-5, rtol=1e-5)
    assert (first.logits[1] - second.logits[1]).abs().max() > 1e-3


def test_all_prompts_reach_every_part_that_is_trained(network: StarterSam) -> None:
    trained = StarterSam(image_size=64)
    features = trained.encode(torch.randn(1, 3, 64, 64))
    prompts = Prompts(BOXES[:1], torch.randn(64), torch.randn(1, 1, 32, 32))
    decoded = trained.decode(features, prompts)
    (decoded.logits.square().mean() + decoded.iou.sum()).backward()
    idle = [
        name
        for name, value in trained.named_parameters()
        if value.grad is None or not value.grad.any()
    ]
    assert idle == []


def test_the_ridge_similarity_separates_what_the_features_tell_apart(network: StarterSam) -> None:
    generator = torch.Generator().manual_seed(3)
    object_ = torch.zeros(24, 24)
    object_[6:14, 4:12] = 1
    detail = torch.randn(1, 32, 24, 24, generator=generator) + 3 * torch.sign(object_ - 0.5)
    features = Features(torch.randn(1, 256, 12, 12, generator=generator), detail)
    maps = prompt_maps(12, Prompts(torch.tensor([[16.0, 24.0, 48.0, 56.0]])), detail)
    like = network.decoder.similarity(features, maps, torch.zeros(1, dtype=torch.int64)).fine[0, 0]
    assert like[object_ > 0].mean() > 0.7
    assert like[object_ == 0].mean() < -0.7


def test_the_ridge_similarity_of_an_image_without_any_contrast_is_flat(network: StarterSam) -> None:
    features = Features(torch.ones(1, 256, 12, 12), torch.ones(1, 32, 24, 24))
    maps = prompt_maps(12, Prompts(BOXES), torch.zeros(()))
    like = network.decoder.similarity(features, maps, torch.zeros(3, dtype=torch.int64))
    assert like.fine.isfinite().all()
    assert like.fine.flatten(1).std(dim=1).max() < 1e-3


def test_a_box_that_misses_the_image_gives_finite_numbers(
    network: StarterSam, features: Features
) -> None:
    decoded = network.decode(features, Prompts(torch.tensor([[300.0, 300.0, 300.0, 300.0]])))
    assert decoded.logits.isfinite().all()
    assert decoded.iou.isfinite().all()


class TestMaps:
    def test_a_box_covers_its_own_pixels_and_parts_of_those_it_cuts(self) -> None:
        inside = box_maps(torch.tensor([[4.0, 8.0, 14.0, 16.0]]), 8)[0, 0]
        expected = torch.zeros(8, 8)
        expected[2:4, 1:3] = 1
        expected[2:4, 3] = 0.5
        torch.testing.assert_close(inside, expected)

    def test_positions_are_minus_one_and_one_at_the_sides_of_a_box(self) -> None:
        maps = box_maps(torch.tensor([[2.0, 2.0, 26.0, 18.0]]), 8)[0]
        torch.testing.assert_close(maps[1, 0, [0, 6]], torch.tensor([-1.0, 1.0]))
        torch.testing.assert_close(maps[2, [0, 4], 0], torch.tensor([-1.0, 1.0]))

    def test_foreground_and_background_points_stand_in_different_maps_and_no_points_in_none(
        self,
    ) -> None:
        points = torch.tensor([[[2.0, 2.0], [30.0, 30.0], [14.0, 14.0]]])
        maps = point_maps(points, torch.tensor([[1, 0, -1]]), 8)[0]
        assert maps[0, 0, 0] == 1
        assert maps[0, 7, 7] < 0.01
        assert maps[2, 7, 7] == 1
        assert maps[2, 0, 0] < 0.01
        assert maps[0, 3, 3] < 0.3

    def test_mask_logits_are_squashed_and_marked_as_present(self) -> None:
        maps = mask_maps(torch.full((1, 1, 16, 16), 100.0), 8)
        torch.testing.assert_close(maps, torch.ones(1, 5, 8, 8))

    def test_a_flat_bias_of_zero_differs_from_no_bias_by_its_presence_only(
        self, like: Tensor
    ) -> None:
        absent = prompt_maps(4, Prompts(BOXES), like)
        flat = prompt_maps(4, Prompts(BOXES, torch.zeros(16)), like)
        assert not absent.coarse.any()
        torch.testing.assert_close(flat.coarse[:, 0], torch.zeros(3, 4, 4))
        torch.testing.assert_close(flat.coarse[:, 1], torch.ones(3, 4, 4))

    def test_guidance_keeps_its_place_on_the_grid(self) -> None:
        bias = torch.zeros(1, 16)
        bias[0, 6] = 8.0  # row 1, column 2
        maps = bias_maps(bias, 4)
        assert maps[0, 0].argmax() == 6
        assert maps[0, 0].count_nonzero() == 1

    @pytest.fixture
    def like(self) -> Tensor:
        return torch.zeros(())


def test_the_bundled_weights_fit_the_network_exactly() -> None:
    bundled = files("napari_iclsam") / "weights" / "bundled" / "starter_sam.safetensors"
    if not bundled.is_file():
        pytest.skip("starter_sam.safetensors is not bundled yet")
    tensors = load(bundled.read_bytes())
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    network = StarterSam()
    network.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=True)
    assert sum(value.numel() for value in tensors.values()) < 6_000_000
