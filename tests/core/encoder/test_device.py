"""Names of devices."""

from __future__ import annotations

import pytest
import torch

from napari_iclsam.core.encoder.device import available, choose_device


def test_every_name_that_is_offered_is_taken() -> None:
    names = available()
    assert names[:2] == ["auto", "cpu"]
    for name in names:
        assert isinstance(choose_device(name), torch.device)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_is_the_fastest_that_is_there(
    cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto") == torch.device(expected)


@pytest.mark.parametrize(
    "name",
    ["", "gpu", "CPU", "cuda:99", "hpu", "xla", "ipu", "mtia", "vulkan", "privateuseone", "cpu:x"],
)
def test_a_device_that_is_not_here_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"Device '{name}' cannot be used here. Choose one of: auto, cpu"
    ):
        choose_device(name)
