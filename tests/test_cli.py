"""The command line as its user meets it: files in, files out, one line when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_iclsam import ICLSAM, SupportSet, samples
from napari_iclsam.cli import main
from napari_iclsam.commands import demo as demo_command
from napari_iclsam.core.embeddings import EmbeddingCache, default_folder
from napari_iclsam.core.networks import Networks, NetworkSource
from napari_iclsam.core.task import read_task
from napari_iclsam.files import read_labels
from napari_iclsam.models.starter import StarterSam
from napari_iclsam.models.universeg import UniverSeg
from napari_iclsam.weights.catalogue import CATALOGUE

SIZE = (40, 48)
QUICK = ("--setting", "calibrate=false")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def networks() -> Networks:
    torch.manual_seed(0)
    sam, icl = StarterSam(64).eval().requires_grad_(False), UniverSeg(1, (4, 4)).eval().requires_grad_(False)
    return Networks(
        sam,
        icl,
        names={"sam": "small_sam", "icl": "small_icl"},
        hashes={"sam": "sha256:a", "icl": "sha256:b"},
        licences={"sam": "MIT", "icl": "CC0-1.0"},
    )


@pytest.fixture(autouse=True)
def small(networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load small random networks in place of those that were named; names and device are checked as ever."""
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
    """Make a folder with examples a, b, c and queries p, q, a stack and its labels, and go there."""
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
    tifffile.imwrite("stack.tif", stack.astype(np.uint16) * 200, imagej=True, resolution=(2, 2), metadata=meta)
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


# What is asked for is done


def test_several_queries_go_to_a_folder_in_their_own_kind_with_a_report(
    run: Callable[..., Ran], folder: Path, networks: Networks
) -> None:
    Image.fromarray(picture(3)[0]).convert("RGB").save("r.jpg", quality=95)
    ran = run(
        "segment", *PAIRS, "--query", "p.png", "--query", "r.jpg", "--output", "out/x", "--json", "out/r.json", *QUICK
    )
    assert (ran.status, ran.err) == (0, "")
    assert sorted(p.name for p in (folder / "out" / "x").iterdir()) == ["p_labels.png", "r_labels.png"]
    written = read_labels(Path("out/x/p_labels.png")).array
    support = SupportSet.of(*zip(*(picture(seed) for seed in (0, 1)), strict=True))
    segmenter = ICLSAM(networks=networks, cache=EmbeddingCache(None))
    expected = segmenter.fit_support(support)
    from dataclasses import replace

    segmenter.settings = replace(segmenter.settings, calibrate=False)
    expected = segmenter.fit_support(support).predict(picture(3)[0])
    assert (written == expected.labels).all()

    report = json.loads(Path("out/r.json").read_text())
    assert [pair["labels"] for pair in report["support"]] == ["a_labels.png", "b_labels.png"]
    first, second = report["queries"]
    assert (first["query"], second["output"]) == ("p.png", "out/x/r_labels.png")
    assert first["shape"] == list(SIZE)
    for entry in first["labels"]:
        label = entry["label"]
        assert entry["pixels"] == int((written == label).sum())
        assert [box["box"] for box in entry["boxes"]] == expected.boxes[label].tolist()
    assert {"embed", "icl", "sam", "fuse"} <= set(first["seconds"])
    assert first["models"]["sam"] == {"name": "small_sam", "hash": "sha256:a", "licence": "MIT"}
    assert first["models"]["icl"] == {"name": "small_icl", "hash": "sha256:b", "licence": "CC0-1.0"}
    assert first["settings"]["calibrate"] is False
    assert first["notes"] == list(expected.notes)
    assert first["support"]["examples"] == 2
    assert f"label 1: {(written == 1).sum()} pixels" in ran.out
    assert "small_sam (MIT), small_icl (CC0-1.0) on cpu" in ran.out


