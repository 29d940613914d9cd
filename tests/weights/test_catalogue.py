"""What the catalogue says, and how names are resolved."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from napari_iclsam.weights.catalogue import ALIASES, CATALOGUE, EXPERTS
from napari_iclsam.weights.download import find
from napari_iclsam.weights.entry import Kind, Weights
from napari_iclsam.weights.lookup import expert_names, lookup, names

ENTRIES = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE.keys())
DIGITS = {"sha256": 64, "md5": 32, "xxh128": 32, "git-blob-sha1": 40}


@ENTRIES
def test_an_entry_says_its_license_and_whom_to_cite(entry: Weights) -> None:
    assert entry.license
    assert entry.license_url.startswith("https://")
    assert entry.citation
    assert entry.cost
    assert entry.good_for


@ENTRIES
def test_an_entry_is_bundled_or_has_an_address_and_a_check(entry: Weights) -> None:
    if entry.bundled:
        assert not entry.urls
        assert entry.filename.endswith(".safetensors")
    else:
        kind, _, digits = (entry.checksum or "").partition(":")
        assert re.fullmatch(f"[0-9a-f]{{{DIGITS[kind]}}}", digits)
        assert entry.urls
        assert all(url.startswith("https://") for url in entry.urls)


@ENTRIES
def test_an_entry_needs_more_memory_than_its_file_is_long(entry: Weights) -> None:
    assert entry.memory > entry.about_size
    assert (
        abs(entry.about_size - (2 if entry.bundled else 4) * entry.parameters)
        < 0.02 * entry.about_size
    )


@pytest.mark.parametrize("name", [entry.name for entry in CATALOGUE.values() if entry.bundled])
def test_bundled_weights_are_as_long_as_said(name: str) -> None:
    path = find(name)
    assert path is not None
    assert path.stat().st_size == pytest.approx(CATALOGUE[name].about_size, rel=0.02)


def test_no_two_entries_share_a_file() -> None:
    files = [entry.filename for entry in CATALOGUE.values()]
    assert len(set(files)) == len(files)


def test_defaults_are_bundled_and_not_for_research_only() -> None:
    assert lookup(names("icl")[0], "icl") == lookup("starter", "icl")
    assert lookup("starter", "sam").name == expert_names("starter")[0]
    defaults = [lookup(name, "sam") for name in expert_names("starter")]
    assert names("sam")[0] in expert_names("starter")
    for default in (lookup("starter", "icl"), lookup("starter", "sam"), *defaults):
        assert default.bundled
        assert not default.research_only


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("starter", ("lite_medsam", "starter_sam")),
        ("starter_sam", ("starter_sam",)),
        ("medsam", ("medsam",)),
        ("lite_medsam+starter_sam", ("lite_medsam", "starter_sam")),
        ("starter_sam + sam_vit_b", ("starter_sam", "sam_vit_b")),
        ("/home/me/a+b.safetensors", ("/home/me/a+b.safetensors",)),
        ("starter_sam+no_such_model", ("starter_sam+no_such_model",)),
        ("no_such_model", ("no_such_model",)),
    ],
)
def test_a_name_stands_for_one_promptable_model_or_several(
    name: str, expected: tuple[str, ...]
) -> None:
    assert expert_names(name) == expected


def test_models_that_are_used_together_are_promptable() -> None:
    for together in EXPERTS.values():
        assert len(set(together)) == len(together) > 1
        assert all(lookup(name).kind == "sam" for name in together)


def test_only_universeg_is_for_research_only() -> None:
    assert [entry.name for entry in CATALOGUE.values() if entry.research_only] == ["universeg_v1"]


@pytest.mark.parametrize(
    ("alias", "name"), ALIASES.items(), ids=[f"{kind}-{alias}" for kind, alias in ALIASES]
)
def test_an_alias_is_resolved_within_its_kind(alias: tuple[Kind, str], name: str) -> None:
    kind, short = alias
    assert lookup(short, kind) is CATALOGUE[name]


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(
        ValueError,
        match=r"no weights are called 'sam_vit_bb': did you mean 'sam_vit_b'\?.*mobile_sam",
    ):
        lookup("sam_vit_bb")


def test_short_names_are_near_too() -> None:
    with pytest.raises(ValueError, match=r"called 'startr': did you mean 'starter'\?"):
        lookup("startr", "sam")


def test_a_model_in_the_wrong_role_is_refused_with_the_right_option() -> None:
    with pytest.raises(ValueError, match="'universeg' is not a promptable model: give it as --icl"):
        lookup("universeg", "sam")
    with pytest.raises(
        ValueError, match="'medsam_vit_b' is not an in-context model: give it as --models"
    ):
        lookup("medsam_vit_b", "icl")


def test_weights_are_listed_downloaded_and_verified_without_torch() -> None:
    code = "import sys, napari_iclsam.weights.download; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
