"""The command demo."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from napari_iclsam import samples
from napari_iclsam.commands import demo as demo_command
from tests.commands.conftest import QUICK, Ran, is_one_error, picture

WINDOW = ["napari_iclsam._qt.demo_window", "brain", str(Path("d/brain_labels.nii.gz")), "3"]
"""What is started: the sample, its result, and a plane that was segmented."""


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> samples.Sample:
    planes = [picture(seed) for seed in range(6)]
    sample = samples.Sample(
        name="brain",
        title="Squares and discs",
        source="drawn here",
        image=np.stack([image for image, _ in planes]),
        truth=np.stack([labels for _, labels in planes]),
        examples=(1, 4),
        names={1: "square", 2: "disc"},
        spacing=(2.0, 1.0, 1.0),
        unit="mm",
        affine=np.diag([1.0, -1, 2, 1]),
    )
    monkeypatch.setattr(samples, "brain", lambda: sample)
    return sample


def test_the_demo_prints_dice_and_writes_labels_and_a_picture(
    run: Callable[..., Ran], folder: Path, small_sample: samples.Sample
) -> None:
    ran = run("demo", "--headless", "--output", "d", *QUICK)
    assert (ran.status, ran.err) == (0, "")
    assert "1 square" in ran.out
    assert "segmenting 4 of 4 others" in ran.out
    written: Any = nibabel.load("d/brain_labels.nii.gz")
    assert np.allclose(written.affine, small_sample.affine)
    values = np.asarray(written.dataobj).T
    for plane in small_sample.examples:
        assert (values[plane] == small_sample.truth[plane]).all()
    with Image.open("d/brain.png") as drawn:
        assert drawn.mode == "RGB"
        colors = np.asarray(drawn).reshape(-1, 3)
    assert len(np.unique(colors, axis=0)) > 50
    is_one_error(
        run("demo", "--headless", "--output", "d", *QUICK), "exists already", "--overwrite"
    )


def test_a_second_demo_replaces_what_the_first_left(
    run: Callable[..., Ran], folder: Path, small_sample: samples.Sample
) -> None:
    left = Path("napari-iclsam-demo/brain.png")
    left.parent.mkdir()
    left.write_bytes(b"of the first")
    ran = run("demo", "--headless", *QUICK)
    assert (ran.status, ran.err) == (0, "")
    with Image.open(left) as drawn:
        assert drawn.mode == "RGB"


@pytest.mark.parametrize("display", [True, False], ids=["display", "no display"])
def test_the_demo_opens_napari_where_there_is_a_display(
    run: Callable[..., Ran],
    folder: Path,
    small_sample: samples.Sample,
    monkeypatch: pytest.MonkeyPatch,
    display: bool,
) -> None:
    started = []
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    if display:
        monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setattr(
        demo_command.subprocess, "run", lambda command, check: started.append(command)
    )
    ran = run("demo", "--output", "d", *QUICK)
    assert (ran.status, ran.err) == (0, "")
    assert [command[2:] for command in started] == ([WINDOW] if display else [])
    assert ("There is no display" in ran.out) != display


def test_a_demo_without_its_sample_says_what_to_install(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    monkeypatch.setitem(sys.modules, "nilearn.datasets", None)
    is_one_error(run("demo", "--headless", "--output", "d"), 'pip install "napari-iclsam[samples]"')
    assert not Path("d").exists()
