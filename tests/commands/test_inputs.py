"""Files as people have them, on the command line: what is read, what is said, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_iclsam.commands.inputs import Reading
from napari_iclsam.commands.placement import Placement
from napari_iclsam.core.task_file import read_task
from napari_iclsam.files import read_labels
from napari_iclsam.files.orientation import Turn
from tests.commands.conftest import PAIRS, QUICK, SIZE, Ran, is_one_error, picture

AFFINE = np.array([[-0.5, 0, 0, 10], [0, 0.5, 0.1, -20], [0, 0, 2.0, 30], [0, 0, 0, 1]])
AS_SAGITTAL = [[2, 1], [0, -1], [1, 1]]
"""nibabel's way to say: the first axis becomes the third, the second the first, and backwards."""


def save_volume(name: str, turn: list[list[int]] | None = None, *, labels: bool = False) -> None:
    """Save the stack of the folder, or its labels, as NIfTI, perhaps turned."""
    array = tifffile.imread("stack_labels.tif" if labels else "stack.tif").T
    image = nibabel.Nifti1Image(array.astype(np.int32), AFFINE)
    nibabel.save(image if turn is None else image.as_reoriented(np.array(turn)), name)


def labels_in(name: str) -> Any:
    """Return labels in the closest orientation to RAS."""
    return np.asarray(nibabel.as_closest_canonical(nibabel.load(name)).dataobj)


VOLUME = ("--support", "v.nii.gz", "v_labels.nii.gz")
COPY = ("--support", "e.nii.gz", "v_labels.nii.gz")
"""Of the examples alone: what is segmented is another file, so that no plane of it is labelled."""


@pytest.fixture
def volumes(folder: Path) -> Path:
    """Save the stack as a volume, its labels, and the volume stored sagittally."""
    save_volume("v.nii.gz")
    save_volume("e.nii.gz")
    save_volume("v_labels.nii.gz", labels=True)
    save_volume("s.nii.gz", AS_SAGITTAL)
    return folder


@pytest.mark.parametrize("axis", ["0", "axial"])
def test_a_volume_stored_otherwise_gives_the_same_result(
    run: Callable[..., Ran], volumes: Path, axis: str
) -> None:
    ran = run(
        "segment", *COPY, "--query", "v.nii.gz", "--query", "s.nii.gz", "--output", "out",
        "--axis", axis, "--json", "r.json", *QUICK,
    )  # fmt: skip
    assert (ran.status, ran.err) == (0, "")
    assert (labels_in("out/v_labels.nii.gz") == labels_in("out/s_labels.nii.gz")).all()
    stored: Any = nibabel.load("s.nii.gz")
    written: Any = nibabel.load("out/s_labels.nii.gz")
    assert np.allclose(written.affine, stored.affine)
    assert written.shape == stored.shape
    assert ("turned to lie as those of the examples" in ran.out) == (axis == "0")
    first, second = json.loads(Path("r.json").read_text())["queries"]
    assert second["shape"] == list(stored.shape[::-1])
    planes = [[e["plane"] for e in each["labels"][0]["estimated_dice"]] for each in (first, second)]
    assert planes[0] == planes[1]


def test_planes_are_numbered_as_the_file_counts_them(
    run: Callable[..., Ran], volumes: Path
) -> None:
    save_volume("f.nii.gz", [[0, 1], [1, 1], [2, -1]])
    numbers = []
    for name in ("v", "f"):
        output = ("--output", f"o{name}.nii.gz", "--json", f"{name}.json")
        assert run("segment", *COPY, "--query", f"{name}.nii.gz", *output, *QUICK).status == 0
        (entry,) = json.loads(Path(f"{name}.json").read_text())["queries"]
        numbers.append({e["plane"]: e["dice"] for e in entry["labels"][0]["estimated_dice"]})
    assert {4 - plane: dice for plane, dice in numbers[0].items()} == numbers[1]


def test_a_labelled_volume_stored_otherwise_gives_the_same_result(
    run: Callable[..., Ran], volumes: Path
) -> None:
    save_volume("s_labels.nii.gz", AS_SAGITTAL, labels=True)
    for name in ("v", "s"):
        pair = ("--support", f"{name}.nii.gz", f"{name}_labels.nii.gz")
        files = ("--query", f"{name}.nii.gz", "--output", f"o{name}.nii.gz")
        ran = run("segment", *pair, *files, "--axis", "axial", *QUICK)
        assert (ran.status, ran.err) == (0, "")
    found, given = labels_in("ov.nii.gz"), labels_in("v_labels.nii.gz")
    assert (labels_in("os.nii.gz") == found).all()
    for plane in np.flatnonzero(given.any(axis=(0, 1))):
        assert (found[:, :, plane] == given[:, :, plane]).all()