def test_a_stack_is_segmented_from_its_own_labelled_planes(run: Callable[..., Ran], folder: Path) -> None:
    ran = run(
        "segment", "--support", "stack.tif", "stack_labels.tif", "--query", "stack.tif", "--output", "out.tif",
        "--json", "r.json", *QUICK,
    )  # fmt: skip
    assert (ran.status, ran.err) == (0, "")
    written = read_labels(Path("out.tif"))
    assert written.shape == (5, *SIZE)
    assert (written.space.spacing, written.space.unit) == ((3.0, 0.5, 0.5), "micron")
    (entry,) = json.loads(Path("r.json").read_text())["queries"]
    assert entry["support"]["examples"] == 2
    assert entry["spacing"] == [3.0, 0.5, 0.5]
    assert entry["labels"][0]["pixels"] == int((written.array == 1).sum())
    assert {box["plane"] for label in entry["labels"] for box in label["boxes"]} <= set(range(5))


@pytest.mark.parametrize("axis", [1, -1], ids=str)
def test_planes_can_lie_along_another_axis(run: Callable[..., Ran], folder: Path, axis: int) -> None:
    first, labels = tifffile.imread("stack.tif"), tifffile.imread("stack_labels.tif")
    tifffile.imwrite("turned.tif", np.moveaxis(first, 0, axis))
    tifffile.imwrite("turned_labels.tif", np.moveaxis(labels, 0, axis))
    for name, extra in (("stack", ()), ("turned", ("--axis", axis))):
        ran = run(
            "segment", "--support", f"{name}.tif", f"{name}_labels.tif", "--query", f"{name}.tif", "--output",
            f"{name}_out.tif", *extra, *QUICK,
        )  # fmt: skip
        assert (ran.status, ran.err) == (0, "")
    straight, turned = tifffile.imread("stack_out.tif"), tifffile.imread("turned_out.tif")
    assert (np.moveaxis(turned, axis, 0) == straight).all()


