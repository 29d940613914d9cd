"""Checksums of files, of the kinds that publishers of weights give.

The module knows no catalogue and no network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import xxhash

_CHUNK = 1 << 20
"""Bytes read at once."""

_PAGE_STARTS = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")
"""Beginnings of web pages, in lower case."""


class ChecksumError(ValueError):
    """A file differs from the published one in length or checksum. Nothing was changed."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> object: ...
    def hexdigest(self) -> str: ...


def _git_blob(size: int) -> _Hash:
    """Start git's checksum of a file of ``size`` bytes: sha1 of a header and the content."""
    # Of a file in a git repository often no other checksum is published.
    running = hashlib.sha1(usedforsecurity=False)
    running.update(b"blob %d\0" % size)
    return running


_KINDS: dict[str, Callable[[int], _Hash]] = {
    "sha256": lambda size: hashlib.sha256(),
    "md5": lambda size: hashlib.md5(usedforsecurity=False),
    "xxh128": lambda size: xxhash.xxh3_128(),
    "git-blob-sha1": _git_blob,
}

_Key = tuple[Path, int, int, str]

_KNOWN: dict[_Key, str] = {}
"""Checksums by path, length, time of change and kind."""


def checksum(
    path: Path, kind: str = "sha256", on_bytes: Callable[[int], None] | None = None
) -> str:
    """Return "KIND:HEX" of a file's content.

    Computed once a process for a file that keeps its path, length and time of change.

    Parameters
    ----------
    path : Path
    kind : {"sha256", "md5", "xxh128", "git-blob-sha1"}
    on_bytes : callable, optional
        Called with the number of bytes read so far; may raise to stop.

    Raises
    ------
    ValueError
        Unknown kind.
    """
    if kind not in _KINDS:
        raise ValueError(f"unknown kind of checksum {kind!r}: known are {', '.join(_KINDS)}")
    stat = path.stat()
    key = (path.resolve(), stat.st_size, stat.st_mtime_ns, kind)
    # Gigabytes take seconds: a file that has not changed is not read again.
    if key not in _KNOWN:
        running = _KINDS[kind](stat.st_size)
        _read_into(running, path, on_bytes)
        _KNOWN[key] = f"{kind}:{running.hexdigest()}"
    return _KNOWN[key]


def _read_into(running: _Hash, path: Path, on_bytes: Callable[[int], None] | None) -> None:
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            running.update(chunk)
            done += len(chunk)
            if on_bytes is not None:
                on_bytes(done)


def kind_of(expected: str) -> str:
    """Return the kind of a checksum "KIND:HEX"."""
    return expected.partition(":")[0]


def require(
    path: Path,
    expected: str,
    size: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> None:
    """Raise `ChecksumError` unless a file has the expected checksum and length.

    Parameters
    ----------
    path : Path
    expected : str
        "KIND:HEX".
    size : int, optional
        Length in bytes, where it is known.
    on_bytes : callable, optional
        As for `checksum`.
    """
    # The length is compared first, because it costs nothing.
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        raise ChecksumError(f"{path} has {found_size} bytes, expected {size}{describe(path)}")
    found = checksum(path, kind_of(expected), on_bytes)
    if found != expected.lower():
        raise ChecksumError(
            f"{path} is not the published file: expected {expected}, found {found}{describe(path)}"
        )


def describe(path: Path) -> str:
    """Return ": it is ..." where a file's beginning shows that it cannot be weights, else ""."""
    # Pages and pointers are recognised from their first line.
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if not start:
        return ": it is empty"
    if looks_like_page(start):
        return ": it is a web page, perhaps of a login or a proxy"
    if start.startswith(b"version https://git-lfs"):
        return ": it is a git-lfs pointer, not the file that it points to"
    return ""


def looks_like_page(start: bytes) -> bool:
    """Whether content that starts so is HTML."""
    return start.lstrip().lower().startswith(_PAGE_STARTS)
