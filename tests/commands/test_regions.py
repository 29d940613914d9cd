"""--region: examples that are parts of images; what is wrong with one is said in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_iclsam.core.task_file import read_task
from tests.commands.conftest import QUICK, SIZE, Ran, is_one_error, picture


@pytest.fixture
def mosaic(folder: Path) -> None:
    """Write an image of four pictures, of which the upper left one is labelled."""
    parts = [picture(seed) for seed in range(4)]
    rows = [np.hstack([parts[0][0], parts[1][0]]), np.hstack([parts[2][0], parts[3][0]])]
    labels = np.zeros((2 * SIZE[0], 2 * SIZE[1]), np.uint8)
    labels[: SIZE[0], : SIZE[1]] = parts[0][1]
    tifffile.imwrite("mosaic.tif", np.vstack(rows), photometric="minisblack")
    tifffile.imwrite("corner.tif", labels, photometric="minisblack")
    labels[10:12, 8:12] = 2
    tifffile.imwrite("other.tif", labels, photometric="minisblack")


REGION = ("--support", "mosaic.tif", "corner.tif", "--region", "0", "0", "40", "48")


@pytest.mark.usefixtures("mosaic")
def test_region_is_the_example_and_the_image_is_seen_in_tiles_of_its_size(
    run: Callable[..., Ran],
) -> None:
    ran = run("segment", *REGION, "--query", "mosaic.tif", "--output", "o.tif", *QUICK)
    assert ran.status == 0, ran.err
    assert "Seen in 9 tiles of 40 x 48 pixels, the size of the examples" in ran.out
    assert tifffile.imread("o.tif").shape == (80, 96)


@pytest.mark.usefixtures("mosaic")
def test_region_belongs_to_the_example_before_it(run: Callable[..., Ran]) -> None:
    whole = ("--support", "a.png", "a_labels.png")
    second = ("--region", "4", "0", "44", "50")
    ran = run("fit", *whole, *REGION, *second, *whole, "--output", "x.iclsam", *QUICK)
    assert ran.status == 0, ran.err
    support = read_task("x.iclsam").support
    assert [labels.shape for labels in support.labels] == [SIZE, SIZE, (40, 50), SIZE]
    assert support.are_regions


@pytest.mark.usefixtures("mosaic")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--support", "mosaic.tif", "corner.tif", "--region", "50", "0", "70", "40"), "no labels"),
        (
            ("--support", "mosaic.tif", "corner.tif", "--region", "0", "0", "81", "96"),
            "which has 80 rows and 96 columns",
        ),
        (("--region", "0", "0", "40", "48", "--support", "mosaic.tif", "corner.tif"), "behind"),
        ((*REGION, "--region", "9", "9", "9", "20"), "y0 < y1"),
        (
            (*REGION, "--support", "mosaic.tif", "other.tif", "--region", "5", "5", "40", "48"),
            "differ in 8 pixels",
        ),
    ],
    ids=["without labels", "too large", "before its example", "empty", "disagreeing"],
)
def test_bad_region_is_said_in_one_line(
    run: Callable[..., Ran], arguments: tuple[str, ...], words: str
) -> None:
    ran = run("segment", *arguments, "--query", "mosaic.tif", "--output", "o.tif", *QUICK)
    is_one_error(ran, words)
    assert not Path("o.tif").exists()
