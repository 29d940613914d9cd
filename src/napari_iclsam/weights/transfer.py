"""Bytes of one address into one file: resumed, retried, cancellable. Knows no catalogue and checks no content."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import requests
import urllib3

from napari_iclsam.weights.checks import looks_like_page

Stage = Literal["waiting", "downloading", "checking"]

CHUNK = 1 << 14
"""Bytes read at once; a connection that breaks loses at most as many."""
_SPARE = 16_000_000
"""Bytes of disk that a download leaves free."""
_PAGE = "sent a web page instead of the file, perhaps a login or a proxy's"
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Transfer:
    """How far a download is.

    Attributes
    ----------
    stage : {"waiting", "downloading", "checking"}
        Waiting for another process that fetches the same file, downloading, or checking.
    done : int
        Bytes so far, those of an earlier attempt included.
    total : int, optional
        Bytes in all, where known.
    """

    stage: Stage
    done: int
    total: int | None


OnProgress = Callable[[Transfer], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server.

    Attributes
    ----------
    connect, read : float
        Seconds until a connection stands, and without a single byte.
    attempts : int
        Failures in a row, without progress between them, after which an address is given up.
    pause : float
        Seconds before the second attempt; doubled at each further one, at most 30.
    """

    connect: float = 10.0
    read: float = 20.0
    attempts: int = 4
    pause: float = 1.0


class DownloadCancelled(Exception):
    """The user stopped a download. What has arrived is kept and the next download goes on from there."""


class TransferFailed(OSError):
    """An address did not give the file."""


class _Retry(Exception):
    """A failure that may pass."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


def new_session() -> requests.Session:
    """Return a session that honours proxies, ``REQUESTS_CA_BUNDLE`` and also ``SSL_CERT_FILE``."""
    session = requests.Session()
    session.headers["User-Agent"] = "napari-iclsam"
    session.headers["Accept-Encoding"] = "identity"  # lengths and ranges must be those of the file
    if certificates := os.environ.get("SSL_CERT_FILE"):
        session.verify = certificates
    return session


def transfer(
    url: str,
    part: Path,
    *,
    size: int | None,
    on_progress: OnProgress,
    cancelled: Cancelled,
    patience: Patience,
) -> None:
    """Download an address into a file, going on where the file ends.

    Parameters
    ----------
    url : str
    part : Path
        The unfinished file; made if it is not there.
    size : int, optional
        Expected bytes; an address that offers another number is refused.
    on_progress : callable
        Called with `Transfer`, several times a second.
    cancelled : callable
        Asked often; True stops.
    patience : Patience

    Raises
    ------
    DownloadCancelled
        The file so far is kept.
    TransferFailed
        Refused, or given up after ``patience.attempts``; a sentence says why.
    OSError
        No room on the disk.
    """
    failures = 0
    with new_session() as session:
        while True:
            before = length(part)
            try:
                return _attempt(session, url, part, size, on_progress, cancelled, patience)
            except _Retry as error:
                reason, pause = str(error), error.pause
            except requests.exceptions.SSLError as error:
                raise TransferFailed(
                    f"the certificate of {host(url)} was not accepted ({_root(error)}); behind a proxy that has its "
                    "own certificate, set SSL_CERT_FILE to that certificate's file"
                ) from error
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                reason, pause = (
                    f"{host(url)} could not be reached or broke off ({_root(error)})",
                    None,
                )
            failures = 0 if length(part) > before else failures + 1
            if failures >= patience.attempts:
                raise TransferFailed(f"{reason}, {failures} times in a row")
            if pause is None:
                pause = min(patience.pause * 2 ** max(failures - 1, 0), 30.0)
            _sleep(pause, cancelled)


def length(path: Path) -> int:
    """Return the bytes of a file, 0 if it is not there."""
    return path.stat().st_size if path.exists() else 0


def _attempt(
    session: requests.Session,
    url: str,
    part: Path,
    size: int | None,
    on_progress: OnProgress,
    cancelled: Cancelled,
    patience: Patience,
) -> None:
    """Ask once and write what comes; return when the file is complete."""
    if size is not None and length(part) > size:
        part.unlink()
    start = length(part)
    if size is not None and start == size:
        return
    if cancelled():
        raise DownloadCancelled
    headers = {"Range": f"bytes={start}-"} if start else {}
    timeout = (patience.connect, patience.read)
    with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code == 416:
            if _total_of_range(response) == start:
                return
            part.unlink()
            raise _Retry(f"{host(url)} does not have the rest of the file", pause=0.0)
        _require_file(response, url)
        start = _begin(response, url, part, start)
        total = _total(response, start)
        if size is not None and total is not None and total != size:
            raise TransferFailed(f"{host(url)} offers a file of {total} bytes, expected {size}")
        total = size if total is None else total
        _require_room(part.parent, (total or 0) - start)
        _write(response, url, part, start, total, on_progress, cancelled)
    if total is not None and length(part) < total:
        raise _Retry(f"{host(url)} broke off after {length(part)} of {total} bytes")


def _require_file(response: requests.Response, url: str) -> None:
    """Raise unless the answer carries a file."""
    status = response.status_code
    if status in _TEMPORARY:
        raise _Retry(f"{host(url)} is out of order (HTTP {status})", _retry_after(response))
    if status not in (200, 206):
        raise TransferFailed(
            f"{host(url)} does not give the file (HTTP {status} {response.reason}): {url}"
        )
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise TransferFailed(f"{host(url)} {_PAGE}")


def _begin(response: requests.Response, url: str, part: Path, asked: int) -> int:
    """Return at which byte the answer begins."""
    if response.status_code == 200:
        return 0
    begins = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if begins != str(asked):
        part.unlink()
        raise _Retry(f"{host(url)} sent another part of the file than it was asked for", pause=0.0)
    return asked


def _total(response: requests.Response, start: int) -> int | None:
    of_range = _total_of_range(response)
    if of_range is not None:
        return of_range
    said = response.headers.get("Content-Length", "")
    return start + int(said) if said.isdigit() else None


def _total_of_range(response: requests.Response) -> int | None:
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isdigit() else None


def _retry_after(response: requests.Response) -> float | None:
    said = response.headers.get("Retry-After", "")
    return min(float(said), 30.0) if said.isdigit() else None


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise OSError(
            errno.ENOSPC,
            f"{needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free: make room, or name another folder "
            "in NAPARI_ICLSAM_HOME",
            str(folder),
        )


def _write(
    response: requests.Response,
    url: str,
    part: Path,
    start: int,
    total: int | None,
    on_progress: OnProgress,
    cancelled: Cancelled,
) -> None:
    """Append to, or begin, the unfinished file."""
    done = start
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        for chunk in response.iter_content(CHUNK):
            if done == 0 and looks_like_page(chunk[:64]):
                raise TransferFailed(f"{host(url)} {_PAGE}")
            file.write(chunk)
            done += len(chunk)
            on_progress(Transfer("downloading", done, total))
            if cancelled():
                raise DownloadCancelled
        file.flush()
        os.fsync(file.fileno())


def _sleep(seconds: float, cancelled: Cancelled) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if cancelled():
            raise DownloadCancelled
        time.sleep(min(left, 0.1))


def host(url: str) -> str:
    """Return the server's name in an address."""
    return urlsplit(url).netloc


def _root(error: BaseException) -> str:
    """Return the innermost cause in a few words."""
    inner = (
        each
        for each in (getattr(error, "reason", None), *error.args)
        if isinstance(each, BaseException)
    )
    cause = next(inner, None)
    return (
        _root(cause)
        if cause is not None
        else str(error).rpartition(": ")[2][:120] or type(error).__name__
    )
