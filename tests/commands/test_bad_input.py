"""What is wrong with what was given is said in one line, and nothing is written."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_iclsam.core.networks import Networks, NetworkSource
from napari_iclsam.files import read_labels
from tests.commands.conftest import PAIRS, QUICK, SIZE, Ran, is_one_error, picture


def a_query(array: NDArray[Any]) -> Callable[[], tuple[str, ...]]:
    def arguments() -> tuple[str, ...]:
        tifffile.imwrite("bad.tif", array, photometric="minisblack")
        return (*PAIRS, "--query", "bad.tif")

    return arguments


def a_support(image: NDArray[Any], labels: NDArray[Any]) -> Callable[[], tuple[str, ...]]:
    def arguments() -> tuple[str, ...]:
        tifffile.imwrite("bad.tif", image, photometric="minisblack")
        tifffile.imwrite("bad_labels.tif", labels, photometric="minisblack")
        return ("--support", "bad.tif", "bad_labels.tif", "--query", "p.png")

    return arguments


def with_options(*options: str) -> Callable[[], tuple[str, ...]]:
    return lambda: (*PAIRS, "--query", "p.png", *options)


IMAGE, LABELS = picture()
WITH_NAN = IMAGE.astype(np.float32)
WITH_NAN[0, :3] = [np.nan, np.inf, -np.inf]
FLAT = np.full(SIZE, 7, np.uint8)
BAD: dict[str, tuple[Callable[[], tuple[str, ...]], tuple[str, ...]]] = {
    "sizes differ": (
        a_support(IMAGE[:-1], LABELS),
        ("bad.tif", "39 x 48", "bad_labels.tif", "40 x 48"),
    ),
    "labels with fractions": (a_support(IMAGE, LABELS + np.float32(0.5)), ("whole numbers", "0.5")),
    "negative labels": (a_support(IMAGE, LABELS.astype(np.int16) - 1), ("positive", "-1")),
    "labels all background": (a_support(IMAGE, 0 * LABELS), ("background", "at least one object")),
    "stack of labels all background": (
        a_support(np.stack([IMAGE] * 5), np.stack([0 * LABELS] * 5)),
        ("bad_labels.tif", "background everywhere"),
    ),
    "an example with NaN": (a_support(WITH_NAN, LABELS), ("bad.tif", "3 of 1920", "not finite")),
    "an example of one value": (a_support(FLAT, LABELS), ("example 1", "7 everywhere")),
    "a query with NaN": (a_query(WITH_NAN), ("bad.tif", "3 of 1920", "not finite")),
    "a stack with NaN": (
        a_query(np.stack([IMAGE] * 5 + [WITH_NAN])),
        ("plane 5 of bad.tif", "3 of 1920"),
    ),
    "a query of one value": (a_query(FLAT), ("bad.tif", "7 everywhere")),
    "a stack of one value": (a_query(np.stack([FLAT] * 5)), ("bad.tif", "7 everywhere")),
    "1 x 1": (a_query(IMAGE[:1, :1]), ("bad.tif", "at least 2 x 2", "1 x 1")),
    "four axes": (a_query(np.zeros((2, 5, *SIZE), np.uint8) + IMAGE), ("4 axes", "(2, 5, 40, 48)")),
    "complex numbers": (a_query(IMAGE + 1j), ("bad.tif", "real numbers", "complex128")),
    "no such axis": (
        lambda: (*PAIRS, "--query", "stack.tif", "--axis", "3"),
        ("--axis", "0, 1, 2", "got '3'"),
    ),
    "no such axis, for images that have none": (
        lambda: (*PAIRS, "--query", "p.png", "--axis", "5"),
        ("--axis", "0, 1, 2", "got '5'"),
    ),
    "no such query": (lambda: (*PAIRS, "--query", "none.png"), ("no file none.png",)),
    "no such example": (
        lambda: ("--support", "a.png", "none.png", "--query", "p.png"),
        ("no file none.png",),
    ),
    "no image": (
        lambda: (*PAIRS, "--query", "notes.txt"),
        ("notes.txt", "give TIFF, PNG, JPEG, NIfTI"),
    ),
    "text called png": (
        lambda: (*PAIRS, "--query", "notes.png"),
        ("notes.png cannot be read as PNG",),
    ),
    "unknown model": (
        with_options("--models", "sam_vit_x"),
        ("'sam_vit_x'", "did you mean", "starter_sam"),
    ),
    "unknown in-context model": (with_options("--icl", "sam_vit_b"), ("not an in-context model",)),
    "no such file of weights": (
        with_options("--models", "gone.pth"),
        ("no file of weights gone.pth",),
    ),
    "unknown device": (with_options("--device", "abacus"), ("'abacus'", "auto, cpu")),
    "unknown mode": (with_options("--mode", "magic"), ("mode", "auto, paper", "'magic'")),
    "unknown setting": (with_options("--setting", "sede=1"), ("NAME=VALUE", "seed", "'sede=1'")),
    "setting without value": (with_options("--setting", "seed"), ("NAME=VALUE", "'seed'")),
    "setting of another type": (
        with_options("--setting", "seed=many"),
        ("seed", "whole number", "'many'"),
    ),
    "setting out of limits": (
        with_options("--setting", "icl_guidance=9"),
        ("icl_guidance", "between 0 and 2"),
    ),
    "setting neither true nor false": (
        with_options("--setting", "tta_flips=maybe"),
        ("tta_flips", "true or false"),
    ),
    "report exists": (with_options("--json", "a.png"), ("a.png exists already", "--overwrite")),
    "report is a folder": (with_options("--json", "."), ("is a folder",)),
    "half an example": (
        lambda: ("--query", "p.png", "--support", "a.png"),
        ("--support takes an image and its labels; got a.png and --output",),
    ),
    "no example": (lambda: ("--query", "p.png"), ("Missing option '--support'",)),
    "unknown option": (with_options("--outptu", "x"), ("No such option", "--outptu")),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(
    run: Callable[..., Ran], folder: Path, case: str
) -> None:
    arguments, words = BAD[case]
    for name in ("notes.txt", "notes.png"):
        (folder / name).write_text("these are not pixels\n")
    given = arguments()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    is_one_error(run("segment", *given, "--output", "out"), *words)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("p.png", ("one of the images read", "p.png")),
        ("a_labels.png", ("one of the images read",)),
        ("c.png", ("c.png exists already", "--overwrite")),
        ("c.png/x.png", ("c.png is a file",)),
        ("o.jpg", ("JPEG changes the numbers",)),
        ("o.xyz", (".xyz is not among them",)),
        ("o.dcm", ("DICOM-SEG is written of DICOM images only", ".nii.gz")),
    ],
)
def test_an_output_that_cannot_be_is_said_before_anything_is_computed(
    run: Callable[..., Ran],
    folder: Path,
    output: str,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(NetworkSource, "load", lambda self: pytest.fail("the models were loaded"))
    before = sorted(folder.iterdir())
    overwrite = ["--overwrite"] if "images read" in words[0] else []
    is_one_error(run("segment", *PAIRS, "--query", "p.png", "--output", output, *overwrite), *words)
    assert sorted(folder.iterdir()) == before


def test_a_library_that_a_result_needs_is_missed_before_anything_is_computed(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NetworkSource, "load", lambda self: pytest.fail("the models were loaded"))
    monkeypatch.setitem(sys.modules, "nrrd", None)
    ran = run("segment", *PAIRS, "--query", "p.png", "--output", "o.seg.nrrd")
    is_one_error(ran, 'pip install "napari-iclsam[nrrd]"')
    assert not Path("o.seg.nrrd").exists()


def test_queries_that_would_share_a_result_are_refused(
    run: Callable[..., Ran], folder: Path
) -> None:
    (folder / "other").mkdir()
    Image.fromarray(picture(9)[0]).save("other/p.png")
    arguments = ("--query", "p.png", "--query", "other/p.png", "--output", "out")
    is_one_error(run("segment", *PAIRS, *arguments), "Two results", "p_labels.png")
    is_one_error(
        run("segment", *PAIRS, *arguments[:4], "--output", "out.png"), "2 queries: name a folder"
    )


def test_existing_results_are_replaced_on_demand(run: Callable[..., Ran], folder: Path) -> None:
    Path("o.png").write_bytes(b"old")
    arguments = ("segment", *PAIRS, "--query", "p.png", "--output", "o.png", *QUICK)
    is_one_error(run(*arguments), "o.png exists already")
    assert Path("o.png").read_bytes() == b"old"
    assert run(*arguments, "--overwrite").status == 0
    assert read_labels(Path("o.png")).shape == SIZE


def test_weights_that_are_not_here_are_said_with_the_command_that_brings_them(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(folder / "home"))
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    ran = run("segment", *PAIRS, "--query", "p.png", "--output", "o.png", "--models", "mobile_sam")
    is_one_error(ran, "napari-iclsam models download mobile_sam")
    assert not Path("o.png").exists()


@pytest.mark.parametrize("damage", ["half", "newer", "outside", "text", "missing", "changed"])
def test_a_task_file_that_cannot_be_trusted_is_said(
    run: Callable[..., Ran], folder: Path, damage: str
) -> None:
    assert run("fit", *PAIRS, "--output", "t.iclsam", *QUICK).status == 0
    whole = Path("t.iclsam").read_bytes()
    words = {
        "half": "not a complete task file",
        "newer": "task format 99",
        "outside": "leads outside itself",
        "text": "not a complete task file",
        "missing": "no task file",
        "changed": "was changed after it was saved",
    }[damage]
    if damage in ("half", "text"):
        Path("t.iclsam").write_bytes(whole[: len(whole) // 2] if damage == "half" else b"no zip")
    elif damage == "missing":
        Path("t.iclsam").unlink()
    else:
        with zipfile.ZipFile("t.iclsam") as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        if damage == "newer":
            contents["task.json"] = contents["task.json"].replace(b'"format": 1', b'"format": 99')
        elif damage == "outside":
            contents["../outside.txt"] = b"not where it belongs"
        else:
            contents["0.labels.tif"] = contents["1.labels.tif"]
        with zipfile.ZipFile("t.iclsam", "w") as archive:
            for name, data in contents.items():
                archive.writestr(name, data)
    is_one_error(
        run("predict", "--task", "t.iclsam", "--query", "p.png", "--output", "o.png"),
        "t.iclsam",
        words,
    )
    assert not Path("o.png").exists()
    assert not (folder.parent / "outside.txt").exists()


def test_a_task_is_saved_under_its_own_suffix_only(run: Callable[..., Ran], folder: Path) -> None:
    is_one_error(run("fit", *PAIRS, "--output", "t.tif"), "NAME.iclsam", "t.tif")


def test_one_example_cannot_be_checked(run: Callable[..., Ran], folder: Path) -> None:
    is_one_error(run("check", *PAIRS[:3]), "at least two examples")


def test_a_defect_shows_where_it_is_on_demand(run: Callable[..., Ran], folder: Path) -> None:
    arguments = ("segment", *PAIRS, "--query", "none.png", "--output", "o.png")
    is_one_error(run(*arguments), "none.png")
    with pytest.raises(FileNotFoundError):
        run("--traceback", *arguments)


def test_an_interruption_leaves_nothing_behind(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: NetworkSource) -> Networks:
        raise KeyboardInterrupt

    monkeypatch.setattr(NetworkSource, "load", interrupt)
    before = sorted(folder.iterdir())
    ran = run("segment", *PAIRS, "--query", "p.png", "--output", "o.png")
    assert (ran.status, ran.out, ran.err.strip()) == (130, "", "Stopped.")
    assert sorted(folder.iterdir()) == before
