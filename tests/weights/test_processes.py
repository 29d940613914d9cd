"""A download that is killed, and two processes that want the same file."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_iclsam.weights import download, folders
from napari_iclsam.weights.entry import Weights
from napari_iclsam.weights.transfer import CHUNK, Patience

if TYPE_CHECKING:
    from tests.weights.conftest import Server

PROGRAM = """
import sys
from dataclasses import replace
from napari_iclsam.weights.catalogue import CATALOGUE
from napari_iclsam.weights.download import fetch

url, size, check = sys.argv[1:]
weights = replace(
    CATALOGUE["mobile_sam"], urls=(url,), filename="weights.pt", size=int(size), checksum=check
)
print(fetch(weights, on_progress=lambda seen: print(seen.stage, seen.done, flush=True)))
"""

Start = Callable[[Weights], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start downloads in processes of their own."""
    running: list[subprocess.Popen[str]] = []

    def begin(weights: Weights) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-c",
            PROGRAM,
            weights.urls[0],
            str(weights.size),
            str(weights.checksum),
        ]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def read_until(process: subprocess.Popen[str], stage: str, done: int) -> None:
    """Read what a process prints until it is that far."""
    assert process.stdout is not None
    for line in process.stdout:
        said, _, count = line.partition(" ")
        if said == stage and int(count) >= done:
            return
    raise AssertionError(f"the process ended before it was {stage}")


def test_a_killed_download_goes_on_in_the_next_process(
    server: Server, weights: Weights, start: Start, content: bytes, hasty: Patience
) -> None:
    server.behaviours = ["wait", "ok"]
    process = start(weights)
    read_until(process, "downloading", len(content) // 2 - CHUNK)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    kept = folders.partial(weights).stat().st_size
    assert kept >= len(content) // 2 - CHUNK
    path = download.fetch(weights, patience=hasty)
    assert path.read_bytes() == content
    assert server.requests[1].start == kept
    assert server.requests[1].sent == len(content) - kept
    assert not folders.partial(weights).exists()


def test_two_processes_share_one_download(
    server: Server, weights: Weights, home: Path, start: Start, content: bytes
) -> None:
    server.behaviours = ["wait"]
    first = start(weights)
    read_until(first, "downloading", 1)
    second = start(weights)
    read_until(second, "waiting", 0)
    server.go_on.set()
    for process in (first, second):
        output, _ = process.communicate()
        assert process.returncode == 0
        assert output.splitlines()[-1] == str(home / "weights.pt")
    assert len(server.requests) == 1
    assert (home / "weights.pt").read_bytes() == content


def test_waiting_for_another_process_can_be_cancelled(
    server: Server, weights: Weights, start: Start
) -> None:
    server.behaviours = ["wait"]
    read_until(start(weights), "downloading", 1)
    stages: list[str] = []
    with pytest.raises(download.DownloadCancelled):
        download.fetch(
            weights,
            on_progress=lambda seen: stages.append(seen.stage),
            cancelled=lambda: bool(stages),
        )
    assert stages == ["waiting"]
