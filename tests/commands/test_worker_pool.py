"""Files segmented by processes of their own, with the bundled models."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from napari_iclsam.commands import worker
from napari_iclsam.files import read_labels
from tests.commands.conftest import PAIRS, QUICK, Ran, picture

LIGHT = (*QUICK, "--models", "starter_sam", "--setting", "coarse_to_fine=false")
LIGHT = (*LIGHT, "--setting", "fine_tune=false")


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Load the bundled models in this process, too: workers know nothing of the small ones."""
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(folder / "home"))


@pytest.fixture
def images(folder: Path) -> Path:
    here = folder / "images"
    here.mkdir()
    for seed in range(4):
        Image.fromarray(picture(seed)[0]).save(here / f"{seed}.png")
    (here / "text.png").write_text("these are not pixels\n")
    return here


def test_a_disk_without_room_for_the_task_of_the_workers_is_named(
    run: Callable[..., Ran], images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker, "write_task", write)
    ran = run("segment", *PAIRS, "--query", "images", "--output", "out", "--jobs", 2, *QUICK)
    place = Path("out") / ".napari-iclsam"
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        f"Error: {place}: No space left on device; the task for the workers is written there.\n"
    )
    assert not Path("out").exists()


@pytest.mark.slow
def test_two_processes_give_what_one_gives(
    run: Callable[..., Ran], bundled: None, images: Path, folder: Path
) -> None:
    for output, jobs in (("one", 1), ("two", 2)):
        ran = run(
            "segment", *PAIRS, "--query", "images", "--output", output, "--jobs", jobs, *LIGHT
        )
        assert ran.status == 1
        assert "5 images: 4 segmented, 1 failed" in ran.out
        assert "Models: starter_sam (CC-BY-SA-4.0), starter_icl (CC-BY-SA-4.0) on cpu." in ran.out
        assert ran.err.startswith(f"Failed: {Path('images/text.png')}")
    for seed in range(4):
        one, two = (Path(output) / f"{seed}_labels.png" for output in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
        assert read_labels(one).array.any()


def test_a_task_that_cannot_be_fitted_stops_the_batch(
    run: Callable[..., Ran], bundled: None, images: Path
) -> None:
    ran = run(
        "segment", *PAIRS, "--query", "images", "--output", "out", "--jobs", 2, *QUICK,
        "--models", "mobile_sam",
    )  # fmt: skip
    assert (ran.status, ran.out) == (2, "")
    assert "napari-iclsam models download mobile_sam" in ran.err
    assert not Path("out").exists()


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the command as a terminal does: in a group of processes of its own."""
    command = [sys.executable, "-m", "napari_iclsam.cli", *arguments]
    # A relative PYTHONPATH would be looked for in the folder of the test; here it is absolute.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def wait_for(condition: Callable[[], bool], program: subprocess.Popen[str]) -> None:
    while not condition():
        assert program.poll() is None, program.communicate()
        time.sleep(0.05)


BOTH = (
    "segment",
    *PAIRS,
    "--query",
    "images/held.png",
    "--query",
    "images/0.png",
    "--output",
    "out",
)
BOTH = (*BOTH, "--jobs", "2", *LIGHT)


@pytest.fixture
def held(bundled: None, images: Path) -> Path:
    """Make an image that holds whoever opens it, until somebody writes into it."""
    os.mkfifo(images / "held.png")
    os.link(images / "held.png", images / "way_in")
    return images / "held.png"


def let_go(held: Path) -> None:
    """Put an image in the place of what holds its readers."""
    shutil.copy(held.with_name("1.png"), held.with_name("good"))
    held.with_name("good").replace(held)


def is_one_done() -> bool:
    return Path("out/0_labels.png").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no signals, no pipes with names")
def test_ctrl_c_stops_all_processes_and_keeps_what_is_complete(
    run: Callable[..., Ran], held: Path
) -> None:
    with start(*BOTH) as program:
        wait_for(is_one_done, program)
        # the file is there a moment before the first process hears of it
        time.sleep(2)
        workers = psutil.Process(program.pid).children(recursive=True)
        os.killpg(program.pid, signal.SIGINT)
        wait_for(lambda: any(Path("out").glob(".napari-iclsam/run-*/stop")), program)
        let_go(held)
        held.with_name("way_in").write_bytes(b"")
        out, err = program.communicate(timeout=120)
    assert (program.returncode, out) == (130, "")
    kept, stopped = filter(None, err.splitlines())
    assert kept == "Done before that, and kept: out/0_labels.png. --resume goes on from here."
    assert stopped == "Stopped."
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    assert not Path("out/held_labels.png").exists()
    assert "2 images: 1 segmented, 1 kept" in run(*BOTH, "--resume").out


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no signals, no pipes with names")
def test_a_process_that_is_killed_loses_nothing(held: Path) -> None:
    with start(*BOTH) as program:
        wait_for(is_one_done, program)
        let_go(held)
        for child in psutil.Process(program.pid).children():
            # Another child of multiprocessing cleans up after all of them.
            if any("spawn_main" in argument for argument in child.cmdline()):
                child.kill()
        out, err = program.communicate(timeout=240)
    assert (program.returncode, err) == (0, "")
    assert "2 images: 2 segmented" in out
    assert read_labels(Path("out/held_labels.png")).array.any()
