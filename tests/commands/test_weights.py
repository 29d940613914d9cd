"""The commands models and cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from napari_iclsam.core.encoder.cache import default_folder
from napari_iclsam.weights.catalogue import CATALOGUE
from tests.commands.conftest import PAIRS, QUICK, Ran, is_one_error


def test_the_list_of_models_names_each_with_its_license_and_file(run: Callable[..., Ran]) -> None:
    listed, short = run("models", "list"), run("models")
    assert (listed.status, listed.out) == (short.status, short.out) == (0, listed.out)
    together = "".join(listed.out.split())
    for weights in CATALOGUE.values():
        assert weights.name in listed.out
        assert weights.license.split()[0] in listed.out
    assert "researchpurposesonly" in together or "research" in listed.out


def test_the_path_of_weights_is_printed(run: Callable[..., Ran], tmp_path: Path) -> None:
    assert run("models", "path").out.strip() == str(tmp_path / "home" / "weights")
    place = tmp_path / "home" / "weights" / "mobile_sam.pt"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x")
    assert run("models", "path", "mobile_sam").out.strip() == str(place)
    is_one_error(run("models", "path", "sam_vit_h"), "models download sam_vit_h")
    is_one_error(run("models", "path", "sam_vit_hh"), "did you mean 'sam_vit_h'")


def test_a_file_with_a_wrong_check_is_refused_and_stays(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    file = tmp_path / "mobile_sam.pt"
    file.write_bytes(b"something else")
    ran = run("models", "download", "mobile_sam", "--from", file)
    assert ran.status == 2
    assert "Apache-2.0" in ran.out  # the license comes first
    assert ran.err.startswith("Error: ")
    assert "expected 40728226" in ran.err
    assert file.read_bytes() == b"something else"
    assert not (tmp_path / "home" / "weights" / "mobile_sam.pt").exists()
    checked = run("models", "verify", file)
    assert checked.status == 2
    assert f"expected {CATALOGUE['mobile_sam'].checksum}" in checked.out
    assert "Nothing was changed" in checked.err


def test_a_file_installed_manually_is_installed_and_verified(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "from_a_stick.pt"
    file.write_bytes(b"weights")
    check = "sha256:" + hashlib.sha256(b"weights").hexdigest()
    entry = replace(CATALOGUE["mobile_sam"], size=7, checksum=check)
    monkeypatch.setattr(
        "napari_iclsam.weights.lookup.CATALOGUE",
        MappingProxyType({**CATALOGUE, "mobile_sam": entry}),
    )
    ran = run("models", "download", "mobile_sam", "--from", file)
    assert (ran.status, ran.err) == (0, "")
    assert (tmp_path / "home" / "weights" / "mobile_sam.pt").read_bytes() == b"weights"
    checked = run("models", "verify", "mobile_sam")
    assert checked.status == 0
    assert check in checked.out


def test_the_cache_is_counted_and_cleared(run: Callable[..., Ran], folder: Path) -> None:
    assert "0 embeddings" in run("cache").out
    assert run("segment", *PAIRS, "--query", "p.png", "--output", "o.png", *QUICK).status == 0
    info = run("cache", "info")
    assert "3 embeddings" in info.out
    assert str(default_folder()) in info.out
    assert "3 embeddings deleted" in run("cache", "clear").out
    assert "0 embeddings" in run("cache", "info").out


@pytest.mark.usefixtures("folder", "homeless")
def test_without_a_home_images_are_segmented_and_what_is_missing_is_said(
    run: Callable[..., Ran],
) -> None:
    ran = run("segment", *PAIRS, "--query", "p.png", "--output", "o.png", *QUICK)
    assert ran.status == 0
    assert "Note: This user has no home folder; set NAPARI_ICLSAM_HOME" in ran.err
    assert Path("o.png").exists()
    # Not a folder of this name where the user happens to be.
    assert not Path("~").exists()
    assert run("models", "list").status == 0
    assert "no home folder" in run("models", "path").out
    is_one_error(run("cache", "info"), "no home folder")
    is_one_error(run("cache", "clear"), "no home folder")
