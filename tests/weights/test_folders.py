"""Where weights are looked for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from napari_iclsam.weights import folders
from napari_iclsam.weights.catalogue import CATALOGUE
from napari_iclsam.weights.download import MissingWeights, fetch, ready, status

MOBILE = replace(CATALOGUE["mobile_sam"], size=3)


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(tmp_path))
    assert folders.weights_folder() == tmp_path / "weights"


def test_without_it_the_user_s_cache_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAPARI_ICLSAM_HOME")
    assert "napari-iclsam" in folders.home().parts


def test_the_preferences_do_not_overrule_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(tmp_path / "a"))
    folders.use_home(tmp_path / "b")
    assert folders.home() == tmp_path / "a"
    monkeypatch.delenv("NAPARI_ICLSAM_HOME")
    folders.use_home("")
    assert "NAPARI_ICLSAM_HOME" not in os.environ
    folders.use_home(tmp_path / "b")
    assert folders.home() == tmp_path / "b"


def test_torch_hub_s_folder_follows_its_variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert folders.hub_folder() == tmp_path / "torch" / "hub" / "checkpoints"
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folders.hub_folder() == tmp_path / "torch" / "hub" / "checkpoints"


def test_our_own_file_is_preferred_to_that_of_torch_hub(home: Path) -> None:
    for folder in (home, folders.hub_folder()):
        folder.mkdir(parents=True)
        (folder / "mobile_sam.pt").write_bytes(b"abc")
    assert [found.place for found in folders.candidates(MOBILE)] == ["cache", "torch hub"]


def test_a_file_of_another_length_in_torch_hub_is_passed_over(home: Path) -> None:
    folders.hub_folder().mkdir(parents=True)
    (folders.hub_folder() / "mobile_sam.pt").write_bytes(b"abcd")
    assert folders.candidates(MOBILE) == ()


def test_bundled_weights_are_looked_for_in_the_package_only(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "starter_sam.safetensors").write_bytes(b"")
    places = {found.place for found in folders.candidates(CATALOGUE["starter_sam"])}
    assert places <= {"bundled"}
    assert (folders.bundled_folder() / "LICENSE").is_file()


@pytest.mark.usefixtures("homeless")
def test_without_a_home_nothing_is_looked_for_nor_kept_there() -> None:
    assert folders.home() is None
    assert folders.weights_folder() is None
    assert folders.hub_folder() is None
    assert folders.candidates(MOBILE) == ()
    assert folders.partial(MOBILE) is None
    assert [found.place for found in folders.candidates(CATALOGUE["starter_sam"])] == ["bundled"]


@pytest.mark.usefixtures("homeless")
def test_without_a_home_a_download_says_what_to_set(tmp_path: Path) -> None:
    assert status(MOBILE).partial == 0
    with pytest.raises(FileNotFoundError, match="no home folder; set NAPARI_ICLSAM_HOME"):
        fetch(MOBILE)
    with pytest.raises(MissingWeights, match="NAPARI_ICLSAM_HOME"):
        ready(MOBILE)
