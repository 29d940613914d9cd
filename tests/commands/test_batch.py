"""Many images by one task: folders, errors of single files, resumed runs, the table."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_iclsam.commands import file_run
from napari_iclsam.commands.records import record_path
from napari_iclsam.core.networks import NetworkSource
from napari_iclsam.files import read_labels
from tests.commands.conftest import PAIRS, QUICK, SIZE, Ran, is_one_error, picture


@pytest.fixture
def images(folder: Path) -> Path:
    """Make a folder of images of several sizes and kinds, two of them broken, and a text."""
    here = folder / "images"
    here.mkdir()
    Image.fromarray(picture(1)[0]).save(here / "grey.png")
    Image.fromarray(picture(2)[0]).convert("RGB").save(here / "color.jpg", quality=95)
    tifffile.imwrite(here / "large.tif", np.kron(picture(3)[0], np.ones((2, 2), np.uint8)))
    shutil.copy("stack.tif", here)
    (here / "cut.tif").write_bytes(Path("stack.tif").read_bytes()[:300])
    (here / "text.png").write_text("these are not pixels\n")
    (here / "notes.txt").write_text("nor is this an image\n")
    (here / ".hidden.png").write_text("left by a file manager\n")
    return here


BATCH = ("segment", *PAIRS, "--query", "images", "--output", "out", *QUICK)
GOOD = ("color_labels.png", "grey_labels.png", "large_labels.tif", "stack_labels.tif")


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {Path(row["image"]).name: row for row in csv.DictReader(file)}


def test_broken_files_of_a_folder_are_told_at_the_end_and_the_others_are_segmented(
    run: Callable[..., Ran], images: Path, folder: Path
) -> None:
    ran = run(*BATCH, "--json", "r.json")
    assert ran.status == 1
    assert visible(folder / "out") == [*GOOD, "summary.csv"]
    assert read_labels(folder / "out" / "large_labels.tif").shape == (80, 96)
    assert read_labels(folder / "out" / "stack_labels.tif").shape == (5, *SIZE)
    note, *failed = ran.err.splitlines()
    assert note == "Note: 1 files are no images and are left alone."
    assert [line.split(" cannot")[0] for line in failed] == [
        f"Failed: {Path('images/cut.tif')}",
        f"Failed: {Path('images/text.png')}",
    ]
    assert "6 images: 4 segmented, 2 failed; table: " in ran.out
    rows = table(folder / "out" / "summary.csv")
    assert [row["state"] for row in rows.values()] == [
        "done",
        "failed",
        "done",
        "done",
        "done",
        "failed",
    ]
    assert rows["text.png"]["result"] == ""
    assert "cannot be read as PNG" in rows["text.png"]["error"]
    written = read_labels(folder / "out" / "grey_labels.png").array
    assert rows["grey.png"]["label 1: pixels"] == str((written == 1).sum())
    entries = json.loads(Path("r.json").read_text())["queries"]
    assert [entry["output"] is None for entry in entries] == [
        False,
        True,
        False,
        False,
        False,
        True,
    ]


def test_what_is_done_by_the_same_task_is_left_alone(
    run: Callable[..., Ran], images: Path, folder: Path
) -> None:
    assert run(*BATCH).status == 1
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").glob("*_labels.*")}
    Image.fromarray(picture(0)[0]).save(images / "text.png")
    ran = run(*BATCH, "--resume")
    assert ran.status == 1  # one is broken still
    assert "6 images: 1 segmented, 4 kept, 1 failed" in ran.out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = table(folder / "out" / "summary.csv")
    assert (rows["grey.png"]["state"], rows["text.png"]["state"]) == ("kept", "done")
    assert rows["grey.png"]["label 1: pixels"] != ""


def test_a_batch_that_is_complete_loads_no_model(
    run: Callable[..., Ran], images: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cut.tif", "text.png"):
        (images / name).unlink()
    assert run(*BATCH).status == 0
    monkeypatch.setattr(NetworkSource, "load", lambda self: pytest.fail("the models were loaded"))
    ran = run(*BATCH, "--resume")
    assert ran.status == 0
    assert "4 images: 4 kept" in ran.out


@pytest.mark.parametrize("change", ["setting", "image", "record", "none"])
def test_results_of_another_task_or_image_are_replaced_only_on_demand(
    run: Callable[..., Ran], folder: Path, change: str
) -> None:
    arguments = [
        "segment",
        *PAIRS,
        "--query",
        "p.png",
        "--query",
        "q.png",
        "--output",
        "out",
        *QUICK,
    ]
    assert run(*arguments).status == 0
    result = folder / "out" / "p_labels.png"
    before = result.stat().st_mtime_ns
    if change == "setting":
        arguments += ["--setting", "seed=7"]
    elif change == "image":
        Image.fromarray(picture(8)[0]).save("p.png")
    elif change == "record":
        record_path(result).write_text("{")
    resume = [] if change == "none" else ["--resume"]
    words = ["--resume to keep"] if change == "none" else ["not what this task makes of this image"]
    is_one_error(run(*arguments, *resume), "exists already", "--overwrite", *words)
    assert result.stat().st_mtime_ns == before
    assert run(*arguments, *resume, "--overwrite").status == 0
    assert result.stat().st_mtime_ns != before


def test_a_result_corrected_by_hand_is_left_alone(run: Callable[..., Ran], folder: Path) -> None:
    arguments = (
        "segment",
        *PAIRS,
        "--query",
        "p.png",
        "--query",
        "q.png",
        "--output",
        "out",
        *QUICK,
    )
    assert run(*arguments).status == 0
    Image.fromarray(picture(3)[1]).save("out/p_labels.png")
    assert run(*arguments, "--resume").status == 0
    assert (read_labels(Path("out/p_labels.png")).array == picture(3)[1]).all()


@pytest.mark.parametrize(
    "failure", [KeyboardInterrupt, OSError(28, "No space left on device")], ids=["stop", "full"]
)
def test_what_is_finished_is_kept_and_named_and_resumed(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    original = file_run.write_labels

    def write(path: Path, labels: Any, space: Any, styles: Any) -> None:
        if "q_labels" in path.name:
            path.write_bytes(b"half of it")
            raise failure
        original(path, labels, space, styles)

    arguments = ["segment", *PAIRS, "--output", "out", *QUICK]
    for name in ("p", "q", "c"):
        arguments += ["--query", f"{name}.png"]
    with monkeypatch.context() as patch:
        patch.setattr(file_run, "write_labels", write)
        ran = run(*arguments)
    assert ran.status == (130 if failure is KeyboardInterrupt else 2)
    out = folder / "out"
    assert visible(out) == ["p_labels.png", "summary.csv"]
    assert [path.name for path in (out / ".napari-iclsam").iterdir()] == ["p_labels.png.json"]
    kept, last = filter(None, ran.err.splitlines())  # click leaves a line free after ^C
    assert (
        kept == f"Done before that, and kept: {out.name}/p_labels.png. --resume goes on from here."
    )
    full = (
        f"Error: {Path('out/q_labels.png')}: No space left on device; nothing of this file was kept"
    )
    assert last.startswith("Stopped." if failure is KeyboardInterrupt else full)

    ran = run(*arguments, "--resume")
    assert ran.status == 0
    assert "3 images: 2 segmented, 1 kept" in ran.out
    assert visible(out) == ["c_labels.png", "p_labels.png", "q_labels.png", "summary.csv"]
    assert read_labels(out / "q_labels.png").shape == SIZE


def test_a_run_that_fails_before_its_first_result_leaves_nothing(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: NetworkSource) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(NetworkSource, "load", interrupt)
    before = sorted(folder.iterdir())
    arguments = ("segment", *PAIRS, "--query", "p.png", "--query", "q.png", "--output", "out")
    assert run(*arguments).status == 130
    assert sorted(folder.iterdir()) == before


def test_a_file_that_is_not_there_is_said_before_anything_is_computed(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NetworkSource, "load", lambda self: pytest.fail("the models were loaded"))
    arguments = ("--query", "p.png", "--query", "none.png", "--output", "out")
    is_one_error(run("segment", *PAIRS, *arguments), "no file none.png")
    is_one_error(run("segment", *PAIRS, "--query", "*.xyz", "--output", "out"), "*.xyz", "no image")
    assert not (folder / "out").exists()


def test_two_images_of_one_result_are_both_named(run: Callable[..., Ran], folder: Path) -> None:
    Image.fromarray(picture(9)[0]).save("p.jpg")
    ran = run("segment", *PAIRS, "--query", "p.*", "--output", "out")
    is_one_error(ran, "Two results", "p_labels.png", "of p.jpg and of p.png", "rename one")
    assert not (folder / "out").exists()


def test_labels_of_examples_and_results_are_no_images_of_a_folder(
    run: Callable[..., Ran], folder: Path
) -> None:
    work = folder / "work"
    work.mkdir()
    for name in ("a.png", "a_labels.png", "p.png"):
        shutil.copy(name, work)
    arguments = ("--support", "work/a.png", "work/a_labels.png", "--query", "work")
    ran = run("segment", *arguments, "--output", "work/new", *QUICK)
    assert "2 images: 2 segmented" in ran.out
    for name in ("a_labels.png", "a.png"):
        (work / name).unlink()
    arguments = ("segment", *PAIRS, "--query", "work", "--output", "work", *QUICK)
    assert "1 images: 1 segmented" in run(*arguments).out
    assert "1 images: 1 kept" in run(*arguments, "--resume").out


def test_a_summary_is_written_where_it_is_wanted_and_not_over_another_file(
    run: Callable[..., Ran], folder: Path
) -> None:
    Path("mine.csv").write_text("x,y\n1,2\n")
    arguments = ("segment", *PAIRS, "--query", "p.png", "--output", "o.png", *QUICK)
    is_one_error(run(*arguments, "--summary", "mine.csv"), "mine.csv exists already")
    assert run(*arguments, "--summary", "new.csv").status == 0
    assert table(Path("new.csv"))["p.png"]["result"] == "o.png"
    assert not Path("summary.csv").exists()


def test_rows_about_other_images_stay_in_a_summary(run: Callable[..., Ran], folder: Path) -> None:
    for name in ("p", "q"):
        arguments = ("--query", f"{name}.pn*", "--output", "out", "--resume", *QUICK)
        assert run("segment", *PAIRS, *arguments).status == 0
    assert list(table(Path("out/summary.csv"))) == ["p.png", "q.png"]


def test_predict_takes_folders_and_resumes_what_segment_began(
    run: Callable[..., Ran], images: Path, folder: Path
) -> None:
    assert run("fit", *PAIRS, "--output", "t.iclsam", *QUICK).status == 0
    ran = run("predict", "--task", "t.iclsam", "--query", "images", "--output", "out")
    assert (ran.status, "4 segmented, 2 failed" in ran.out) == (1, True)
    assert "4 kept, 2 failed" in run(*BATCH, "--resume").out
