"""Files, folders and patterns, and the images that they stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_iclsam.commands.found_images import find_images


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.tif", "a.png", "x.txt", "deep/c.nii.gz", "deep/deeper/d.tif", "e[1].tif"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


def names(*given: str) -> list[str]:
    return [path.as_posix() for path in find_images([Path(name) for name in given]).paths]


def test_a_folder_stands_for_its_own_images_by_name(here: Path) -> None:
    assert names(".") == ["a.png", "b.tif", "e[1].tif"]
    assert find_images([Path()]).skipped == 1


def test_a_pattern_may_reach_into_folders(here: Path) -> None:
    assert names("**/*.tif") == ["b.tif", "deep/deeper/d.tif", "e[1].tif"]
    assert names(str(here / "deep" / "*.nii.gz")) == [(here / "deep/c.nii.gz").as_posix()]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(here: Path) -> None:
    assert names("e[1].tif") == ["e[1].tif"]
    assert not find_images([Path("e[1].tif")]).is_batch


def test_each_image_is_taken_once_in_the_order_given(here: Path) -> None:
    assert names("b.tif", ".") == ["b.tif", "a.png", "e[1].tif"]


def test_what_is_not_wanted_is_left_out_of_folders_but_not_if_named(here: Path) -> None:
    unwanted = [here / "a.png"]
    assert find_images([Path()], unwanted).paths == (Path("b.tif"), Path("e[1].tif"))
    assert find_images([Path("a.png")], unwanted).paths == (Path("a.png"),)


@pytest.mark.parametrize("name", ["deep/deeper/none", "*.xyz", "empty"])
def test_a_name_is_taken_as_a_file_unless_it_stands_for_images(here: Path, name: str) -> None:
    (here / "empty").mkdir()
    if name == "deep/deeper/none":
        # Whether it exists is checked with all others, by name.
        assert names(name) == [name]
        return
    with pytest.raises(FileNotFoundError, match="holds no image"):
        names(name)
