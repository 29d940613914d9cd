"""The commands segment, fit, predict and check: what is asked for is done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_iclsam import ICLSAM, Settings, SupportSet
from napari_iclsam.core.encoder.cache import EmbeddingCache
from napari_iclsam.core.networks import Networks
from napari_iclsam.core.task_file import read_task
from napari_iclsam.files import read_labels
from tests.commands.conftest import PAIRS, QUICK, SIZE, Ran, picture


def test_several_queries_go_to_a_folder_in_their_own_kind_with_a_report(
    run: Callable[..., Ran], folder: Path, networks: Networks
) -> None:
    Image.fromarray(picture(3)[0]).convert("RGB").save("r.jpg", quality=95)
    ran = run(
        "segment",
        *PAIRS,
        "--query",
        "p.png",
        "--query",
        "r.jpg",
        "--output",
        "out/x",
        "--json",
        "out/r.json",
        *QUICK,
    )
    assert (ran.status, ran.err) == (0, "")
    assert sorted(p.name for p in (folder / "out" / "x").iterdir()) == [
        ".napari-iclsam",
        "p_labels.png",
        "r_labels.png",
        "summary.csv",
    ]
    written = read_labels(Path("out/x/p_labels.png")).array
    support = SupportSet.of(*zip(*(picture(seed) for seed in (0, 1)), strict=True))
    segmenter = ICLSAM(
        settings=Settings(cross_validate=False), networks=networks, cache=EmbeddingCache(None)
    )
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
        assert entry["estimated_dice"] == [{"dice": round(expected.estimated_dice[label], 3)}]
    assert {"embed", "icl", "sam", "fuse"} <= set(first["seconds"])
    assert first["models"]["sam"] == {"name": "small_sam", "checksum": "sha256:a", "license": "MIT"}
    assert first["models"]["icl"] == {
        "name": "small_icl",
        "checksum": "sha256:b",
        "license": "CC0-1.0",
    }
    assert first["settings"]["cross_validate"] is False
    assert first["notes"] == list(expected.notes)
    assert first["support"]["examples"] == 2
    assert f"label 1: {(written == 1).sum()} pixels" in ran.out
    assert f"Dice about {expected.estimated_dice[1]:.2f}" in ran.out
    assert "small_sam (MIT), small_icl (CC0-1.0) on cpu" in ran.out


def test_a_stack_is_segmented_from_its_own_labelled_planes(
    run: Callable[..., Ran], folder: Path
) -> None:
    ran = run(
        "segment", "--support", "stack.tif", "stack_labels.tif", "--query", "stack.tif",
        "--output", "out.tif", "--json", "r.json", *QUICK,
    )  # fmt: skip
    assert (ran.status, ran.err) == (0, "")
    written = read_labels(Path("out.tif"))
    assert written.shape == (5, *SIZE)
    assert (written.space.spacing, written.space.unit) == ((3.0, 0.5, 0.5), "µm")
    (entry,) = json.loads(Path("r.json").read_text())["queries"]
    assert entry["support"]["examples"] == 2
    assert entry["spacing"] == [3.0, 0.5, 0.5]
    assert entry["labels"][0]["pixels"] == int((written.array == 1).sum())
    assert {box["plane"] for label in entry["labels"] for box in label["boxes"]} <= set(range(5))
    estimated = {e["plane"] for label in entry["labels"] for e in label["estimated_dice"]}
    assert estimated == {1, 2, 4}  # the others are labelled
    assert "check first: planes 1, 2, 4\n" in ran.out
    given = tifffile.imread("stack_labels.tif")
    assert (written.array[[0, 3]] == given[[0, 3]]).all()


def test_another_stack_is_segmented_plane_by_plane(run: Callable[..., Ran], folder: Path) -> None:
    shutil.copy("stack.tif", "other.tif")
    ran = run(
        "segment", "--support", "stack.tif", "stack_labels.tif", "--query", "other.tif",
        "--output", "out.tif", "--json", "r.json", *QUICK,
    )  # fmt: skip
    assert (ran.status, ran.err) == (0, "")
    (entry,) = json.loads(Path("r.json").read_text())["queries"]
    estimates = [
        (e["dice"], e["plane"]) for label in entry["labels"] for e in label["estimated_dice"]
    ]
    dice, plane = min(estimates)
    assert f"check first: planes {plane} (Dice about {dice:.2f}), " in ran.out


def test_in_paper_mode_labelled_planes_are_examples_and_no_more(
    run: Callable[..., Ran], folder: Path, networks: Networks
) -> None:
    ran = run(
        "segment", "--support", "stack.tif", "stack_labels.tif", "--query", "stack.tif",
        "--output", "out.tif", "--setting", "mode=paper",
    )  # fmt: skip
    assert (ran.status, ran.err) == (0, "")
    volume, labels = tifffile.imread("stack.tif"), tifffile.imread("stack_labels.tif")
    support = SupportSet.of([volume[n] for n in (0, 3)], [labels[n] for n in (0, 3)])
    segmenter = ICLSAM(
        settings=Settings(mode="paper"), networks=networks, cache=EmbeddingCache(None)
    )
    expected = segmenter.fit_support(support).predict_stack(volume)
    assert (read_labels(Path("out.tif")).array == expected).all()


@pytest.mark.parametrize("axis", [1, -1], ids=str)
def test_planes_can_lie_along_another_axis(
    run: Callable[..., Ran], folder: Path, axis: int
) -> None:
    first, labels = tifffile.imread("stack.tif"), tifffile.imread("stack_labels.tif")
    # written anew, both without distances: thick planes know less of each other
    for name, place in (("straight", 0), ("turned", axis)):
        tifffile.imwrite(f"{name}.tif", np.moveaxis(first, 0, place))
        tifffile.imwrite(f"{name}_labels.tif", np.moveaxis(labels, 0, place))
        ran = run(
            "segment", "--support", f"{name}.tif", f"{name}_labels.tif", "--query", f"{name}.tif",
            "--output", f"{name}_out.tif", "--axis", place, *QUICK,
        )  # fmt: skip
        assert (ran.status, ran.err) == (0, "")
    straight, turned = tifffile.imread("straight_out.tif"), tifffile.imread("turned_out.tif")
    assert (np.moveaxis(turned, axis, 0) == straight).all()


def test_a_nifti_volume_comes_back_in_its_space(run: Callable[..., Ran], folder: Path) -> None:
    affine = np.array([[-0.5, 0, 0, 10], [0, 0.5, 0.1, -20], [0, 0, 2.0, 30], [0, 0, 0, 1]])
    image, labels = tifffile.imread("stack.tif"), tifffile.imread("stack_labels.tif")
    nibabel.save(nibabel.Nifti1Image(image.T.astype(np.float32), affine), "v.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels.T.astype(np.float64), affine), "v_labels.nii.gz")
    ran = run(
        "segment",
        "--support",
        "v.nii.gz",
        "v_labels.nii.gz",
        "--query",
        "v.nii.gz",
        "--output",
        "o.nii.gz",
        *QUICK,
    )
    assert (ran.status, ran.err) == (0, "")
    written: Any = nibabel.load("o.nii.gz")
    assert written.shape == image.T.shape
    assert np.allclose(written.affine, affine)
    assert set(np.unique(np.asarray(written.dataobj))) <= {0, 1, 2}


def test_fit_and_predict_give_what_segment_gives(run: Callable[..., Ran], folder: Path) -> None:
    assert (
        run(
            "segment",
            *PAIRS,
            "--query",
            "p.png",
            "--output",
            "at_once.png",
            "--setting",
            "tta_flips=true",
        ).status
        == 0
    )
    fitted = run("fit", *PAIRS, "--output", "t.iclsam", "--setting", "tta_flips=true")
    assert fitted.status == 0
    assert "2 examples of label 1, label 2 -> t.iclsam" in fitted.out
    assert "The examples segmented each other" in fitted.out
    saved = read_task("t.iclsam")
    assert saved.settings.tta_flips
    assert (
        run("predict", "--task", "t.iclsam", "--query", "p.png", "--output", "later.png").status
        == 0
    )
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
        (
            ("--setting", "min_component = 0.5", "--setting", "channel=red"),
            {"min_component": 0.5, "channel": "red"},
        ),
    ],
    ids=["mode", "whole number and flag", "number and choice"],
)
def test_settings_are_given_by_name(
    run: Callable[..., Ran], folder: Path, arguments: tuple[str, ...], expected: dict[str, Any]
) -> None:
    ran = run(
        "segment",
        *PAIRS,
        "--query",
        "p.png",
        "--output",
        "o.png",
        "--json",
        "r.json",
        *QUICK,
        *arguments,
    )
    assert (ran.status, ran.err) == (0, "")
    settings = json.loads(Path("r.json").read_text())["queries"][0]["settings"]
    assert {name: settings[name] for name in expected} == expected


def test_the_notes_of_a_stack_name_their_planes(run: Callable[..., Ran], folder: Path) -> None:
    stack = tifffile.imread("stack.tif")
    stack[[1, 2, 4]] = 0  # empty planes of a stack are no error
    tifffile.imwrite("stack.tif", stack)
    ran = run(
        "segment", "--support", "stack.tif", "stack_labels.tif", "--query", "stack.tif",
        "--output", "o.tif", "--json", "r.json", *QUICK,
    )  # fmt: skip
    assert (ran.status, ran.err) == (0, "")
    for note in json.loads(Path("r.json").read_text())["queries"][0]["notes"]:
        assert "(planes " in note
        assert note in ran.out
