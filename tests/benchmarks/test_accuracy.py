"""The accuracy benchmark on a small folder of drawn images."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from benchmarks import accuracy, accuracy_table, image_sets, true_boxes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two sets of discs: bright on dark, from four subjects, with instances."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        folder = tmp_path / "data" / name
        samples = []
        for kind in ("images", "masks", "instances"):
            (folder / kind).mkdir(parents=True)
        for n in range(8):
            y, x = np.mgrid[:48, :64]
            disc = (y - rng.integers(15, 33)) ** 2 + (x - rng.integers(15, 49)) ** 2 < 100
            files = {kind: f"{kind}/{n}.png" for kind in ("images", "masks", "instances")}
            imageio.imwrite(
                folder / files["images"],
                (rng.integers(0, 40, disc.shape) + 150 * disc).astype(np.uint8),
            )
            imageio.imwrite(folder / files["masks"], disc.astype(np.uint8))
            imageio.imwrite(folder / files["instances"], disc.astype(np.uint16))
            samples.append(
                {"image": files["images"], "mask": files["masks"], "instances": files["instances"]}
            )
            samples[-1]["subject"] = f"subject {n // 2}"
        (folder / "meta.json").write_text(json.dumps({"labels": {"1": "disc"}, "samples": samples}))
    return tmp_path / "data"


def test_every_stage_of_every_set_is_scored(data: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    # of one promptable model: without SAM, others have no say
    few = [
        "--models",
        "starter_sam",
        "--support",
        "1",
        "2",
        "--draws",
        "1",
        "--queries",
        "2",
        "--setting",
        "fine_tune",
        "false",
    ]
    accuracy.main(["--data", str(data), *few, "--json", str(report)])
    summary = json.loads(report.read_text())["summary"]
    assert [(row["support"], row["dataset"]) for row in summary] == [
        (k, name) for k in (1, 2) for name in ("one", "two", "mean")
    ]
    for row in summary:
        assert all(0 <= row[stage] <= 1 for stage in accuracy_table.STAGES)
        assert row["fill_truth"] == pytest.approx(
            2 * 305 / (305 + 19 * 19)
        )  # pixels of a disc, and of its box
        assert row["pixels"] > 0.9
        assert row["adapted"] == row["icl"]


def test_support_and_queries_are_of_different_subjects(data: Path) -> None:
    _, samples = image_sets.read_set(data / "one")
    for seed in range(20):
        drawn = image_sets.draw(samples, 3, 20, np.random.default_rng(seed))
        assert drawn is not None
        support, queries = drawn
        assert len(support) == 3
        assert queries
        assert not {s.subject for s in support} & {q.subject for q in queries}


def test_too_few_samples_are_no_draw(data: Path) -> None:
    _, samples = image_sets.read_set(data / "one")
    assert image_sets.draw(samples, 16, 5, np.random.default_rng(0)) is None


def test_jittered_boxes_stay_close_and_inside() -> None:
    boxes = np.array([[0, 0, 9, 19], [40, 30, 63, 47]])
    moved = true_boxes.jittered(boxes, (48, 64), np.random.default_rng(0))
    assert (moved >= 0).all()
    assert (moved[:, [0, 2]] <= 63).all()
    assert (moved[:, [1, 3]] <= 47).all()
    assert (np.abs(moved - boxes) <= 3).all()


def test_boxes_of_components_leave_out_specks() -> None:
    mask = np.zeros((40, 40), bool)
    mask[2:22, 3:33] = True
    mask[35, 35] = True
    assert true_boxes.tight_boxes(mask, None).tolist() == [[3, 2, 32, 21]]
    assert true_boxes.filled(np.array([[3, 2, 32, 21]]), (40, 40)).sum() == 20 * 30


def test_a_folder_without_sets_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="No data set"):
        accuracy.main(["--data", str(tmp_path)])
