"""The pages of jobs: their commands run as they stand there, on their data drawn smaller."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.commands.conftest import Ran, networks, own_home, run, small
from tests.docs.options import check_options

__all__ = ["networks", "own_home", "run", "small"]

PAGES = Path(__file__).parents[2] / "docs" / "jobs"

SMALLER = {
    "nuclei": {"side": 224},
    "organ": {"planes": 5, "side": 40},
    "time": {"frames": 4, "side": 40},
    "folder": {"count": 4, "side": 48},
}
"""What the data of each page take to be quick."""

LEFT = {
    "nuclei": ("nuclei.tif", "nuclei.csv"),
    "organ": ("organ.nii.gz",),
    "time": ("movie_cells.tif",),
    "folder": ("disc.iclsam", "discs/eye3_labels.png", "discs/summary.csv"),
    "offline": (),
}
"""Files that the commands of each page leave."""


def blocks(page: str, kind: str) -> list[str]:
    """Return the lines of all blocks of a page; those that go on are joined."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    lines = []
    for block in re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines += block.replace("\\\n", " ").splitlines()
    return lines


@pytest.fixture(scope="module")
def data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("job_data", PAGES / "job_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["job_data"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", LEFT)
def test_the_commands_of_a_page_run(
    page: str,
    data: ModuleType,
    run: Callable[..., Ran],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if page in data.JOBS:
        data.JOBS[page](**SMALLER[page])
    lines = blocks(page, "bash")
    assert lines
    for line in lines:
        words = shlex.split(line)
        if words[0] == "export":
            monkeypatch.setenv(*words[1].split("=", maxsplit=1))
            continue
        assert words[0] == "napari-iclsam"
        ran = run(*words[1:])
        assert ran.status == 0, ran
    for name in LEFT[page]:
        assert Path(name).exists(), name


@pytest.mark.parametrize("page", sorted(path.stem for path in PAGES.glob("*.md")))
def test_commands_that_need_a_network_have_the_options_that_there_are(page: str) -> None:
    for line in blocks(page, "console"):
        words = shlex.split(line.removeprefix("$ "))
        if words[0] != "napari-iclsam":
            continue
        check_options(words[1:])


def test_a_page_of_a_job_is_short_and_shows_what_came_out() -> None:
    for path in PAGES.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert len(text.split()) < 400, path.name
        for picture in re.findall(r"\]\((\.\./images/[^)]+)\)", text):
            assert (path.parent / picture).exists(), picture
