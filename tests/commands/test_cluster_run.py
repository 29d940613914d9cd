"""Batches on a cluster: the results are those of one process, also when a worker is killed."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
from distributed import Client, LocalCluster
from PIL import Image

from napari_iclsam.cluster.calls import Answer, Calls
from napari_iclsam.commands import file_run
from tests.commands.conftest import PAIRS, QUICK, Ran, is_one_error, picture

pytestmark = pytest.mark.usefixtures("own_address")

COUNT = 18
LIGHT = (*QUICK, "--models", "starter_sam", "--setting", "coarse_to_fine=false")
LIGHT = (*LIGHT, "--setting", "fine_tune=false")


@pytest.fixture
def images(folder: Path) -> Path:
    """Make a folder of two pictures, a stack of three parts, a broken file and a small stack."""
    here = folder / "images"
    here.mkdir()
    for seed in (1, 2):
        Image.fromarray(picture(seed)[0]).save(here / f"{seed}.png")
    long = np.stack([picture(seed % 5)[0] for seed in range(COUNT)])
    tifffile.imwrite(here / "long.tif", long)
    (here / "text.png").write_text("these are not pixels\n")
    shutil.copy("stack.tif", here)
    return here


@pytest.fixture
def threads(own_address: None) -> Iterator[str]:
    """Start two workers that are threads of this process: they know the small networks."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def results(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*_labels.*")}


def test_pictures_planes_and_volumes_give_what_one_process_gives(
    run: Callable[..., Ran], images: Path, threads: str
) -> None:
    # The planes of this stack are examples: it is segmented as a volume.
    volume = ("--support", "images/stack.tif", "stack_labels.tif", "--query", "images")
    for output, scheduler in (("one", ()), ("many", ("--scheduler", threads))):
        ran = run("segment", *volume, "--output", output, *scheduler, *QUICK)
        assert ran.status == 1, ran
        assert "5 images: 4 segmented, 1 failed" in ran.out
        assert ran.err.startswith(f"Failed: {Path('images/text.png')} cannot be read")
    assert results("one") == results("many")
    names = ["1_labels.png", "2_labels.png", "long_labels.tif", "stack_labels.tif"]
    assert sorted(results("one")) == names
    assert not list(Path("many/.napari-iclsam").glob("run-*"))


def test_a_plane_that_is_broken_fails_its_stack_alone(
    run: Callable[..., Ran], folder: Path, threads: str
) -> None:
    stack = np.stack([picture(seed % 5)[0] for seed in range(COUNT)]).astype(np.float32)
    stack[12, 0, 0] = np.nan
    tifffile.imwrite("long.tif", stack)
    queries = ("--query", "long.tif", "--query", "p.png")
    ran = run("segment", *PAIRS, *queries, "--output", "out", "--scheduler", threads, *QUICK)
    assert (ran.status, ran.err.count("\n")) == (1, 1)
    assert "plane 12 of long.tif" in ran.err
    assert sorted(results("out")) == ["p_labels.png"]


def test_a_full_disk_of_a_worker_ends_the_run_and_names_the_file(
    run: Callable[..., Ran], images: Path, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = file_run.write_labels

    def write(path: Path, labels: Any, *rest: Any) -> None:
        if "long_labels" in path.name:
            raise OSError(28, "No space left on device")
        original(path, labels, *rest)

    arguments = ("segment", *PAIRS, "--query", "images", "--output", "out", "--scheduler", threads)
    with monkeypatch.context() as patch:
        patch.setattr(file_run, "write_labels", write)
        ran = run(*arguments, *QUICK)
    assert (ran.status, ran.out) == (2, "")
    kept, error = ran.err.splitlines()
    assert kept.startswith("Done before that, and kept: out/")
    assert error.startswith("Error: out/long_labels.tif: No space left on device")
    assert "1 segmented, 3 kept, 1 failed" in run(*arguments, *QUICK, "--resume").out


def test_ctrl_c_keeps_what_is_complete_and_is_resumed(
    run: Callable[..., Ran], images: Path, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Calls.answers

    def answers(self: Calls[Any]) -> Iterator[Answer[Any]]:
        for answer in original(self):
            yield answer
            if any(Path("out").glob("*_labels.*")):
                raise KeyboardInterrupt

    queries = ("--query", "images/1.png", "--query", "images/2.png", "--query", "q.png")
    arguments = ("segment", *PAIRS, *queries, "--output", "out", "--scheduler", threads)
    with monkeypatch.context() as patch:
        patch.setattr(Calls, "answers", answers)
        ran = run(*arguments, *QUICK)
    assert (ran.status, ran.out) == (130, "")
    assert "Done before that, and kept: out/" in ran.err
    assert "--resume goes on from here" in ran.err
    kept = results("out")
    assert kept
    ran = run(*arguments, *QUICK, "--resume")
    assert f"{len(kept)} kept" in ran.out
    assert len(results("out")) == 3


def test_a_scheduler_that_is_not_there_is_one_line(run: Callable[..., Ran], folder: Path) -> None:
    arguments = ("segment", *PAIRS, "--query", "p.png", "--output", "out", *QUICK)
    is_one_error(run(*arguments, "--scheduler", "nonsense://x"), "No scheduler answers at")
    is_one_error(run(*arguments, "--scheduler", "local:2", "--jobs", 2), "--jobs or --scheduler")
    assert not Path("out").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # on a busy machine the workers take long to begin
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_worker_that_is_killed_loses_nothing(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.undo()  # the bundled models: workers know nothing of the small ones
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NAPARI_ICLSAM_HOME", str(folder / "home"))
    # One part of eight planes and one of a single plane, which is there first.
    tifffile.imwrite("nine.tif", np.stack([picture(seed % 5)[0] for seed in range(9)]))
    arguments = ("segment", *PAIRS, "--query", "nine.tif", "--query", "p.png", *LIGHT, "--output")
    killed: list[int] = []

    def kill(client: Any) -> None:
        """Kill a worker that segments, as soon as a part of the stack is there."""
        while not any(Path("two").glob(".napari-iclsam/run-*/nine_labels.tif-planes-*")):
            time.sleep(0.05)
        busy = [worker for worker, keys in client.processing().items() if keys]
        killed.append(client.run(os.getpid)[busy[0]])
        os.kill(killed[0], signal.SIGKILL)

    options = {"threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with (
        LocalCluster(n_workers=2, silence_logs=50, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        killer = threading.Thread(target=kill, args=(client,), daemon=True)
        killer.start()
        ran = run(*arguments, "two", "--scheduler", cluster.scheduler_address)
        killer.join(60)
    assert ran.status == 0, ran
    assert "2 images: 2 segmented" in ran.out
    assert len(killed) == 1
    assert not psutil.pid_exists(killed[0])
    assert run(*arguments, "one").status == 0
    assert results("one") == results("two")
