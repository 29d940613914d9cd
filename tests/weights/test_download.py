"""What a user's download does on good and bad servers, folders and files."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_iclsam.weights import download, folders, verification
from napari_iclsam.weights.catalogue import CATALOGUE
from napari_iclsam.weights.download import (
    ChecksumError,
    DownloadCancelled,
    DownloadFailed,
    MissingWeights,
)
from napari_iclsam.weights.entry import Weights
from napari_iclsam.weights.transfer import CHUNK, Patience, Transfer

if TYPE_CHECKING:
    from tests.weights.conftest import Server

Fetch = Callable[..., Path]


@pytest.fixture
def fetch(hasty: Patience) -> Fetch:
    return lambda weights, **options: download.fetch(weights, patience=hasty, **options)


def files(folder: Path) -> set[str]:
    """Return what lies in a folder, locks apart."""
    return (
        {each.name for each in folder.iterdir() if each.suffix != ".lock"}
        if folder.exists()
        else set()
    )


def about(start: int | None, sent: int) -> bool:
    """Tell whether a request goes on where the one before broke off, but for one chunk."""
    return start is not None and sent - CHUNK <= start <= sent


def test_a_download_arrives_whole_and_is_reported(
    server: Server, weights: Weights, home: Path, fetch: Fetch, content: bytes
) -> None:
    seen: list[Transfer] = []
    path = fetch(weights, on_progress=seen.append)
    assert path == home / "weights.pt"
    assert path.read_bytes() == content
    assert files(home) == {"weights.pt"}
    loading = [each.done for each in seen if each.stage == "downloading"]
    assert loading == sorted(loading)
    assert loading[-1] == len(content)
    assert {each.total for each in seen} == {len(content)}
    assert seen[-1].stage == "checking"


def test_what_is_there_is_not_downloaded_again(
    server: Server, weights: Weights, fetch: Fetch
) -> None:
    assert fetch(weights) == fetch(weights)
    assert len(server.requests) == 1


def test_a_cut_download_goes_on_where_it_stopped(
    server: Server, weights: Weights, fetch: Fetch, content: bytes
) -> None:
    server.behaviours = ["cut", "cut", "ok"]
    assert fetch(weights).read_bytes() == content
    first, second, third = server.requests
    assert first.start is None
    assert about(second.start, first.sent)
    assert about(third.start, (second.start or 0) + second.sent)
    assert third.sent == len(content) - (third.start or 0)


def test_a_server_that_knows_no_ranges_sends_all_again(
    server: Server, weights: Weights, fetch: Fetch, content: bytes
) -> None:
    server.behaviours = ["cut", "no range"]
    assert fetch(weights).read_bytes() == content
    first, second = server.requests
    assert about(second.start, first.sent)
    assert second.sent == len(content)


def test_a_server_that_always_cuts_and_knows_no_ranges_is_given_up(
    server: Server, weights: Weights, fetch: Fetch
) -> None:
    server.behaviours = ["cut no range"]
    with pytest.raises(DownloadFailed, match="broke off"):
        fetch(weights)
    assert len(server.requests) == 4  # the first made progress


def test_a_server_that_sends_another_part_is_asked_from_the_start(
    server: Server, weights: Weights, fetch: Fetch, content: bytes
) -> None:
    server.behaviours = ["cut", "other range", "ok"]
    assert fetch(weights).read_bytes() == content
    first, second, third = server.requests
    assert about(second.start, first.sent)
    assert third.start is None


def test_a_server_out_of_order_is_asked_again(
    server: Server, weights: Weights, fetch: Fetch, content: bytes
) -> None:
    server.behaviours = ["500", "503", "ok"]
    assert fetch(weights).read_bytes() == content


def test_a_server_that_stays_out_of_order_is_given_up(
    server: Server, weights: Weights, fetch: Fetch
) -> None:
    server.behaviours = ["500"]
    with pytest.raises(DownloadFailed, match=r"is out of order \(HTTP 500\), 3 times in a row"):
        fetch(weights)
    assert len(server.requests) == 3


def test_a_missing_file_is_asked_for_once_and_says_how_to_bring_it(
    server: Server, weights: Weights, home: Path, fetch: Fetch
) -> None:
    server.behaviours = ["404"]
    with pytest.raises(DownloadFailed) as failed:
        fetch(weights)
    assert len(server.requests) == 1
    for part in (
        "HTTP 404",
        server.url,
        str(weights.checksum),
        str(home / "weights.pt"),
        "--from FILE",
    ):
        assert part in str(failed.value)
    assert files(home) == set()


def test_a_redirection_is_followed(
    server: Server, weights: Weights, fetch: Fetch, content: bytes
) -> None:
    server.behaviours = ["redirect", "ok"]
    assert fetch(weights).read_bytes() == content
    assert server.requests[1].path == "/elsewhere/weights.pt"


@pytest.mark.parametrize("behaviour", ["html", "hidden html"])
def test_a_web_page_in_its_place_is_refused(
    behaviour: str, server: Server, weights: Weights, home: Path, fetch: Fetch
) -> None:
    server.behaviours = [behaviour]
    with pytest.raises(DownloadFailed, match="sent a web page instead of the file"):
        fetch(replace(weights, size=None))
    assert not (home / "weights.pt").exists()


def test_a_file_of_another_length_is_refused_before_it_is_loaded(
    server: Server, weights: Weights, fetch: Fetch
) -> None:
    server.behaviours = ["longer"]
    with pytest.raises(DownloadFailed, match="offers a file of 700005 bytes, expected 700001"):
        fetch(weights)


def test_wrong_content_is_refused_with_both_checksums_and_kept_nowhere(
    server: Server, weights: Weights, home: Path, fetch: Fetch, content: bytes
) -> None:
    server.behaviours = ["wrong"]
    found = hashlib.sha256(bytes(len(content))).hexdigest()
    with pytest.raises(DownloadFailed, match=f"expected {weights.checksum}, found sha256:{found}"):
        fetch(weights)
    assert files(home) == set()
    assert len(server.requests) == 1


def test_a_wrong_beginning_from_an_earlier_attempt_is_begun_anew(
    server: Server, weights: Weights, home: Path, fetch: Fetch, content: bytes
) -> None:
    home.mkdir(parents=True)
    folders.partial(weights).write_bytes(bytes(1000))
    assert fetch(weights).read_bytes() == content
    assert [request.start for request in server.requests] == [1000, None]


def test_an_unfinished_file_that_is_complete_is_only_checked(
    server: Server, weights: Weights, home: Path, fetch: Fetch, content: bytes
) -> None:
    home.mkdir(parents=True)
    folders.partial(weights).write_bytes(content)
    assert fetch(weights).read_bytes() == content
    assert server.requests == []


def test_without_a_known_length_a_complete_file_is_found_out_from_the_server(
    server: Server, weights: Weights, home: Path, fetch: Fetch, content: bytes
) -> None:
    home.mkdir(parents=True)
    folders.partial(weights).write_bytes(content)
    assert fetch(replace(weights, size=None)).read_bytes() == content
    assert [request.sent for request in server.requests] == [0]


@pytest.mark.parametrize("known", [True, False], ids=["known length", "unknown length"])
def test_an_unfinished_file_that_is_too_long_is_begun_anew(
    known: bool, server: Server, weights: Weights, home: Path, fetch: Fetch, content: bytes
) -> None:
    home.mkdir(parents=True)
    folders.partial(weights).write_bytes(content + b"more")
    assert fetch(replace(weights, size=len(content) if known else None)).read_bytes() == content


def test_a_server_that_falls_silent_is_asked_again(
    server: Server, weights: Weights, content: bytes
) -> None:
    server.behaviours = ["stall", "ok"]
    assert download.fetch(weights, patience=Patience(read=0.2, pause=0)).read_bytes() == content
    assert about(server.requests[1].start, len(content) // 2)


def test_the_next_address_is_tried(
    server: Server, weights: Weights, fetch: Fetch, content: bytes
) -> None:
    server.behaviours = ["404", "wrong", "ok"]
    assert (
        fetch(replace(weights, urls=(server.url, server.url, server.url))).read_bytes() == content
    )


def test_a_server_that_cannot_be_reached_is_named(
    server: Server, weights: Weights, fetch: Fetch
) -> None:
    closed = "http://127.0.0.1:9/weights.pt"
    with pytest.raises(
        DownloadFailed, match=r"127\.0\.0\.1:9 could not be reached or broke off \(.*refused"
    ):
        fetch(replace(weights, urls=(closed,)))


def test_a_cancelled_download_keeps_what_has_come(
    server: Server, weights: Weights, home: Path, fetch: Fetch, content: bytes
) -> None:
    seen: list[Transfer] = []
    with pytest.raises(DownloadCancelled):
        fetch(
            weights,
            on_progress=seen.append,
            cancelled=lambda: bool(seen) and seen[-1].done > 200_000,
        )
    kept = folders.partial(weights).stat().st_size
    assert 200_000 < kept < len(content)
    assert download.status(weights).partial == kept
    assert fetch(weights).read_bytes() == content
    assert server.requests[-1].start == kept


def test_cancelling_ends_a_pause_between_attempts(server: Server, weights: Weights) -> None:
    server.behaviours = ["500"]
    with pytest.raises(DownloadCancelled):
        download.fetch(
            weights, patience=Patience(pause=1000), cancelled=lambda: len(server.requests) > 0
        )


def test_a_full_disk_is_noticed_first(
    server: Server, weights: Weights, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(OSError, match="1 MB are needed and 0 MB are free") as full:
        fetch(weights)
    assert full.value.errno == errno.ENOSPC
    assert not folders.partial(weights).exists()


def test_offline_nothing_is_asked_for(
    server: Server, weights: Weights, home: Path, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_ICLSAM_OFFLINE", "1")
    with pytest.raises(MissingWeights) as raised:
        fetch(weights)
    assert raised.value.weights is weights
    for part in (weights.filename, server.url, str(weights.checksum), str(home / "weights.pt")):
        assert part in str(raised.value)
    assert "downloads are switched off (NAPARI_ICLSAM_OFFLINE)" in str(raised.value)
    # the command that has just failed is no remedy
    assert "run `napari-iclsam models download test`" not in str(raised.value)
    assert server.requests == []


def test_offline_what_is_there_is_used(
    server: Server, weights: Weights, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(weights)
    monkeypatch.setenv("NAPARI_ICLSAM_OFFLINE", "1")
    assert fetch(weights) == path


def test_weights_of_torch_hub_are_used_where_they_lie(
    server: Server, weights: Weights, fetch: Fetch, content: bytes
) -> None:
    folders.hub_folder().mkdir(parents=True)
    (folders.hub_folder() / "weights.pt").write_bytes(content)
    assert fetch(weights) == folders.hub_folder() / "weights.pt"
    assert download.status(weights).place == "torch hub"
    assert server.requests == []


def test_a_wrong_file_of_torch_hub_is_passed_over_and_stays(
    server: Server, weights: Weights, fetch: Fetch, content: bytes
) -> None:
    folders.hub_folder().mkdir(parents=True)
    wrong = folders.hub_folder() / "weights.pt"
    wrong.write_bytes(bytes(len(content)))
    assert fetch(weights).read_bytes() == content
    assert wrong.read_bytes() == bytes(len(content))


def test_a_wrong_file_in_our_folder_is_named_and_stays(
    server: Server, weights: Weights, home: Path, fetch: Fetch, content: bytes
) -> None:
    home.mkdir(parents=True)
    wrong = home / "weights.pt"
    wrong.write_bytes(bytes(len(content)))
    with pytest.raises(
        ChecksumError,
        match=r"expected sha256:\w+, found sha256:\w+.*Nothing was changed: move or delete it",
    ):
        fetch(weights)
    assert wrong.read_bytes() == bytes(len(content))
    assert server.requests == []


def test_a_read_only_cache_is_used(
    weights: Weights, home: Path, fetch: Fetch, content: bytes
) -> None:
    fetch(weights)
    before = files(home)
    home.chmod(0o555)
    try:
        assert fetch(weights).read_bytes() == content
        assert files(home) == before
    finally:
        home.chmod(0o755)


def test_a_folder_that_cannot_be_made_is_named(
    server: Server, weights: Weights, tmp_path: Path, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(
        PermissionError, match=r"cannot be written: name another folder in NAPARI_ICLSAM_HOME"
    ):
        fetch(weights)


def test_a_folder_that_cannot_be_written_is_named(
    weights: Weights, home: Path, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        os, "access", lambda path, mode: False
    )  # for root, who may write everywhere
    with pytest.raises(PermissionError, match="cannot be written"):
        fetch(weights)


def test_bundled_weights_are_never_downloaded(
    server: Server, home: Path, fetch: Fetch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(folders, "bundled_folder", lambda: tmp_path)
    with pytest.raises(
        MissingWeights, match="they belong to the package: install napari-iclsam again"
    ):
        fetch("starter_icl")
    (tmp_path / "starter_icl.safetensors").write_bytes(b"abc")
    assert fetch("starter_icl") == tmp_path / "starter_icl.safetensors"
    assert not home.exists()


def test_a_file_installed_manually_is_copied(
    weights: Weights, home: Path, tmp_path: Path, content: bytes
) -> None:
    brought = tmp_path / "downloads" / "weights (1).pt"
    brought.parent.mkdir()
    brought.write_bytes(content)
    assert download.install_from(weights, brought) == home / "weights.pt"
    assert (home / "weights.pt").read_bytes() == content
    assert brought.exists()
    assert files(home) == {"weights.pt"}
    assert download.install_from(weights, home / "weights.pt") == home / "weights.pt"


def test_a_wrong_file_installed_manually_is_refused(
    weights: Weights, home: Path, tmp_path: Path
) -> None:
    brought = tmp_path / "page.pt"
    brought.write_bytes(b"<html>")
    with pytest.raises(ChecksumError, match="has 6 bytes, expected 700001: it is a web page"):
        download.install_from(weights, brought)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        download.install_from(weights, tmp_path / "absent.pt")
    assert brought.read_bytes() == b"<html>"
    assert files(home) == set()


def test_bundled_weights_are_not_installed_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'lite_medsam' comes with the package"):
        download.install_from("starter", tmp_path)


def test_verifying_compares_with_the_publisher_s_checksum(
    weights: Weights, home: Path, tmp_path: Path, content: bytes
) -> None:
    own = tmp_path / "mine.pt"
    own.write_bytes(content)
    verified = verification.verify(own)
    assert verified.matches
    assert verified.expected is None
    assert verified.sha256 == weights.checksum
    copy = tmp_path / "mobile_sam.pt"
    copy.write_bytes(content)
    verified = verification.verify(copy)
    assert not verified.matches
    assert verified.expected == CATALOGUE["mobile_sam"].checksum
    assert verified.found == weights.checksum
    assert copy.exists()


def test_verifying_what_is_not_there_says_how_to_get_it(home: Path) -> None:
    with pytest.raises(MissingWeights, match="napari-iclsam models download mobile_sam"):
        verification.verify("mobile_sam")
    with pytest.raises(ValueError, match="no weights are called"):
        verification.verify("nonsense.pt")


def test_missing_weights_are_told_from_those_on_this_computer(
    weights: Weights, home: Path, fetch: Fetch
) -> None:
    other = replace(weights, filename="other.pt")
    fetch(weights)
    assert download.missing(weights, other) == (other,)
    assert download.find("mobile_sam") is None
