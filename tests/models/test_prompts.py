"""Prompts: what is refused, how many there are, and parts of them."""

from __future__ import annotations

import pytest
import torch

from napari_iclsam.models.prompts import Prompts

BOXES = torch.tensor([[8.0, 16.0, 56.0, 80.0], [40.0, 8.0, 90.0, 60.0], [2.0, 2.0, 20.0, 20.0]])


def test_no_prompt_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        Prompts(bias=torch.zeros(16))


def test_points_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="together with point_labels"):
        Prompts(BOXES[:1], points=torch.zeros(1, 1, 2))


@pytest.mark.parametrize(
    "prompts",
    [
        Prompts(torch.zeros(2, 4)),
        Prompts(points=torch.zeros(2, 3, 2), point_labels=torch.ones(2, 3)),
        Prompts(masks=torch.zeros(2, 1, 8, 8)),
    ],
    ids=["boxes", "points", "masks"],
)
def test_the_length_is_the_number_of_prompts(prompts: Prompts) -> None:
    assert len(prompts) == 2


def test_a_part_holds_the_chosen_prompts_of_every_kind() -> None:
    bias = torch.arange(12.0).view(3, 4)
    masks = torch.arange(3.0).view(3, 1, 1, 1)
    part = Prompts(BOXES, bias, masks).part(1, 3)
    assert part.boxes is not None
    assert part.bias is not None
    assert part.masks is not None
    assert part.points is None
    assert torch.equal(part.boxes, BOXES[1:])
    assert torch.equal(part.bias, bias[1:])
    assert torch.equal(part.masks, masks[1:])


def test_one_guidance_for_all_prompts_belongs_to_each_part() -> None:
    bias = torch.arange(16.0)
    part = Prompts(BOXES, bias).part(0, 2)
    assert part.bias is bias
