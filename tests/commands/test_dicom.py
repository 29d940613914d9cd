"""DICOM on the command line: a folder stands for an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_iclsam.core.task_file import read_task
from napari_iclsam.files import read_image, read_pair
from tests.commands.conftest import PAIRS, QUICK, Ran, is_one_error, picture
from tests.files.dicom_samples import SERIES, series


@pytest.fixture
def scan(folder: Path) -> Path:
    """Write a series of three planes, and labels of the first, in the same place."""
    planes = [picture(seed) for seed in range(3)]
    path = series(Path("scan"), np.stack([image for image, _ in planes]).astype(np.int16) - 100)
    nifti = read_image(path).space.nifti
    assert nifti is not None
    painted = np.stack([labels for _, labels in planes])
    painted[1:] = 0
    nibabel.save(nibabel.Nifti1Image(painted.T, nifti.affine), "labels.nii.gz")
    return path


@pytest.mark.parametrize(
    ("output", "written"),
    [("out", "out/scan_labels.nii.gz"), ("r.dcm", "r.dcm")],
    ids=["NIfTI by default", "DICOM-SEG by name"],
)
def test_a_series_is_segmented_from_one_of_its_planes(
    run: Callable[..., Ran], scan: Path, output: str, written: str
) -> None:
    ran = run(
        "segment", "--support", scan, "labels.nii.gz", "--query", scan, "--output", output, *QUICK
    )
    assert ran.status == 0, ran
    assert f"scan -> {written}" in ran.out
    labels = read_pair(scan, Path(written)).labels.array
    assert set(np.unique(labels)) >= {0, 1}


def test_a_folder_of_series_is_a_batch(run: Callable[..., Ran], scan: Path) -> None:
    planes = np.stack([picture(seed)[0] for seed in range(2)]).astype(np.int16)
    for name in ("one", "two"):
        Path("scans").mkdir(exist_ok=True)
        series(Path("scans") / name, planes)
    (Path("scans") / "two" / "1.dcm").unlink()
    broken = series(Path("scans") / "three", np.repeat(planes, 2, 0))
    (broken / "2.dcm").unlink()
    ran = run("segment", *PAIRS, "--query", "scans", "--output", "out", *QUICK)
    assert ran.status == 1
    assert "3 images: 2 segmented, 1 failed" in ran.out
    assert "plane is missing between" in ran.err
    assert Path("out/one_labels.nii.gz").exists()


def test_a_series_is_chosen(run: Callable[..., Ran], scan: Path) -> None:
    series(scan, np.stack([picture(4)[0]]).astype(np.int16), SeriesInstanceUID=SERIES + ".9",
           name="b")  # fmt: skip
    command = ("segment", *PAIRS, "--query", scan, "--output", "r.nii.gz", *QUICK)
    is_one_error(run(*command), "it holds 2 series", "--series")
    assert run(*command, "--series", ".9").status == 0
    assert nibabel.load("r.nii.gz").shape == (48, 40, 1)


def test_pixel_sizes_are_kept_with_a_task_and_with_its_results(
    run: Callable[..., Ran], scan: Path
) -> None:
    pair = ("--support", scan, "labels.nii.gz")
    assert run("fit", *pair, "--output", "t.iclsam", *QUICK).status == 0
    pixel_size = read_task(Path("t.iclsam")).origin.pixel_size
    # the geometric mean of 0.5 and 0.25 mm, in micrometers
    assert pixel_size == pytest.approx(353.55, abs=0.01)
    ran = run("predict", "--task", "t.iclsam", "--query", scan, "--output", "r.nii.gz")
    assert ran.status == 0, ran
    assert read_image(Path("r.nii.gz")).space.spacing == pytest.approx((2.0, 0.5, 0.25))
