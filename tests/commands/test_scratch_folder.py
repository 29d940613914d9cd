"""What killed processes leave beside results is removed; what living ones write is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from napari_iclsam.commands.scratch_folder import AGE, LOCK, PREFIX, folder_beside

WRITER = """
import sys, time
from pathlib import Path
from napari_iclsam.commands.scratch_folder import folder_beside

with folder_beside(Path(sys.argv[1])) as folder:
    (folder / "half-written").write_text("x")
    print(folder, flush=True)
    time.sleep(600)
"""


@contextmanager
def writer(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start a process that writes, and return it with its folder."""
    command = [sys.executable, "-c", WRITER, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        try:
            yield process, folder
        finally:
            process.kill()


def age(folder: Path) -> None:
    """Make a folder older than one that a process may be about to lock."""
    then = time.time() - 2 * AGE
    os.utime(folder, (then, then))


def left(place: Path) -> list[Path]:
    """Return the hidden folders at a place."""
    return list(place.glob(f"{PREFIX}*"))


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_folder_of_a_killed_process_is_removed_by_the_next_run(tmp_path: Path) -> None:
    with writer(tmp_path) as (process, folder):
        process.send_signal(signal.SIGKILL)
        process.wait()
        age(folder)
        assert left(tmp_path) == [folder]
        with folder_beside(tmp_path) as own:
            assert left(tmp_path) == [own]
    assert left(tmp_path) == []


def test_folder_of_a_running_process_stays(tmp_path: Path) -> None:
    with writer(tmp_path) as (process, folder):
        age(folder)
        with folder_beside(tmp_path):
            pass
        assert process.poll() is None
        assert (folder / "half-written").read_text() == "x"


def test_folder_of_this_process_stays(tmp_path: Path) -> None:
    with folder_beside(tmp_path) as outer:
        age(outer)
        with folder_beside(tmp_path) as inner:
            assert set(left(tmp_path)) == {outer, inner}
    assert left(tmp_path) == []


def test_folder_that_is_just_being_made_stays(tmp_path: Path) -> None:
    new = tmp_path / f"{PREFIX}new"
    new.mkdir()
    (new / LOCK).touch()
    with folder_beside(tmp_path):
        assert new.is_dir()


def test_folder_without_a_lock_is_not_ours_to_remove(tmp_path: Path) -> None:
    other = tmp_path / f"{PREFIX}other"
    other.mkdir()
    age(other)
    with folder_beside(tmp_path):
        assert other.is_dir()


def test_folder_is_made_where_files_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(*_: object) -> None:
        raise NotImplementedError("no flock here")

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    old = tmp_path / f"{PREFIX}old"
    old.mkdir()
    (old / LOCK).touch()
    age(old)
    with folder_beside(tmp_path) as folder:
        assert folder.is_dir()
        assert old.is_dir()
