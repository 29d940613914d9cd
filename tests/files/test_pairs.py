"""Which label file belongs to which image, told by their names, and never by their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_iclsam.files import labels_beside, pairs_by_name


def paired(*names: str) -> dict[str, str]:
    pairs = pairs_by_name([Path(name) for name in names])
    return {pair.image.as_posix(): pair.labels.as_posix() for pair in pairs}


def test_numbers_are_compared_as_words_not_by_order() -> None:
    names = [f"cell{n}{end}.png" for n in (10, 1, 2) for end in ("", "_mask")]
    assert paired(*sorted(names)) == {f"cell{n}.png": f"cell{n}_mask.png" for n in (1, 2, 10)}


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("cell1.png", "cell1_labels.tif"),
        ("cell1.tif", "cell1_cp_masks.png"),
        ("Cell1.tif", "cell1Mask.tif"),
        ("img01.tif", "label01.tif"),
        ("img-01.tif", "seg-01.tif"),
        ("scan.nii.gz", "scan_seg.nii.gz"),
        ("case_07_0000.nii.gz", "case_07_seg.nii.gz"),
        ("images/a.png", "masks/a.png"),
        ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"),
        ("x/image.png", "x/label.png"),
        ("photo.jpg", "mask.png"),
        ("segmentation_of_cells.png", "segmentation_of_cells_mask.png"),
        ("21_training.tif", "21_training_manual1.tif"),
        ("a b.png", "a b mask.png"),
    ],
)
def test_names_that_people_use_are_understood(image: str, labels: str) -> None:
    assert paired(labels, image) == paired(image, labels) == {image: labels}


def test_files_of_one_name_in_several_folders_stay_in_their_folders() -> None:
    names = [f"{folder}/{name}.png" for folder in "ab" for name in ("image", "mask")]
    assert paired(*names) == {"a/image.png": "a/mask.png", "b/image.png": "b/mask.png"}


def test_pairs_come_in_the_order_of_the_images() -> None:
    names = ["b_mask.png", "b.png", "a.png", "a_mask.png"]
    assert list(paired(*names)) == ["b.png", "a.png"]


@pytest.mark.parametrize(
    "names",
    [
        ["a.png"],
        ["a.png", "b.png"],
        ["cell1.png", "cell2_mask.png"],
        ["a.png", "a_mask.png", "a_seg.png"],
        ["a.png", "a.tif", "a_mask.png"],
        ["a.png", "b.png", "a_mask.png"],
        ["a.png", "b.png", "mask_1.png", "mask_2.png"],
        ["x_mask.png", "y_mask.png"],
        ["masked.png", "unmasked.png"],
    ],
    ids=" ".join,
)
def test_what_is_not_clear_is_asked_with_the_names(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"not clear which labels.*cell1_mask\.png") as error:
        paired(*names)
    assert any(name in str(error.value) for name in names)


def test_labels_beside_their_images_are_told_by_name() -> None:
    folder = Path("images")
    paths = [folder / name for name in ("a.png", "a_mask.png", "b.png", "mask_c.png", "notes.png")]
    assert labels_beside(paths) == {folder / "a.png": folder / "a_mask.png"}
