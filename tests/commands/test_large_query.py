"""A large plane is segmented and measured part by part: the same result as in memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from napari_iclsam.core.prediction import Prediction, Progress
from napari_iclsam.core.task import Task
from napari_iclsam.files import LabelRows
from tests.commands.conftest import QUICK, Ran, is_one_error

SHAPE = (150, 130)
REGION = ("--region", 0, 0, 48, 48)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what lets planes of this size count as large."""

    def let() -> None:
        for module in ("omezarr", "tiff_plane"):
            monkeypatch.setattr(f"napari_iclsam.files.{module}.LARGE", 1000)

    return let


@pytest.fixture(autouse=True)
def bright(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is bright be found, whatever the small networks say."""

    def steps(self: Task, query: Any, *_: Any) -> Generator[Progress, None, Prediction]:
        yield Progress("icl", "Looking")
        light = (query.rgb[..., 0] / 255).astype(np.float32).clip(0.02, 0.98)
        labels = np.where(light > 0.5, 1, 0).astype(np.int32)
        return Prediction(
            labels=labels,
            probabilities={1: light},
            confidence={1: light},
            icl_labels=labels,
            sam_labels=labels,
            boxes={1: np.zeros((0, 4), np.int64)},
            seconds={"icl": 1.0},
            provenance=self.provenance,
            estimated_dice={1: 0.9},
        )

    monkeypatch.setattr(Task, "_segment_steps", steps)


def cells() -> NDArray[np.uint8]:
    """Draw bright discs that touch, and a corner in which nothing is."""
    y, x = np.indices(SHAPE)
    discs = np.hypot(y % 14 - 7, x % 13 - 6) < 6.6
    discs[100:, :60] = False
    noise = np.random.default_rng(0).integers(0, 40, SHAPE)
    return np.where(discs, 200 - noise, noise).astype(np.uint8)


def write_zarr(path: str, image: NDArray[Any]) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=image, chunks=(64, 64))
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


def write_images() -> None:
    image = cells()
    write_zarr("cells.ome.zarr", image)
    tifffile.imwrite("cells.tif", image, tile=(64, 64), compression="zlib")
    tifffile.imwrite("flat.tif", image)
    tifffile.imwrite("corner.tif", (image > 128).astype(np.uint8))


def command(image: str, output: str, *more: Any) -> tuple[Any, ...]:
    pair = ("--support", image, "corner.tif", *REGION)
    return ("segment", *pair, "--query", image, "--output", output, *QUICK, *more)


def stored(path: str) -> NDArray[Any]:
    if path.endswith("tif"):
        return tifffile.imread(path)
    return np.asarray(zarr.open_array(f"{path}/0", mode="r"))


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def counts_of(report: str) -> tuple[int, int]:
    (query,) = json.loads(Path(report).read_text())["queries"]
    (label,) = query["labels"]
    return label["objects"], label["pixels"]


@pytest.mark.parametrize("image", ["cells.ome.zarr", "cells.tif", "flat.tif"])
def test_result_and_table_are_those_of_the_image_in_memory(
    image: str, run: Callable[..., Ran], large: Callable[[], None]
) -> None:
    write_images()
    results = []
    for name in ("whole", "parts"):
        more = ("--objects", "--measure", f"{name}.csv", "--json", f"{name}.json")
        ran = run(*command(image, f"{name}.ome.zarr", *more))
        assert ran.status == 0, ran.err
        results.append((ran.out, stored(f"{name}.ome.zarr"), rows_of(f"{name}.csv")))
        large()
    whole, parts = results
    assert "segmented part by part" not in whole[0]
    assert "segmented part by part" in parts[0]
    (told,) = [line for line in whole[0].splitlines() if "objects" in line and "label 1" in line]
    assert told in parts[0]
    np.testing.assert_array_equal(parts[1], whole[1])
    assert len(parts[2]) > 50
    assert [list(row) for row in parts[2]] == [list(row) for row in whole[2]]
    for ours, theirs in zip(parts[2], whole[2], strict=True):
        for column, value in theirs.items():
            if column == "unit":
                assert ours[column] == value
            else:
                assert float(ours[column]) == pytest.approx(float(value), rel=1e-3), column
    counts = [
        json.loads(Path(f"{name}.json").read_text())["queries"][0] for name in ("whole", "parts")
    ]
    assert counts[0]["labels"][0]["objects"] == counts[1]["labels"][0]["objects"]
    assert counts[0]["labels"][0]["pixels"] == counts[1]["labels"][0]["pixels"]


def test_only_the_labels_of_the_region_are_read(
    run: Callable[..., Ran], large: Callable[[], None]
) -> None:
    write_images()
    labels = tifffile.imread("corner.tif").astype(np.float32)
    # fractions are refused, where they are read
    labels[60:] = 0.5
    tifffile.imwrite("corner.tif", labels, tile=(16, 16))
    large()
    ran = run(*command("cells.tif", "o.ome.zarr"))
    assert ran.status == 0, ran.err
    labels[30, 30] = 0.5
    tifffile.imwrite("corner.tif", labels, tile=(16, 16))
    is_one_error(run(*command("cells.tif", "p.ome.zarr")), "corner.tif", "whole numbers")


def test_region_that_leaves_a_large_plane_is_refused(
    run: Callable[..., Ran], large: Callable[[], None]
) -> None:
    write_images()
    large()
    pair = ("--support", "cells.tif", "corner.tif", "--region", 0, 0, 48, 131)
    ran = run("segment", *pair, "--query", "cells.tif", "--output", "o.ome.zarr", *QUICK)
    is_one_error(ran, "which has 150 rows and 130 columns")


@pytest.mark.parametrize("output", ["o.ome.zarr", "o.tif", "cells.ome.zarr/labels/found"])
def test_labels_go_into_any_kind_of_file(
    output: str, run: Callable[..., Ran], large: Callable[[], None]
) -> None:
    write_images()
    large()
    ran = run(*command("cells.ome.zarr", output))
    assert ran.status == 0, ran.err
    written = (
        stored(output)
        if output.endswith(("zarr", "tif"))
        else zarr.open(f"{output}/0", mode="r")[:]
    )
    assert set(np.unique(written)) == {0, 1}
    assert ("written as a whole" in ran.out) == output.endswith("tif")
    assert not list(Path().glob(".napari-iclsam-*"))


def test_batch_keeps_a_large_result_on_resuming(
    run: Callable[..., Ran], large: Callable[[], None]
) -> None:
    write_images()
    large()
    queries = ("--query", "cells.ome.zarr", "--query", "flat.tif")
    query = (*queries, "--output", "out", "--objects")
    pair = ("--support", "cells.ome.zarr", "corner.tif", *REGION)
    arguments = ("segment", *pair, *query, "--measure", "out", *QUICK)
    first = run(*arguments)
    assert first.status == 0, first.err
    assert len(rows_of("out/cells_objects.csv")) == len(rows_of("out/flat_objects.csv")) > 50
    again = run(*arguments, "--resume")
    assert again.status == 0, again.err
    assert "2 kept" in again.out
    left = [path.name for path in Path("out/.napari-iclsam").iterdir()]
    assert sorted(left) == ["cells_labels.ome.zarr.json", "flat_labels.tif.json"]


def test_stopped_run_leaves_nothing(
    run: Callable[..., Ran], large: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images()
    large()
    write = LabelRows.__setitem__

    def stop(self: LabelRows, key: Any, values: Any) -> None:
        write(self, key, values)
        if getattr(key, "start", 0):
            raise KeyboardInterrupt

    monkeypatch.setattr(LabelRows, "__setitem__", stop)
    ran = run(*command("cells.ome.zarr", "o.ome.zarr", "--objects", "--measure", "m.csv"))
    assert ran.status == 130
    left = {path.name for path in Path().iterdir()} - {"home"}
    assert left == {"cells.ome.zarr", "cells.tif", "flat.tif", "corner.tif"}


def test_image_without_objects_has_a_table_of_one_line(
    run: Callable[..., Ran], large: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images()
    large()
    segment = Task._segment_steps

    def nothing(self: Task, *args: Any) -> Generator[Progress, None, Prediction]:
        prediction = yield from segment(self, *args)
        return replace(
            prediction,
            labels=np.zeros_like(prediction.labels),
            probabilities={1: np.full_like(prediction.probabilities[1], 0.1)},
            estimated_dice={},
        )

    monkeypatch.setattr(Task, "_segment_steps", nothing)
    ran = run(*command("cells.ome.zarr", "o.ome.zarr", "--objects", "--measure", "m.csv"))
    assert ran.status == 0, ran.err
    assert "0 objects" in ran.out
    (header,) = Path("m.csv").read_text().splitlines()
    assert header.startswith("id,label,area,centroid_y")
