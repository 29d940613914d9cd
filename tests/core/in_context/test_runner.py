"""The in-context model on its device: some of many tasks, a few tasks at a time."""

from __future__ import annotations

import pytest
import torch

from napari_iclsam.core.in_context.runner import InContextRunner, select_tasks
from napari_iclsam.core.recipe import AUTO
from napari_iclsam.models.two_scales import TwoScales
from napari_iclsam.models.universeg import UniverSeg


@pytest.mark.parametrize("kind", [UniverSeg, TwoScales])
def test_some_tasks_are_segmented_as_among_all(kind: type[UniverSeg] | type[TwoScales]) -> None:
    torch.manual_seed(0)
    network = kind().eval().requires_grad_(False)
    channels = network.image_channels
    images, masks = torch.rand(3, 2, channels, 64, 64), (torch.rand(3, 2, 1, 64, 64) > 0.5).float()
    queries, guidance = torch.rand(3, channels, 64, 64), torch.rand(3, 1, 64, 64)
    context, chosen = network.encode_support(images, masks), [2, 0]
    some = network(queries[chosen], select_tasks(context, chosen), guidance[chosen])
    assert some == pytest.approx(network(queries, context, guidance)[chosen], abs=1e-4)


@pytest.mark.parametrize("kind", [UniverSeg, TwoScales])
def test_tasks_are_segmented_a_few_at_a_time_as_all_at_once(
    monkeypatch: pytest.MonkeyPatch, kind: type[UniverSeg] | type[TwoScales]
) -> None:
    torch.manual_seed(0)
    network, calls = kind().eval().requires_grad_(False), []
    network.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    channels = network.image_channels
    images, masks = torch.rand(5, 2, channels, 64, 64), (torch.rand(5, 2, 1, 64, 64) > 0.5).float()
    queries, guidance = torch.rand(5, channels, 64, 64), torch.rand(5, 1, 64, 64)
    context = network.encode_support(images, masks)
    runner = InContextRunner(network, torch.device("cpu"), torch.float32, AUTO)
    together = runner.logits(context, queries, guidance)
    monkeypatch.setattr("napari_iclsam.core.in_context.runner.SMALL_TASKS", 0)
    apart = runner.logits(context, queries, guidance)
    assert calls == [5, 2, 2, 1]
    assert apart == pytest.approx(together, abs=1e-4)