def test_a_nifti_volume_comes_back_in_its_space(run: Callable[..., Ran], folder: Path) -> None:
    affine = np.array([[-0.5, 0, 0, 10], [0, 0.5, 0.1, -20], [0, 0, 2.0, 30], [0, 0, 0, 1]])
    image, labels = tifffile.imread("stack.tif"), tifffile.imread("stack_labels.tif")
    nibabel.save(nibabel.Nifti1Image(image.T.astype(np.float32), affine), "v.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels.T.astype(np.float64), affine), "v_labels.nii.gz")
    ran = run(
        "segment", "--support", "v.nii.gz", "v_labels.nii.gz", "--query", "v.nii.gz", "--output", "o.nii.gz", *QUICK
    )
    assert (ran.status, ran.err) == (0, "")
    written: Any = nibabel.load("o.nii.gz")
    assert written.shape == image.T.shape
    assert np.allclose(written.affine, affine)
    assert set(np.unique(np.asarray(written.dataobj))) <= {0, 1, 2}


def test_fit_and_predict_give_what_segment_gives(run: Callable[..., Ran], folder: Path) -> None:
    assert run("segment", *PAIRS, "--query", "p.png", "--output", "at_once.png", "--setting", "flips=true").status == 0
    fitted = run("fit", *PAIRS, "--output", "t.iclsam", "--setting", "flips=true")
    assert fitted.status == 0
    assert "2 examples of label 1, label 2 -> t.iclsam" in fitted.out
    assert "The examples segmented each other" in fitted.out
    saved = read_task("t.iclsam")
    assert saved.settings.flips
    assert run("predict", "--task", "t.iclsam", "--query", "p.png", "--output", "later.png").status == 0
    assert Path("at_once.png").read_bytes() == Path("later.png").read_bytes()


def test_check_prints_a_table_and_plain_sentences(run: Callable[..., Ran], folder: Path) -> None:
    ran = run("check", *PAIRS, "--support", "c.png", "c_labels.png", "--json", "c.json", *QUICK)
    assert (ran.status, ran.err) == (0, "")
    report = json.loads(Path("c.json").read_text())
    assert set(report["scores"]) == {"label 1", "label 2"}
    for name, score in report["scores"].items():
        assert score["examples"] == 3
        assert 0 <= score["fused"] <= 1
        row = next(line for line in ran.out.splitlines() if f"│ {name} " in line)
        assert f"{score['icl']:.3f}" in row
        assert f"{score['fused']:.3f}" in row
    assert all(sentence in ran.out for sentence in report["sentences"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--mode", "paper"), {"mode": "paper"}),
        (("--setting", "seed=7", "--setting", "use_sam=False"), {"seed": 7, "use_sam": False}),
        (("--setting", "min_component = 0.5", "--setting", "channel=red"), {"min_component": 0.5, "channel": "red"}),
    ],
    ids=["mode", "whole number and flag", "number and choice"],
)
def test_settings_are_given_by_name(
    run: Callable[..., Ran], folder: Path, arguments: tuple[str, ...], expected: dict[str, Any]
) -> None:
    ran = run("segment", *PAIRS, "--query", "p.png", "--output", "o.png", "--json", "r.json", *QUICK, *arguments)
    assert (ran.status, ran.err) == (0, "")
    settings = json.loads(Path("r.json").read_text())["queries"][0]["settings"]
    assert {name: settings[name] for name in expected} == expected


def test_the_notes_of_a_stack_name_their_planes(run: Callable[..., Ran], folder: Path) -> None:
    stack = tifffile.imread("stack.tif")
    stack[[1, 2, 4]] = 0  # empty planes of a stack are no error
    tifffile.imwrite("stack.tif", stack)
    ran = run(
        "segment", "--support", "stack.tif", "stack_labels.tif", "--query", "stack.tif", "--output", "o.tif",
        "--json", "r.json", *QUICK,
    )  # fmt: skip
    assert (ran.status, ran.err) == (0, "")
    for note in json.loads(Path("r.json").read_text())["queries"][0]["notes"]:
        assert "(planes " in note
        assert note in ran.out


# What is wrong is said in one line, and nothing is written


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
    "sizes differ": (a_support(IMAGE[:-1], LABELS), ("bad.tif", "39 x 48", "bad_labels.tif", "40 x 48")),
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
    "a stack with NaN": (a_query(np.stack([IMAGE] * 5 + [WITH_NAN])), ("plane 5 of bad.tif", "3 of 1920")),
    "a query of one value": (a_query(FLAT), ("bad.tif", "7 everywhere")),
    "a stack of one value": (a_query(np.stack([FLAT] * 5)), ("bad.tif", "7 everywhere")),
    "1 x 1": (a_query(IMAGE[:1, :1]), ("bad.tif", "at least 2 x 2", "1 x 1")),
    "four axes": (a_query(np.zeros((2, 5, *SIZE), np.uint8) + IMAGE), ("4 axes", "(2, 5, 40, 48)")),
    "complex numbers": (a_query(IMAGE + 1j), ("bad.tif", "real numbers", "complex128")),
    "no such axis": (lambda: (*PAIRS, "--query", "stack.tif", "--axis", "3"), ("axes 0 to 2", "got axis 3")),
    "no such query": (lambda: (*PAIRS, "--query", "none.png"), ("no file none.png",)),
    "no such example": (
        lambda: ("--support", "a.png", "none.png", "--query", "p.png"),
        ("no file none.png",),
    ),
    "no image": (lambda: (*PAIRS, "--query", "notes.txt"), ("notes.txt", "give TIFF, PNG, JPEG or NIfTI")),
    "text called png": (lambda: (*PAIRS, "--query", "notes.png"), ("notes.png cannot be read as PNG",)),
    "unknown model": (with_options("--models", "sam_vit_x"), ("'sam_vit_x'", "did you mean", "starter_sam")),
    "unknown in-context model": (with_options("--icl", "sam_vit_b"), ("not an in-context model",)),
    "no such file of weights": (with_options("--models", "gone.pth"), ("no file of weights gone.pth",)),
    "unknown device": (with_options("--device", "abacus"), ("'abacus'", "auto, cpu")),
    "unknown mode": (with_options("--mode", "magic"), ("mode", "auto, paper", "'magic'")),
    "unknown setting": (with_options("--setting", "sede=1"), ("NAME=VALUE", "seed", "'sede=1'")),
    "setting without value": (with_options("--setting", "seed"), ("NAME=VALUE", "'seed'")),
    "setting of another type": (with_options("--setting", "seed=many"), ("seed", "whole number", "'many'")),
    "setting out of limits": (with_options("--setting", "icl_guidance=9"), ("icl_guidance", "between 0 and 2")),
    "setting neither true nor false": (with_options("--setting", "flips=maybe"), ("flips", "true or false")),
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
def test_bad_input_is_one_line_and_writes_nothing(run: Callable[..., Ran], folder: Path, case: str) -> None:
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
    ],
)
def test_an_output_that_cannot_be_is_said_before_anything_is_computed(
    run: Callable[..., Ran], folder: Path, output: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NetworkSource, "load", lambda self: pytest.fail("the models were loaded"))
    before = sorted(folder.iterdir())
    overwrite = ["--overwrite"] if "images read" in words[0] else []
    is_one_error(run("segment", *PAIRS, "--query", "p.png", "--output", output, *overwrite), *words)
    assert sorted(folder.iterdir()) == before


