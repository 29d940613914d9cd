"""Bytes of one address into one file: resumed, retried, cancellable.

The module knows no catalogue and compares no content.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import requests
import urllib3

from napari_iclsam.weights.checksums import looks_like_page

Stage = Literal["waiting", "downloading", "checking"]

CHUNK = 1 << 14
"""Bytes read at once; a connection that breaks loses at most as many."""

_SPARE = 16_000_000
"""Bytes of disk that a download leaves free."""

_LONGEST_PAUSE = 30.0
"""Seconds between two attempts."""

_RANGE_NOT_SATISFIABLE = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE

_PAGE = "sent a web page instead of the file, perhaps a login or a proxy's"

_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
"""Statuses of a server that may be well again soon."""


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
    """The user stopped a download. The next one goes on where it ended."""


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
    # Lengths and ranges must be those of the file, not of its compressed form.
    session.headers["Accept-Encoding"] = "identity"
    if certificates := os.environ.get("SSL_CERT_FILE"):
        session.verify = certificates
    return session


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a download reports, stops and waits.

    Attributes
    ----------
    on_progress : callable
        Called with `Transfer`, several times a second.
    cancelled : callable
        Called often; True stops.
    patience : Patience
    """

    on_progress: OnProgress
    cancelled: Cancelled
    patience: Patience

    def stop_if_cancelled(self) -> None:
        """Raise `DownloadCancelled` if the user wishes it."""
        if self.cancelled():
            raise DownloadCancelled

    def sleep(self, seconds: float) -> None:
        """Wait, unless the user cancels."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            # In short naps: nobody waits half a minute for a button to answer.
            self.stop_if_cancelled()
            time.sleep(min(left, 0.1))


@dataclass(frozen=True, slots=True)
class _Download:
    """One address, the unfinished file of its content, and how to go about it.

    Attributes
    ----------
    session : requests.Session
    url : str
    part : Path
    size : int, optional
        Expected bytes.
    conduct : Conduct
    """

    session: requests.Session
    url: str
    part: Path
    size: int | None
    conduct: Conduct

    @property
    def host(self) -> str:
        """The server's name."""
        return host(self.url)


def transfer(url: str, part: Path, size: int | None, conduct: Conduct) -> None:
    """Download an address into a file, going on where the file ends.

    Parameters
    ----------
    url : str
    part : Path
        The unfinished file; made if it is not there.
    size : int, optional
        Expected bytes; an address that offers another number is refused.
    conduct : Conduct

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
        download = _Download(session, url, part, size, conduct)
        while True:
            before = length(part)
            failure = _try(download)
            if failure is None:
                return
            # An attempt that brought bytes is progress: only failures in a row count.
            failures = 0 if length(part) > before else failures + 1
            if failures >= conduct.patience.attempts:
                raise TransferFailed(f"{failure}, {failures} times in a row")
            conduct.sleep(_pause(failure, failures, conduct.patience))


def _try(download: _Download) -> _Retry | None:
    """Try once; return a failure that may pass, None when the file is complete."""
    try:
        _attempt(download)
    except _Retry as failure:
        return failure
    except requests.exceptions.SSLError as error:
        raise TransferFailed(
            f"the certificate of {download.host} was not accepted ({_root(error)}); "
            "behind a proxy that has its own certificate, "
            "set SSL_CERT_FILE to that certificate's file"
        ) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        return _Retry(f"{download.host} could not be reached or broke off ({_root(error)})")
    return None


def _pause(failure: _Retry, failures: int, patience: Patience) -> float:
    """Return the seconds before the next attempt: the server's own wish, or ever longer."""
    # 0 where the download begins anew: there is nothing to wait for.
    if failure.pause is not None:
        return failure.pause
    doubled: float = patience.pause * 2 ** max(failures - 1, 0)
    return min(doubled, _LONGEST_PAUSE)


def length(path: Path | None) -> int:
    """Return the bytes of a file, 0 if it is not there."""
    return path.stat().st_size if path is not None and path.exists() else 0


def _attempt(download: _Download) -> None:
    """Request once and write the response; return when the file is complete."""
    part = download.part
    size = download.size
    # A longer file is of another version.
    if size is not None and length(part) > size:
        part.unlink()
    start = length(part)
    if size is not None and start == size:
        return
    download.conduct.stop_if_cancelled()
    headers = {"Range": f"bytes={start}-"} if start else {}
    patience = download.conduct.patience
    timeout = (patience.connect, patience.read)
    with download.session.get(
        download.url, headers=headers, stream=True, timeout=timeout
    ) as response:
        _receive(download, response, start)