def test_labels_in_another_orientation_are_the_same_examples(
    run: Callable[..., Ran], volumes: Path
) -> None:
    save_volume("turned_labels.nii.gz", AS_SAGITTAL, labels=True)
    for name in ("v", "turned"):
        ran = run(
            "fit",
            "--support",
            "v.nii.gz",
            f"{name}_labels.nii.gz",
            "--output",
            f"{name}.iclsam",
            *QUICK,
        )
        assert (ran.status, ran.err) == (0, "")
    one, other = read_task("v.iclsam").support, read_task("turned.iclsam").support
    assert one.fingerprint() == other.fingerprint()


def test_coronal_planes_are_those_along_the_second_axis(
    run: Callable[..., Ran], volumes: Path
) -> None:
    assert run("fit", *VOLUME, "--output", "t.iclsam", "--axis", "coronal", *QUICK).status == 0
    (first, *_) = read_task("t.iclsam").support.images
    assert first.shape == (5, SIZE[1])


def test_a_task_file_knows_how_its_examples_lie(run: Callable[..., Ran], volumes: Path) -> None:
    save_volume("s.nii.gz", AS_SAGITTAL)
    assert run("fit", *VOLUME, "--output", "t.iclsam", *QUICK).status == 0
    for name in "vs":
        query = ("--query", f"{name}.nii.gz", "--output", f"o{name}.nii.gz")
        assert run("predict", "--task", "t.iclsam", *query).status == 0
    assert (labels_in("ov.nii.gz") == labels_in("os.nii.gz")).all()
    assert read_task("t.iclsam").origin.axis == 0


def test_the_axis_of_a_task_holds_unless_another_is_named() -> None:
    assert Reading().along_axis_of("coronal").axis == "coronal"
    assert Reading(axis=1, axis_is_given=True).along_axis_of("coronal").axis == 1
    assert Reading().along_axis_of(None).axis == 0


def test_distances_follow_the_planes_that_are_segmented() -> None:
    turn = Turn((1, 2, 0), (True, False, True))
    placement = Placement(0, turn, (7, 6, 5), (5, 7, 6), (5, 6, 7))
    # of (z, y, x), and x is now the first axis
    assert placement.turned_spacing((3.0, 0.9, 0.8)) == (0.8, 3.0, 0.9)
    affine = turn.affine(np.diag([0.8, 0.9, 3.0, 1.0]), (5, 6, 7))
    assert tuple(np.abs(affine).max(axis=0)[:3][::-1]) == (0.8, 3.0, 0.9)
    assert placement.turned_spacing((0.9, 0.8)) == ()
    assert replace(placement, turn=Turn()).turned_spacing((3.0, 0.9, 0.8)) == (3.0, 0.9, 0.8)


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ("axial", ("stack.tif", "does not say how it lies", "axial planes", "number")),
        ("z", ("0, 1, 2", "axial", "'z'")),
    ],
)
def test_a_direction_that_cannot_be_known_is_said(
    run: Callable[..., Ran], folder: Path, axis: str, words: tuple[str, ...]
) -> None:
    support = ("--support", "stack.tif", "stack_labels.tif")
    is_one_error(run("fit", *support, "--output", "t.iclsam", "--axis", axis), *words)


def test_labels_on_another_grid_are_refused_unless_told(
    run: Callable[..., Ran], volumes: Path
) -> None:
    labels = tifffile.imread("stack_labels.tif").T.astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), "v_labels.nii.gz")
    arguments = ("fit", *VOLUME, "--output", "t.iclsam", *QUICK)
    is_one_error(
        run(*arguments),
        "v.nii.gz",
        "v_labels.nii.gz",
        "not lie on the same grid",
        "--ignore-affine",
    )
    assert run(*arguments, "--ignore-affine").status == 0


def test_what_was_noticed_is_said_at_once_and_stands_in_the_report(
    run: Callable[..., Ran], folder: Path
) -> None:
    mask = (picture(1)[1] == 1).astype(np.uint8)
    Image.fromarray(mask * 255).save("b_labels.png")
    Image.fromarray((picture(0)[1] == 1).astype(np.uint8)).save("a_labels.png")
    ran = run(
        "segment", *PAIRS, "--query", "p.png", "--output", "o.png", "--json", "r.json", *QUICK
    )
    assert ran.status == 0
    assert ran.err.startswith("Note: Masks are 0/1 in a_labels.png and 0/255 in b_labels.png")
    assert json.loads(Path("r.json").read_text())["notes"] == [
        ran.err.removeprefix("Note: ").strip()
    ]
    assert set(np.unique(read_labels(Path("o.png")).array)) <= {0, 1}


