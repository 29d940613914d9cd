"""Files dropped on the dock are read as the command line reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_iclsam._qt.background.dropped_files import DroppedFiles, read_files_steps
from napari_iclsam.core.steps import drain

IMAGE = np.random.default_rng(0).integers(0, 255, (24, 32), np.uint8)
LABELS = np.zeros((24, 32), np.uint8)
LABELS[4:12, 6:20] = 1
LABELS[14:20, 6:20] = 2


def opened(paths: Sequence[Path]) -> DroppedFiles:
    return drain(read_files_steps([str(path) for path in paths]))


def test_pairs_are_made_by_name(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        Image.fromarray(IMAGE + np.uint8(number)).save(tmp_path / f"cell{number}.png")
        Image.fromarray(np.roll(LABELS, number)).save(tmp_path / f"cell{number}_mask.png")
    pairs = opened(sorted(tmp_path.iterdir())).pairs
    assert [pair.name for pair in pairs] == ["cell1.png", "cell10.png", "cell2.png"]
    for pair in pairs:
        number = int(pair.name[4:-4])
        assert (pair.image == IMAGE + np.uint8(number)).all()
        assert (pair.labels == np.roll(LABELS, number)).all()


def test_a_palette_keeps_all_its_classes(tmp_path: Path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    picture = Image.frombytes("P", (32, 24), LABELS.tobytes())
    picture.putpalette([0, 0, 0, 128, 0, 0, 128, 0, 0])
    picture.save(tmp_path / "a_mask.png")
    (pair,) = opened(list(tmp_path.iterdir())).pairs
    assert pair.labels.dtype == np.int32
    assert (pair.labels == LABELS).all()


def test_what_is_noticed_comes_with_the_pairs(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 255)):
        Image.fromarray(IMAGE).save(tmp_path / f"{name}.png")
        Image.fromarray((LABELS == 1).astype(np.uint8) * np.uint8(value)).save(
            tmp_path / f"{name}_mask.png"
        )
    dropped = opened(list(tmp_path.iterdir()))
    assert [np.unique(pair.labels).tolist() for pair in dropped.pairs] == [[0, 1], [0, 1]]
    assert "taken as the same object" in dropped.notes[0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS.astype(np.uint64) * 2**33, r"below 2\*\*31"),
        (LABELS + np.float32(0.5), "whole numbers"),
        (LABELS[1:], "must have the same size"),
    ],
    ids=["beyond 32 bits", "fractions", "other size"],
)
def test_what_cannot_be_labels_is_refused(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a_mask.tif", labels, photometric="minisblack")
    with pytest.raises(ValueError, match=message):
        opened(list(tmp_path.iterdir()))


def test_a_stack_is_no_picture(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([IMAGE] * 5), photometric="minisblack")
    tifffile.imwrite(tmp_path / "a_mask.tif", np.stack([LABELS] * 5), photometric="minisblack")
    with pytest.raises(ValueError, match=r"a\.tif is not one picture.*Open stacks as layers"):
        opened(list(tmp_path.iterdir()))