def _receive(download: _Download, response: requests.Response, start: int) -> None:
    """Check a response to a request from byte ``start`` on, and write it."""
    part = download.part
    if response.status_code == _RANGE_NOT_SATISFIABLE:
        # The file is complete if the server has no byte after ours.
        if _total_of_range(response) == start:
            return
        part.unlink()
        raise _Retry(f"{download.host} does not have the rest of the file", pause=0.0)
    _require_file(response, download.url)
    start = _begin(response, download, start)
    total = _expected_total(response, download, start)
    _require_room(part.parent, (total or 0) - start)
    _write(response, download, start, total)
    if total is not None and length(part) < total:
        raise _Retry(f"{download.host} broke off after {length(part)} of {total} bytes")


def _expected_total(response: requests.Response, download: _Download, start: int) -> int | None:
    """Return the bytes of the whole file, and refuse a file of another length."""
    offered = _total(response, start)
    size = download.size
    if offered is None:
        return size
    if size is not None and offered != size:
        raise TransferFailed(f"{download.host} offers a file of {offered} bytes, expected {size}")
    return offered


def _require_file(response: requests.Response, url: str) -> None:
    """Raise unless the answer carries a file."""
    status = response.status_code
    # 429 and 503 may say when to come back.
    if status in _TEMPORARY:
        raise _Retry(f"{host(url)} is out of order (HTTP {status})", _retry_after(response))
    if status not in (200, 206):
        raise TransferFailed(
            f"{host(url)} does not give the file (HTTP {status} {response.reason}): {url}"
        )
    # A login or a proxy answers with its page and the status of success.
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise TransferFailed(f"{host(url)} {_PAGE}")


def _begin(response: requests.Response, download: _Download, wanted: int) -> int:
    """Return the byte at which the response begins."""
    # A server that knows no ranges sends the whole file.
    if response.status_code == HTTPStatus.OK:
        return 0
    content_range = response.headers.get("Content-Range", "").removeprefix("bytes ")
    begins = content_range.partition("-")[0]
    if begins != str(wanted):
        download.part.unlink()
        raise _Retry(f"{download.host} sent another part of the file than requested", pause=0.0)
    return wanted


def _total(response: requests.Response, start: int) -> int | None:
    """Return the bytes of the whole file, where the response tells them."""
    of_range = _total_of_range(response)
    if of_range is not None:
        return of_range
    # The length is that of the answer, which may begin in the middle of the file.
    rest = response.headers.get("Content-Length", "")
    return start + int(rest) if rest.isdigit() else None


def _total_of_range(response: requests.Response) -> int | None:
    # "bytes 5-9/10", or "/*" where the server does not know.
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isdigit() else None


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds after which the server wishes the next attempt, within limits."""
    # A date is allowed, too; it counts as no wish.
    wish = response.headers.get("Retry-After", "")
    return min(float(wish), _LONGEST_PAUSE) if wish.isdigit() else None


def _require_room(folder: Path, needed: int) -> None:
    # A full disk would stop other programs, too.
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise OSError(
            errno.ENOSPC,
            f"{needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free: "
            "make room, or name another folder in NAPARI_ICLSAM_HOME",
            str(folder),
        )


def _write(response: requests.Response, download: _Download, start: int, total: int | None) -> None:
    """Append to, or begin, the unfinished file."""
    conduct = download.conduct
    done = start
    with download.part.open("r+b" if start else "wb") as file:
        file.seek(start)
        for chunk in response.iter_content(CHUNK):
            # Some proxies send their login page under the type of the file.
            if done == 0 and looks_like_page(chunk[:64]):
                raise TransferFailed(f"{download.host} {_PAGE}")
            file.write(chunk)
            done += len(chunk)
            conduct.on_progress(Transfer("downloading", done, total))
            conduct.stop_if_cancelled()
        # The next attempt goes on from the length of the file, also after a power cut.
        file.flush()
        os.fsync(file.fileno())


def host(url: str) -> str:
    """Return the server's name in an address."""
    return urlsplit(url).netloc


def _root(error: BaseException) -> str:
    """Return the innermost cause in a few words."""
    # requests wraps urllib3, which wraps the socket's own error.
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return _root(inner)
    # "<urllib3...HTTPSConnection object at 0x7f...>: Connection refused": the end is enough.
    words = str(error).rpartition(": ")[2]
    return words[:120] or type(error).__name__