def test_queries_that_would_share_a_result_are_refused(run: Callable[..., Ran], folder: Path) -> None:
    (folder / "other").mkdir()
    Image.fromarray(picture(9)[0]).save("other/p.png")
    arguments = ("--query", "p.png", "--query", "other/p.png", "--output", "out")
    is_one_error(run("segment", *PAIRS, *arguments), "Two results", "p_labels.png")
    is_one_error(run("segment", *PAIRS, *arguments[:4], "--output", "out.png"), "2 queries: name a folder")


def test_a_bad_query_among_good_ones_stops_all(run: Callable[..., Ran], folder: Path) -> None:
    tifffile.imwrite("bad.tif", WITH_NAN)
    is_one_error(run("segment", *PAIRS, "--query", "p.png", "--query", "bad.tif", "--output", "out"), "bad.tif")
    assert not (folder / "out").exists()


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
def test_a_task_file_that_cannot_be_trusted_is_said(run: Callable[..., Ran], folder: Path, damage: str) -> None:
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
    is_one_error(run("predict", "--task", "t.iclsam", "--query", "p.png", "--output", "o.png"), "t.iclsam", words)
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


# Models and cache


def test_the_list_of_models_names_each_with_its_licence_and_file(run: Callable[..., Ran]) -> None:
    listed, short = run("models", "list"), run("models")
    assert (listed.status, listed.out) == (short.status, short.out) == (0, listed.out)
    together = "".join(listed.out.split())
    for weights in CATALOGUE.values():
        assert weights.name in listed.out
        assert weights.licence.split()[0] in listed.out
    assert "researchpurposesonly" in together or "research" in listed.out


def test_the_path_of_weights_is_printed(run: Callable[..., Ran], tmp_path: Path) -> None:
    assert run("models", "path").out.strip() == str(tmp_path / "home" / "weights")
    place = tmp_path / "home" / "weights" / "mobile_sam.pt"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x")
    assert run("models", "path", "mobile_sam").out.strip() == str(place)
    is_one_error(run("models", "path", "sam_vit_h"), "models download sam_vit_h")
    is_one_error(run("models", "path", "sam_vit_hh"), "did you mean 'sam_vit_h'")


