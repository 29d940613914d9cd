"""OME-Zarr on the command line: examples and results inside an image, or beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_iclsam.files import read_image, read_labels, read_pair
from napari_iclsam.files.omezarr_metadata import label_names
from napari_iclsam.files.omezarr_planes import ZarrPlanes
from tests.commands.conftest import PAIRS, QUICK, Ran, is_one_error, picture
from tests.files.test_omezarr import halved, save, save_labels


@pytest.fixture
def store(folder: Path) -> Path:
    planes = [picture(seed) for seed in range(3)]
    pixels = np.stack([image for image, _ in planes])
    painted = np.stack([labels for _, labels in planes])
    painted[1] = 0
    path = save(Path("a.ome.zarr"), [pixels, halved(pixels)])
    names = [{"label-value": 1, "name": "square"}, {"label-value": 2, "name": "disc"}]
    coarse = painted[:, ::2, ::2]
    save_labels(path, "painted", [painted, coarse], **{"image-label": {"properties": names}})
    return path


@pytest.mark.parametrize("level", [(), ("--level", "1")], ids=["finest", "coarse"])
def test_a_result_goes_inside_the_image_that_holds_the_examples(
    run: Callable[..., Ran], store: Path, level: tuple[str, ...]
) -> None:
    ran = run(
        "segment", "--support", store, store, "--query", store, *level, *QUICK,
        "--output", store / "labels" / "found",
    )  # fmt: skip
    assert ran.status == 0, ran
    assert label_names(store) == ("found", "painted")
    pair = read_pair(store, store / "labels" / "found")
    assert pair.labels.shape == (3, 40, 48)
    assert [pair.labels.styles[label].name for label in (1, 2)] == ["square", "disc"]
    assert "square: " in ran.out
    assert [path for path in Path().iterdir() if path.name.startswith(".")] == []


def test_a_result_beside_is_replaced_only_if_told(run: Callable[..., Ran], store: Path) -> None:
    command = ("segment", *PAIRS, "--query", store, "--output", "r.ome.zarr", *QUICK)
    assert run(*command).status == 0
    first = read_labels(Path("r.ome.zarr")).array
    is_one_error(run(*command), "r.ome.zarr exists already", "--overwrite")
    assert run(*command, "--overwrite").status == 0
    assert (read_labels(Path("r.ome.zarr")).array == first).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("window", [(), ("--window", "0", "255")], ids=["as it is", "window"])
def test_a_stack_is_read_and_written_plane_by_plane(
    run: Callable[..., Ran],
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    dtype: type,
    window: tuple[str, ...],
) -> None:
    pixels = read_image(store).array.astype(dtype)
    save(Path("b.ome.zarr"), [pixels])
    tifffile.imwrite("b.tif", pixels, photometric="minisblack")
    sizes: list[int] = []
    read = ZarrPlanes.__getitem__

    def note(self: ZarrPlanes, key: Any) -> Any:
        values = read(self, key)
        sizes.append(values.size)
        return values

    monkeypatch.setattr(ZarrPlanes, "__getitem__", note)
    for name, output in (("b.ome.zarr", "r.ome.zarr"), ("b.tif", "r.tif")):
        ran = run("segment", *PAIRS, "--query", name, "--output", output, *window, *QUICK)
        assert ran.status == 0, ran
    assert sizes
    assert max(sizes) == pixels[0].size
    assert (read_labels(Path("r.ome.zarr")).array == read_labels(Path("r.tif")).array).all()


def test_an_image_is_never_replaced(run: Callable[..., Ran], store: Path) -> None:
    other = save(Path("b.ome.zarr"), [read_image(store).array])
    ran = run("segment", *PAIRS, "--query", store, "--output", other, "--overwrite", *QUICK)
    is_one_error(ran, "b.ome.zarr is a folder that does not hold labels")


def test_stores_of_a_folder_are_a_batch_that_can_be_resumed(
    run: Callable[..., Ran], store: Path
) -> None:
    scans = Path("scans")
    scans.mkdir()
    store.rename(scans / "a.ome.zarr")
    save(scans / "b.ome.zarr", [read_image(scans / "a.ome.zarr").array], version="0.5")
    command = ("segment", *PAIRS, "--query", "scans", "--output", "out", *QUICK)
    assert run(*command).status == 0
    for name in "ab":
        assert read_labels(Path(f"out/{name}_labels.ome.zarr")).shape == (3, 40, 48)
    ran = run(*command, "--resume")
    assert "2 images: 2 kept" in ran.out
    assert run(*command, "--overwrite").status == 0


def test_a_level_that_is_not_there_is_one_error(run: Callable[..., Ran], store: Path) -> None:
    ran = run("segment", *PAIRS, "--query", store, "--level", "7", "--output", "r.tif", *QUICK)
    is_one_error(ran, "a.ome.zarr", "no level 7", "0 (40 x 48), 1 (20 x 24)")


def test_resuming_into_an_image_is_refused(run: Callable[..., Ran], store: Path) -> None:
    inside = store / "labels" / "found"
    ran = run("segment", *PAIRS, "--query", store, "--output", inside, "--resume", *QUICK)
    is_one_error(ran, "lies in an OME-Zarr image", "--resume")


def test_queries_have_the_resolution_of_the_examples(run: Callable[..., Ran], store: Path) -> None:
    other = save(Path("b.ome.zarr"), [np.repeat(np.repeat(read_image(store).array, 2, 1), 2, 2),
                                      read_image(store).array], scale=(2, 0.25, 0.25))  # fmt: skip
    ran = run("segment", "--support", store, store, "--query", other, "--output", "r.tif", *QUICK)
    assert ran.status == 0, ran
    assert "Level 1 with pixels of 0.5 µm was read" in ran.out
    assert read_labels(Path("r.tif")).shape == (3, 40, 48)


def test_a_task_file_keeps_the_resolution_of_its_examples(
    run: Callable[..., Ran], store: Path
) -> None:
    fine = np.repeat(np.repeat(read_image(store).array, 2, 1), 2, 2)
    other = save(Path("b.ome.zarr"), [fine, read_image(store).array], scale=(2, 0.25, 0.25))
    assert run("fit", "--support", store, store, "--output", "t.iclsam", *QUICK).status == 0
    ran = run("predict", "--task", "t.iclsam", "--query", other, "--output", "r.tif")
    assert ran.status == 0, ran
    assert "Level 1 with pixels of 0.5 µm was read" in ran.out
