"""The blocks of the README and of the older pages run as they stand there, with small networks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from PIL import Image

from napari_iclsam import ICLSAM, Settings, load_task
from napari_iclsam.core.networks import Networks
from tests.commands.conftest import Ran, own_home, picture, run, small, small_networks
from tests.docs.options import check_options
from tests.files.test_omezarr import save

__all__ = ["own_home", "run", "small"]

ROOT = Path(__file__).parents[2]

PAGES = ("README", "cluster", "command-line", "files", "how-to", "index", "models", "objects")
PAGES = (*PAGES, "stacks", "tutorial")

OTHERS = ("pip", "python", "python3", "source", "napari")
"""Programs that are not ours; and ours with a window, which tests/gui/test_viewer.py opens."""

SIDE = "40"
"""Side of the labelled region, in place of 512 pixels."""

ELSEWHERE = (
    "download",  # needs a network
    "demo",  # opens a window
    "sam_vit_b",  # weights that are downloaded
    "tcp://",  # workers on other machines
    "local:2",  # two processes: tests/cluster starts them
    "a.ome.zarr",  # a container of several channels: tests/files writes it
    "scan1",  # a folder of DICOM files: likewise
)
"""Words of commands of which only the options are checked, and where they are tried, or why not."""


WIDTH = 84
"""Characters of a line of code that a page shows without a scroll bar."""


def blocks(page: str, kind: str) -> list[str]:
    """Return the blocks of a page in one language."""
    path = ROOT / "README.md" if page == "README" else ROOT / "docs" / f"{page}.md"
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """Return the words of our commands on a page; lines that go on are joined."""
    found = []
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.replace("512", SIDE), comments=True)
            assert words[0] in (*OTHERS, "napari-iclsam"), line
            if words[0] == "napari-iclsam":
                found.append([word for word in words[1:] if word != "..."])
    return found


def is_tried(words: list[str]) -> bool:
    """Tell whether a command runs here as it stands."""
    return not any(part in word for word in words for part in ELSEWHERE)


def draw(name: str, seed: int) -> None:
    """Write an image of a name, and its labels."""
    image, labels = picture(seed)
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_stem(f"{path.stem}_labels")
    if path.suffix == ".png":
        Image.fromarray(image).save(path)
        Image.fromarray(labels).save(beside)
    else:
        tifffile.imwrite(path, image)
        tifffile.imwrite(beside, labels)


@pytest.fixture(scope="module")
def networks() -> Networks:
    """Return small networks under the names of the starters: tasks are loaded by name."""
    return small_networks("starter_sam", "starter_icl")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder with the files that the commands name."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("cell1", "cell2", "cell3", "cell4", "monday/cell", "a", "b", "c")):
        draw(f"{name}.png", seed)
    for seed, name in enumerate(("archive/2025/cell", "plate1", "plate2", "a", "b", "c", "mosaic")):
        draw(f"{name}.tif", seed)
    planes = [picture(seed) for seed in range(4)]
    stack = np.stack([image for image, _ in planes])
    labels = np.stack([labels for _, labels in planes])
    labels[[1, 3]] = 0
    for name in ("stack.tif", "labels.tif", "stack_labels.tif"):
        array = stack if name == "stack.tif" else labels
        tifffile.imwrite(name, array, photometric="minisblack")
    for name, number in (("image1", 0), ("image2", 1)):
        draw(f"{name}.tif", number)
        Path(f"{name}_labels.tif").rename(name.replace("image", "labels") + ".tif")
    Path("mosaic_labels.tif").rename("corner.tif")
    save(Path("slide.ome.zarr"), [tifffile.imread("mosaic.tif")], "yx", scale=(0.5, 0.5))
    write_nifti(stack, labels)


def write_nifti(stack: Any, labels: Any) -> None:
    """Write a volume and its labels."""
    nibabel = pytest.importorskip("nibabel")
    for name, array in (("stack", stack), ("labels", labels)):
        nibabel.save(nibabel.Nifti1Image(array.T, np.eye(4)), f"{name}.nii.gz")


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_the_commands_of_a_page_run(page: str, data: None, run: Callable[..., Ran]) -> None:
    for words in commands(page):
        check_options(words)
        if is_tried(words):
            # those of the page come last: what they set stands
            Path("result.tif").unlink(missing_ok=True)
            quick = ("--setting", "cross_validate=false") if "--support" in words else ()
            ran = run(words[0], *quick, *words[1:])
            assert ran.status == 0, (words, ran)


JOBS = ("nuclei", "organ", "time", "folder", "offline")


@pytest.mark.parametrize("page", [*PAGES, "widget", *(f"jobs/{job}" for job in JOBS)])
@pytest.mark.parametrize("kind", ["bash", "console", "python"])
def test_no_line_of_code_is_cut_by_the_side_of_its_page(page: str, kind: str) -> None:
    lines = [line for block in blocks(page, kind) for line in block.splitlines()]
    assert [line for line in lines if len(line) > WIDTH] == []


NOT_RUN = ("add_plugin_dock_widget", 'device="cuda"')
"""What blocks need that are only compiled: a window (tests/_qt/test_running.py), a device."""


@pytest.fixture
def names() -> dict[str, Any]:
    """Return what the blocks of Python take for granted."""
    planes = [picture(seed) for seed in range(3)]
    volume = np.stack([image for image, _ in planes])
    labels = np.stack([labels for _, labels in planes])
    labels[1] = 0
    return {
        "image": volume[0],
        "images": list(volume),
        "labels": labels,
        "volume": volume,
        "viewer": ViewerModel(),
        "save": lambda plane, labels: None,
    }


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes long, where a program sets nothing."""
    settings = partial(Settings, cross_validate=False, fine_tune=False, coarse_to_fine=False)
    monkeypatch.setattr("napari_iclsam.core.segmenter.Settings", settings)


def write_task(path: str, names: dict[str, Any]) -> None:
    """Write a task that knows one image."""
    ICLSAM("starter").fit([names["image"]], [names["labels"][0]]).save(path)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_programs_of_a_page_run(
    page: str, data: None, quick: None, names: dict[str, Any]
) -> None:
    if page == "how-to":
        write_task("cells.iclsam", names)
        names["predictions"] = [load_task("cells.iclsam").predict(names["image"])]
    if page == "objects":
        names |= {"mosaic": names["image"], "slide": names["image"], "labels": names["labels"][0]}
    for block in blocks(page, "python"):
        program = compile(block.replace("512", SIDE), page, "exec")
        if not any(part in block for part in NOT_RUN):
            exec(program, names)