def test_a_file_with_a_wrong_check_is_refused_and_stays(run: Callable[..., Ran], tmp_path: Path) -> None:
    file = tmp_path / "mobile_sam.pt"
    file.write_bytes(b"something else")
    ran = run("models", "download", "mobile_sam", "--from", file)
    assert ran.status == 2
    assert "Apache-2.0" in ran.out  # the licence comes first
    assert ran.err.startswith("Error: ")
    assert "expected 40728226" in ran.err
    assert file.read_bytes() == b"something else"
    assert not (tmp_path / "home" / "weights" / "mobile_sam.pt").exists()
    checked = run("models", "verify", file)
    assert checked.status == 2
    assert f"expected {CATALOGUE['mobile_sam'].check}" in checked.out
    assert "Nothing was changed" in checked.err


def test_a_file_brought_by_hand_is_installed_and_verified(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib
    from dataclasses import replace
    from types import MappingProxyType

    from napari_iclsam.weights import catalogue

    file = tmp_path / "from_a_stick.pt"
    file.write_bytes(b"weights")
    check = "sha256:" + hashlib.sha256(b"weights").hexdigest()
    entry = replace(CATALOGUE["mobile_sam"], size=7, check=check)
    monkeypatch.setattr(catalogue, "CATALOGUE", MappingProxyType({**CATALOGUE, "mobile_sam": entry}))
    ran = run("models", "download", "mobile_sam", "--from", file)
    assert (ran.status, ran.err) == (0, "")
    assert (tmp_path / "home" / "weights" / "mobile_sam.pt").read_bytes() == b"weights"
    checked = run("models", "verify", "mobile_sam")
    assert checked.status == 0
    assert check in checked.out


def test_the_cache_is_counted_and_cleared(run: Callable[..., Ran], folder: Path) -> None:
    assert "0 embeddings" in run("cache").out
    assert run("segment", *PAIRS, "--query", "p.png", "--output", "o.png", *QUICK).status == 0
    info = run("cache", "info")
    assert "3 embeddings" in info.out
    assert str(default_folder()) in info.out
    assert "3 embeddings deleted" in run("cache", "clear").out
    assert "0 embeddings" in run("cache", "info").out


# The demo


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
        colours = np.asarray(drawn).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 50
    is_one_error(run("demo", "--headless", "--output", "d", *QUICK), "exists already", "--overwrite")


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
    monkeypatch.setattr(demo_command.subprocess, "run", lambda command, check: started.append(command))
    ran = run("demo", "--output", "d", *QUICK)
    assert (ran.status, ran.err) == (0, "")
    assert [command[-1] for command in started] == (["brain"] if display else [])
    assert ("There is no display" in ran.out) != display


def test_a_demo_without_its_sample_says_what_to_install(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    monkeypatch.setitem(sys.modules, "nilearn.datasets", None)
    is_one_error(run("demo", "--headless", "--output", "d"), 'pip install "napari-iclsam[samples]"')
    assert not Path("d").exists()


# The program


@pytest.mark.parametrize(
    "arguments",
    [(), ("--help",), ("segment", "--help"), ("models", "--help"), ("-h",), ("cache", "clear", "-h")],
    ids=" ".join,
)
def test_help_goes_to_the_output(run: Callable[..., Ran], arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("Usage: napari-iclsam")


def test_the_version_is_printed(run: Callable[..., Ran]) -> None:
    import napari_iclsam

    assert napari_iclsam.__version__ in run("--version").out


def test_help_loads_nothing_heavy() -> None:
    program = """
import sys
from napari_iclsam.cli import main
status = main(["--help"])
heavy = {"torch", "numpy", "scipy", "rich", "nibabel", "tifffile", "PIL", "sklearn", "requests", "napari"}
print(status, sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stderr.strip() == "0 []"


def test_the_program_ends_with_its_status() -> None:
    command = [sys.executable, "-m", "napari_iclsam.cli", "segment", "--support", "a"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: Option '--support' requires 2 arguments")