def test_a_label_can_be_ignored_and_instances_joined(run: Callable[..., Ran], folder: Path) -> None:
    for extra, ids in (
        (("--ignore-label", "2"), (1,)),
        (("--instances-as-one",), (1,)),
        ((), (1, 2)),
    ):
        assert run("fit", *PAIRS, "--output", "t.iclsam", "--overwrite", *extra, *QUICK).status == 0
        support = read_task("t.iclsam").support
        assert support.ids == ids
        is_two = picture(0)[1] == 2
        assert (support.known(0) == ~is_two).all() == ("2" in extra)


def test_a_channel_is_asked_for_and_taken_of_all_images(
    run: Callable[..., Ran], folder: Path
) -> None:
    for name in "ap":
        image = np.asarray(Image.open(f"{name}.png"))
        meta = {"axes": "CYX", "Labels": ["other", "nuclei"]}
        tifffile.imwrite(f"{name}.tif", np.stack([255 - image, image]), imagej=True, metadata=meta)
    arguments = (
        "--support",
        "a.tif",
        "a_labels.png",
        "--query",
        "p.tif",
        "--output",
        "o.tif",
        *QUICK,
    )
    is_one_error(run("segment", *arguments), "a.tif", "0 other, 1 nuclei", "--channel")
    assert run("segment", *arguments, "--channel", "nuclei").status == 0
    plain = ("--support", "a.png", "a_labels.png", "--query", "p.png", "--output", "o.png", *QUICK)
    assert run("segment", *plain).status == 0
    assert (read_labels(Path("o.tif")).array == read_labels(Path("o.png")).array).all()


@pytest.mark.parametrize("with_stack", [True, False], ids=["stack", "plane"])
def test_slices_saved_as_colors_are_slices_if_the_examples_are_grey(
    run: Callable[..., Ran], folder: Path, with_stack: bool
) -> None:
    stack = (tifffile.imread("stack.tif")[:4] // 200).astype(np.uint8)
    tifffile.imwrite("s.tif", stack, photometric="rgb")
    tifffile.imwrite("l.tif", tifffile.imread("stack_labels.tif")[:4], photometric="rgb")
    support = (
        ("--support", "s.tif", "l.tif") if with_stack else ("--support", "a.png", "a_labels.png")
    )
    ran = run("segment", *support, "--query", "s.tif", "--output", "o.tif", *QUICK)
    assert ran.status == 0
    assert tifffile.imread("o.tif").shape == (4, *SIZE)
    assert "4 slices that were saved as colors" in ran.out


def test_a_window_is_one_for_examples_and_queries(run: Callable[..., Ran], folder: Path) -> None:
    for name in "abp":
        image = np.asarray(Image.open(f"{name}.png"))
        tifffile.imwrite(f"{name}.tif", image.astype(np.int16) * 10 - 500)
    wide = (
        "--support",
        "a.tif",
        "a_labels.png",
        "--support",
        "b.tif",
        "b_labels.png",
        "--query",
        "p.tif",
    )
    window = ("--window", -500, 2050)
    assert run("segment", *wide, "--output", "o.tif", *window, *QUICK).status == 0
    assert run("segment", *PAIRS, "--query", "p.png", "--output", "o.png", *QUICK).status == 0
    assert (read_labels(Path("o.tif")).array == read_labels(Path("o.png")).array).all()
    support = wide[: wide.index("--query")]
    assert run("fit", *support, "--output", "t.iclsam", *window, *QUICK).status == 0
    task = ("predict", "--task", "t.iclsam", "--query", "p.tif", "--output")
    for given, name in ((window, "later.tif"), ((), "without.tif")):
        assert run(*task, name, *given).status == 0
        assert Path(name).read_bytes() == Path("o.tif").read_bytes()
    is_one_error(run(*task, "other.tif", "--window", 0, 900), "saved with --window -500 2050")


def test_a_window_is_two_numbers_in_order(run: Callable[..., Ran], folder: Path) -> None:
    arguments = ("--query", "p.png", "--output", "o.png", "--window", 9, 3)
    is_one_error(
        run("segment", *PAIRS, *arguments), "--window takes a lower and a higher", "9 and 3"
    )


def test_a_blank_picture_of_a_batch_has_an_empty_result(
    run: Callable[..., Ran], folder: Path
) -> None:
    Image.fromarray(np.full(SIZE, 7, np.uint8)).save("blank.png")
    queries = ("--query", "blank.png", "--query", "p.png")
    ran = run("segment", *PAIRS, *queries, "--output", "out", "--json", "r.json", *QUICK)
    assert (ran.status, ran.err) == (0, "")
    assert not read_labels(Path("out/blank_labels.png")).array.any()
    assert read_labels(Path("out/p_labels.png")).array.any()
    assert "one value everywhere" in ran.out
    assert json.loads(Path("r.json").read_text())["queries"][0]["labels"][0]["pixels"] == 0
