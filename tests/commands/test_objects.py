"""--objects writes ids, --measure a table of the objects; with regions, from end to end."""

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
from numpy.typing import NDArray

from napari_iclsam.core.prediction import Prediction, Progress
from napari_iclsam.core.task import Task
from napari_iclsam.core.task_file import read_task
from tests.commands.conftest import PAIRS, QUICK, SIZE, Ran, is_one_error


def squares() -> NDArray[np.int32]:
    """Draw two objects of label 1, and one of label 2."""
    labels = np.zeros(SIZE, np.int32)
    labels[2:8, 2:8] = 1
    labels[20:28, 30:38] = 1
    labels[30:36, 4:14] = 2
    return labels


def answering(monkeypatch: pytest.MonkeyPatch, labels: NDArray[np.int32]) -> None:
    """Let each image have the same objects, whatever the small networks say."""
    segment = Task._segment_steps

    def steps(self: Task, *args: Any) -> Generator[Progress, None, Prediction]:
        prediction = yield from segment(self, *args)
        likely = np.full(SIZE, 0.75, np.float32)
        return replace(prediction, labels=labels, probabilities={1: likely, 2: likely})

    monkeypatch.setattr(Task, "_segment_steps", steps)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, squares())


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("folder", "answer")
def test_ids_go_into_the_result_and_measurements_into_a_table(run: Callable[..., Ran]) -> None:
    ran = run(
        *("segment", *PAIRS, "--query", "p.png", "--output", "o.tif", "--objects", *QUICK),
        *("--measure", "m.csv", "--json", "r.json"),
    )
    assert ran.status == 0, ran.err
    assert "label 1: 100 pixels (5.2 %), 2 objects" in ran.out
    np.testing.assert_array_equal(np.unique(tifffile.imread("o.tif")), [0, 1, 2, 3])
    rows = rows_of("m.csv")
    assert [(row["id"], row["label"], float(row["area"])) for row in rows] == [
        ("1", "1", 36.0),
        ("2", "1", 64.0),
        ("3", "2", 60.0),
    ]
    assert float(rows[0]["mean_probability"]) == 0.75
    assert float(rows[0]["mean_intensity"]) > 0
    (query,) = json.loads(Path("r.json").read_text())["queries"]
    assert [label["objects"] for label in query["labels"]] == [2, 1]


@pytest.mark.usefixtures("folder", "answer")
def test_measurements_alone_leave_labels_in_the_result(run: Callable[..., Ran]) -> None:
    ran = run(
        *("segment", *PAIRS, "--query", "p.png", "--output", "o.tif", *QUICK),
        *("--measure", "m.csv"),
    )
    assert ran.status == 0, ran.err
    np.testing.assert_array_equal(tifffile.imread("o.tif"), squares())
    assert len(rows_of("m.csv")) == 3


@pytest.mark.usefixtures("folder", "answer")
def test_objects_of_a_stack_are_measured_in_its_units(run: Callable[..., Ran]) -> None:
    ran = run(
        *("segment", *PAIRS, "--query", "stack.tif", "--output", "o.tif", "--objects", *QUICK),
        *("--measure", "m.csv"),
    )
    assert ran.status == 0, ran.err
    rows = rows_of("m.csv")
    # five planes, 3 micrometers apart, of pixels of half a micrometer
    assert [float(row["volume"]) for row in rows] == [
        36 * 5 * 0.75,
        64 * 5 * 0.75,
        60 * 5 * 0.75,
    ]
    assert {row["unit"] for row in rows} == {"µm"}


@pytest.mark.usefixtures("folder", "answer")
def test_tables_of_several_images_go_to_a_folder(run: Callable[..., Ran]) -> None:
    queries = ("--query", "p.png", "--query", "q.png", "--output", "out")
    ran = run("segment", *PAIRS, *queries, "--measure", "tables", *QUICK)
    assert ran.status == 0, ran.err
    names = sorted(path.name for path in Path("tables").iterdir())
    assert names == ["p_objects.csv", "q_objects.csv"]
    assert len(rows_of("tables/p_objects.csv")) == 3


@pytest.mark.usefixtures("folder")
def test_one_table_for_several_images_is_refused(run: Callable[..., Ran]) -> None:
    queries = ("--query", "p.png", "--query", "q.png", "--output", "out")
    ran = run("segment", *PAIRS, *queries, "--measure", "m.csv", *QUICK)
    is_one_error(ran, "2 queries", "--measure")


@pytest.mark.usefixtures("folder")
def test_without_objects_the_table_is_its_header(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, 0 * squares())
    ran = run(
        *("segment", *PAIRS, "--query", "p.png", "--output", "o.tif", *QUICK),
        *("--measure", "m.csv"),
    )
    assert ran.status == 0, ran.err
    header = Path("m.csv").read_text()
    assert header.startswith("id,label,area,centroid_y,centroid_x")
    assert header.rstrip().endswith(",mean_intensity,mean_probability,unit")
    assert rows_of("m.csv") == []


@pytest.mark.usefixtures("folder")
def test_numbered_objects_of_the_examples_teach_how_objects_are_told_apart(
    run: Callable[..., Ran],
) -> None:
    numbers = np.zeros(SIZE, np.uint8)
    for number in range(6):
        numbers[4:12, 2 + 7 * number : 9 + 7 * number] = number + 1
    tifffile.imwrite("numbers.tif", numbers, photometric="minisblack")
    ran = run(
        *("fit", "--support", "a.png", "numbers.tif", "--instances-as-one"),
        *("--output", "x.iclsam", *QUICK),
    )
    assert ran.status == 0, ran.err
    support = read_task("x.iclsam").support
    assert support.ids == (1,)
    assert 0 < support.separations[1].min_distance < 8
