"""Weights by name: found, downloaded, verified, installed manually. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from napari_iclsam.weights import checksums, folders
from napari_iclsam.weights.checksums import ChecksumError
from napari_iclsam.weights.entry import Weights
from napari_iclsam.weights.lookup import lookup
from napari_iclsam.weights.transfer import (
    Cancelled,
    Conduct,
    DownloadCancelled,
    OnProgress,
    Patience,
    Transfer,
    TransferFailed,
    host,
    length,
    transfer,
)

__all__ = [
    "ChecksumError",
    "DownloadCancelled",
    "DownloadFailed",
    "MissingWeights",
    "Patience",
    "Status",
    "Transfer",
    "fetch",
    "find",
    "install_from",
    "manual_install",
    "missing",
    "ready",
    "status",
]

OFFLINE = "NAPARI_ICLSAM_OFFLINE"
"""Environment variable: 1 forbids every download."""


class MissingWeights(FileNotFoundError):
    """Weights that are not on this computer; the message says how to get them."""

    def __init__(self, weights: Weights) -> None:
        if weights.bundled:
            remedy = "they belong to the package: install napari-iclsam again"
        elif offline():
            remedy = f"downloads are switched off ({OFFLINE}); {manual_install(weights)}"
        else:
            command = f"napari-iclsam models download {weights.name}"
            remedy = f"run `{command}`, or install it manually: {manual_install(weights)}"
        super().__init__(f"the weights {weights.name!r} are not on this computer: {remedy}")
        self.weights = weights


class DownloadFailed(OSError):
    """No address gave the file; the message says why, and how to install it manually."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where weights are.

    Attributes
    ----------
    weights : Weights
    path : Path, optional
        The file, if it is there.
    place : {"bundled", "cache", "torch hub"}, optional
    partial : int
        Bytes of an unfinished download.
    """

    weights: Weights
    path: Path | None
    place: folders.Place | None
    partial: int


def offline() -> bool:
    """Whether the environment forbids downloads."""
    return os.environ.get(OFFLINE, "").strip().lower() in {"1", "true", "yes", "on"}


def manual_install(weights: Weights) -> str:
    """Return how to bring a file to a computer without network, in one sentence."""
    folder = folders.weights_folder() or Path(f"${folders.HOME}") / "weights"
    return (
        f"get {weights.filename} from {weights.urls[0]} (checksum {weights.checksum}) "
        "on another computer, then run "
        f"`napari-iclsam models download {weights.name} --from FILE`, or put it as "
        f"{folder / weights.filename}"
    )


def status(weights: Weights) -> Status:
    """Return where weights are, fast: nothing is read or verified."""
    # The interface asks for every row of its table: a checksum here would block it.
    found = next(iter(folders.candidates(weights)), None)
    partial = length(folders.partial(weights))
    if found is None:
        return Status(weights, None, None, partial)
    return Status(weights, found.path, found.place, partial)


def find(name: str) -> Path | None:
    """Return the file of a name if it is on this computer, unverified, else None."""
    return status(lookup(name)).path


def missing(*wanted: Weights) -> tuple[Weights, ...]:
    """Return those weights that are not on this computer."""
    return tuple(weights for weights in wanted if status(weights).path is None)


def ready(weights: Weights, on_bytes: Callable[[int], None] | None = None) -> Path:
    """Return the verified file of weights that are on this computer.

    Raises
    ------
    MissingWeights
        There is none.
    ChecksumError
        The file in our folder is not the published one; nothing is changed. (A wrong file of
        another program, in torch.hub's folder, is passed over.)
    """
    for found in folders.candidates(weights):
        if _is_published(found, weights, on_bytes):
            return found.path
    raise MissingWeights(weights)


def _is_published(
    found: folders.Found, weights: Weights, on_bytes: Callable[[int], None] | None
) -> bool:
    """Whether a file is the published one; a wrong file in our own folder is an error."""
    if weights.checksum is None:
        return True
    try:
        checksums.require(found.path, weights.checksum, weights.size, on_bytes)
    except ChecksumError as error:
        # torch.hub's folder belongs to other programs, which may keep other versions.
        if found.place != "cache":
            return False
        raise ChecksumError(
            f"{error}. Nothing was changed: move or delete it, then download again"
        ) from None
    return True


def fetch(
    name: str | Weights,
    *,
    on_progress: OnProgress | None = None,
    cancelled: Cancelled | None = None,
    patience: Patience | None = None,
) -> Path:
    """Return the verified file of some weights, downloading it if it is not on this computer.

    A broken or cancelled download goes on where it stopped. Two processes that want the same file
    share one download.

    Parameters
    ----------
    name : str or Weights
    on_progress : callable, optional
        Called with `Transfer` from this thread.
    cancelled : callable, optional
        Called several times a second; True stops.
    patience : Patience, optional

    Raises
    ------
    ValueError
        Unknown name.
    ChecksumError
        A file with this name lies in our folder and is not the published one.
    MissingWeights
        Downloads are forbidden by ``NAPARI_ICLSAM_OFFLINE``.
    DownloadFailed
        No address gave the file.
    DownloadCancelled
    OSError
        The folder cannot be written, or the disk is full.
    """
    weights = lookup(name) if isinstance(name, str) else name
    conduct = Conduct(on_progress or _ignore, cancelled or _never, patience or Patience())
    job = _Job(weights, conduct)
    with contextlib.suppress(MissingWeights):
        return ready(weights, job.on_checked)
    # A bundled file that is missing is a broken installation, which no download mends.
    if weights.bundled or offline():
        raise MissingWeights(weights)
    target = _writable_folder() / weights.filename
    with _alone(target, job):
        with contextlib.suppress(MissingWeights):
            # Another process may have fetched it meanwhile.
            return ready(weights, job.on_checked)
        part = folders.partial(weights)
        assert part is not None
        _download(job, part)
        # Renamed at the end, so that the name stands for a file that is whole.
        part.replace(target)
    return target


def install_from(
    name: str | Weights,
    file: Path | str,
    *,
    on_progress: OnProgress | None = None,
    cancelled: Cancelled | None = None,
) -> Path:
    """Copy a file of the user into our folder, after its verification.

    The user's file stays as it is.

    Raises
    ------
    ValueError
        Unknown name, or bundled weights.
    ChecksumError
        It is another file; the message says what was expected and found.
    OSError
        It cannot be read, or our folder cannot be written.
    """
    weights = lookup(name) if isinstance(name, str) else name
    source = Path(file)
    job = _Job(weights, Conduct(on_progress or _ignore, cancelled or _never, Patience()))
    if weights.bundled or weights.checksum is None:
        raise ValueError(
            f"{weights.name!r} comes with the package and is not installed from a file"
        )
    if not source.is_file():
        raise FileNotFoundError(f"there is no file {source}")
    # The source is checked, so that a wrong file never takes the place of a right one.
    checksums.require(source, weights.checksum, weights.size, job.on_checked)
    target = _writable_folder() / weights.filename
    # The user may have put it there already.
    if target.exists() and target.samefile(source):
        return target
    with _alone(target, job):
        _copy(source, target)
    return target


def _copy(source: Path, target: Path) -> None:
    """Copy a file, so that the target is never seen half written."""
    copy = target.with_name(target.name + ".copy")
    try:
        shutil.copyfile(source, copy)
        copy.replace(target)
    finally:
        copy.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Job:
    """Weights that are being installed, and how to go about it."""

    weights: Weights
    conduct: Conduct

    def on_checked(self, done: int) -> None:
        """Report how far a verification is, and stop it if the user wishes."""
        self.conduct.on_progress(Transfer("checking", done, self.weights.about_size))
        self.conduct.stop_if_cancelled()

    def on_waiting(self) -> None:
        """Report that another process downloads the same file, and stop if the user wishes."""
        done = length(folders.partial(self.weights))
        self.conduct.on_progress(Transfer("waiting", done, self.weights.size))
        self.conduct.stop_if_cancelled()


def _ignore(progress: Transfer) -> None:
    """Take no notice."""


def _never() -> bool:
    return False


def _writable_folder() -> Path:
    folder = folders.weights_folder()
    if folder is None:
        raise FileNotFoundError(folders.NO_HOME)
    # Told now, not after a download of gigabytes.
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise PermissionError(f"{folder} cannot be written: name another folder in {folders.HOME}")
    return folder


@contextlib.contextmanager
def _alone(target: Path, job: _Job) -> Iterator[None]:
    """Wait until no other process downloads the same file.

    The system frees the lock of a process that dies.
    """
    lock = filelock.FileLock(target.with_name(target.name + ".lock"))
    while True:
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=0.2)
            break
        # Between short waits, so that the user can still cancel.
        job.on_waiting()
    try:
        yield
    finally:
        lock.release()


def _download(job: _Job, part: Path) -> None:
    """Fill the unfinished file from the first address that gives the right content."""
    problems = []
    for url in job.weights.urls:
        try:
            return _from_address(job, url, part)
        # A full disk or the user's wish would be the same at the next address.
        except (TransferFailed, ChecksumError) as error:
            problems.append(str(error))
    raise DownloadFailed(
        f"{job.weights.name!r} was not downloaded: {'; '.join(problems)}. "
        f"To install it manually: {manual_install(job.weights)}"
    )


def _from_address(job: _Job, url: str, part: Path) -> None:
    """Download and verify.

    A resumed file of wrong content is begun anew once, in case its beginning was wrong.
    """
    resumed = length(part) > 0
    try:
        _transfer_and_verify(job, url, part)
    except ChecksumError as error:
        part.unlink()
        # A new file of wrong content would be the same again.
        if not resumed:
            raise ChecksumError(f"{host(url)} sent another file: {error}") from None
        _from_address(job, url, part)


def _transfer_and_verify(job: _Job, url: str, part: Path) -> None:
    weights = job.weights
    transfer(url, part, weights.size, job.conduct)
    if weights.checksum is not None:
        checksums.require(part, weights.checksum, weights.size, job.on_checked)
