"""Digests of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_iclsam.weights.checksums import ChecksumError, checksum, require

KNOWN = {
    "sha256": (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    "md5": (b"abc", "900150983cd24fb0d6963f7d28e17f72"),
    "xxh128": (b"", "99aa06d3014798d86001c324468d497f"),
    "git-blob-sha1": (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_a_checksum_is_the_published_one_of_its_kind(kind: str, tmp_path: Path) -> None:
    content, expected = KNOWN[kind]
    file = tmp_path / "file"
    file.write_bytes(content)
    assert checksum(file, kind) == f"{kind}:{expected}"
    require(file, f"{kind}:{expected.upper()}", size=len(content))


def test_a_changed_file_gets_a_new_checksum(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    before = checksum(file)
    file.write_bytes(b"abcd")
    assert checksum(file) != before


def test_a_file_is_read_once(tmp_path: Path) -> None:
    file, heard = tmp_path / "file", []
    file.write_bytes(bytes(3_000_000))
    first = checksum(file, "md5", heard.append)
    assert heard == [1_048_576, 2_097_152, 3_000_000]
    assert checksum(file, "md5", heard.append) == first
    assert len(heard) == 3


def test_an_unknown_kind_of_check_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown kind of checksum 'crc32': known are sha256, md5"):
        checksum(tmp_path, "crc32")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"  <!DOCTYPE html><html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a git-lfs pointer"),
    ],
    ids=["empty", "web page", "lfs"],
)
def test_a_file_that_cannot_be_weights_says_what_it_is(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(ChecksumError, match=reason):
        require(file, "md5:900150983cd24fb0d6963f7d28e17f72")


def test_a_wrong_file_says_what_was_expected_and_found_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    with pytest.raises(
        ChecksumError, match=r"expected md5:0+, found md5:900150983cd24fb0d6963f7d28e17f72"
    ):
        require(file, "md5:" + "0" * 32)
    with pytest.raises(ChecksumError, match="has 3 bytes, expected 4"):
        require(file, "md5:900150983cd24fb0d6963f7d28e17f72", size=4)
    assert file.read_bytes() == b"abc"
