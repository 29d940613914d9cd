"""The hidden folder in which results are written until they are complete."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

PREFIX = ".napari-iclsam-"

LOCK = ".lock"
"""A file in the folder that its process holds locked. The system frees it when the process dies."""

AGE = 60
"""Seconds after which a folder that is not locked has no process that is about to lock it."""


@contextmanager
def folder_beside(folder: Path) -> Iterator[Path]:
    """Make a temporary folder on the same disk as one that may not exist yet.

    Those that killed processes have left at the same place are removed.
    """
    # A file can only be moved, not copied, into place within one disk.
    existing = _nearest_existing(folder)
    if not existing.is_dir():
        raise NotADirectoryError(f"{existing} is a file: nothing can be written to {folder}.")
    _remove_left(existing)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=PREFIX, dir=existing))
    except OSError as error:
        raise PermissionError(f"{existing} cannot be written to ({error.strerror}).") from error
    lock = _locked(temporary / LOCK)
    try:
        yield temporary
    finally:
        if lock is not None:
            lock.release()
        shutil.rmtree(temporary, ignore_errors=True)


def _nearest_existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    if folder.exists():
        return folder
    return next(parent for parent in folder.absolute().parents if parent.exists())


def _remove_left(place: Path) -> None:
    # another run may remove them at the same time
    with suppress(OSError):
        for folder in place.glob(f"{PREFIX}*"):
            if _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    if not (folder / LOCK).is_file() or time.time() - folder.stat().st_mtime < AGE:
        return False
    lock = _locked(folder / LOCK)
    if lock is not None:
        lock.release()
    return lock is not None


def _locked(path: Path) -> filelock.BaseFileLock | None:
    """Lock a file, or return None where another process holds it or the disk has no locks."""
    lock = filelock.FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except (filelock.Timeout, OSError, NotImplementedError):
        return None
    return lock
