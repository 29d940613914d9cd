"""Digests of files, of the kinds that publishers of weights give. Knows no catalogue and no network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import xxhash

_CHUNK = 1 << 20


class CheckFailed(ValueError):
    """A file is not what it should be. Nothing was changed."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> object: ...
    def hexdigest(self) -> str: ...


def _git_blob(size: int) -> _Hash:
    """Return git's digest of a file of ``size`` bytes: sha1 of a header with the length, and the content."""
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(b"blob %d\0" % size)
    return digest


_KINDS: dict[str, Callable[[int], _Hash]] = {
    "sha256": lambda size: hashlib.sha256(),
    "md5": lambda size: hashlib.md5(usedforsecurity=False),
    "xxh128": lambda size: xxhash.xxh3_128(),
    "git-blob-sha1": _git_blob,
}


def digest(path: Path, kind: str = "sha256", on_bytes: Callable[[int], None] | None = None) -> str:
    """Return "KIND:HEX" of a file's content.

    Computed once a process for a file that keeps its path, length and time of change.

    Parameters
    ----------
    path : Path
    kind : {"sha256", "md5", "xxh128", "git-blob-sha1"}
    on_bytes : callable, optional
        Called with the number of bytes read so far; may raise to stop.
    """
    if kind not in _KINDS:
        raise ValueError(f"unknown kind of check {kind!r}: known are {', '.join(_KINDS)}")
    stat = path.stat()
    key = (path.resolve(), stat.st_size, stat.st_mtime_ns, kind)
    if key not in _DIGESTS:
        running, done = _KINDS[kind](stat.st_size), 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                running.update(chunk)
                done += len(chunk)
                if on_bytes is not None:
                    on_bytes(done)
        _DIGESTS[key] = f"{kind}:{running.hexdigest()}"
    return _DIGESTS[key]


_DIGESTS: dict[tuple[Path, int, int, str], str] = {}


def require(
    path: Path, check: str, size: int | None = None, on_bytes: Callable[[int], None] | None = None
) -> None:
    """Raise `CheckFailed` unless a file has the given digest ("KIND:HEX") and, where known, length.

    The message says what was expected and what was found.
    """
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        raise CheckFailed(f"{path} has {found_size} bytes, expected {size}{describe(path)}")
    found = digest(path, check.partition(":")[0], on_bytes)
    if found != check.lower():
        raise CheckFailed(
            f"{path} is not the published file: expected {check}, found {found}{describe(path)}"
        )


def describe(path: Path) -> str:
    """Return ": it is ..." where a file's beginning tells why it cannot be weights, else nothing."""
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
    """Tell whether content that starts so is HTML."""
    return start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--"))
