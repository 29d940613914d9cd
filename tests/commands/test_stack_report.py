"""What a report says of a stack with labelled planes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile

from napari_iclsam.core.volume import plane_interpolation
from tests._qt.conftest import some, stack
from tests.commands.conftest import Ran

PLANES = ("--support", "s.tif", "l.tif", "--query", "s.tif", "--axis", "0")


@pytest.mark.parametrize("between", [True, False])
def test_interpolated_planes_are_listed_and_all_are_in_order(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plane_interpolation, "_LEAST_AGREEMENT", 0 if between else 2)
    image, labels = stack()
    tifffile.imwrite("s.tif", image)
    tifffile.imwrite("l.tif", some(labels, 2, 4))
    ran = run("segment", *PLANES, "--output", "o.tif", "--json", "r.json")
    assert (ran.status, ran.err) == (0, "")
    (entry,) = json.loads(Path("r.json").read_text())["queries"]
    assert entry["interpolated"] == ([1, 5] if between else [])
    assert ("neighboring slices, which agree. (planes 1, 5)" in ran.out) == between
    for label in entry["labels"]:
        planes = [each["plane"] for each in label["estimated_dice"]]
        assert len(planes) > 2
        assert planes == sorted(planes)
