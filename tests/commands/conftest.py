"""Small networks, a folder of drawn images, and a command line that says what it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_iclsam.cli import main
from napari_iclsam.core.networks import LoadedSam, ModelFacts, Networks, NetworkSource
from napari_iclsam.models.starter_sam import StarterSam
from napari_iclsam.models.universeg import UniverSeg

SIZE = (40, 48)
QUICK = ("--setting", "cross_validate=false")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def networks() -> Networks:
    return small_networks("small_sam", "small_icl")


def small_networks(sam_name: str, icl_name: str) -> Networks:
    """Return small random networks under these names."""
    torch.manual_seed(0)
    sam, icl = (
        StarterSam(64).eval().requires_grad_(False),
        UniverSeg(1, (4, 4)).eval().requires_grad_(False),
    )
    return Networks(
        (LoadedSam(sam, facts=ModelFacts(sam_name, "sha256:a", "MIT", fusion_default="starter")),),
        icl,
        icl_facts=ModelFacts(icl_name, "sha256:b", "CC0-1.0"),
    )


@pytest.fixture(autouse=True)
def small(networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load small random networks in place of those that were named.

    Names and device are checked as ever.
    """
    monkeypatch.setattr(NetworkSource, "load", lambda self: networks)


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def call(*arguments: Any) -> Ran:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return call


def picture(seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a bright square and a darker disc in noise, and their labels 1 and 2."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SIZE)
    labels = np.zeros(SIZE, np.uint8)
    labels[8 + seed : 20 + seed, 6:18] = 1
    labels[np.hypot(y - 26, x - 34 + seed) < 8] = 2
    values = rng.integers(0, 40, SIZE) + np.array([20, 200, 110])[labels]
    return values.astype(np.uint8), labels


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with examples a, b, c, queries p, q, a stack and its labels, and go there."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for seed, name in enumerate("abcpq"):
        image, labels = picture(seed)
        Image.fromarray(image).save(f"{name}.png")
        Image.fromarray(labels).save(f"{name}_labels.png")
    planes = [picture(seed) for seed in range(5)]
    stack = np.stack([image for image, _ in planes])
    painted = np.stack([labels for _, labels in planes])
    painted[[1, 2, 4]] = 0
    meta = {"axes": "ZYX", "spacing": 3.0, "unit": "micron"}
    tifffile.imwrite(
        "stack.tif", stack.astype(np.uint16) * 200, imagej=True, resolution=(2, 2), metadata=meta
    )
    tifffile.imwrite("stack_labels.tif", painted, imagej=True, metadata=meta)
    return here


PAIRS = ("--support", "a.png", "a_labels.png", "--support", "b.png", "b_labels.png")


def is_one_error(ran: Ran, *words: str) -> None:
    assert ran.status == 2, ran
    assert ran.out == ""
    assert ran.err.startswith("Error: ")
    assert ran.err.count("\n") == 1
    for word in words:
        assert word in ran.err
