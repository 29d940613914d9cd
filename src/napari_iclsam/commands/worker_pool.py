"""Files segmented by several processes of this computer."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing

import torch

from napari_iclsam.commands.file_run import FileReport, FileWork, failed
from napari_iclsam.commands.worker import SentTask, segment_file, use_threads

_KILLED = (
    "Its worker process was ended by the system, which happens when memory runs out: give fewer "
    "--jobs."
)


def run_in_processes(
    sent: SentTask, files: Sequence[FileWork], jobs: int
) -> Generator[FileReport, None, None]:
    """Segment files by several processes, and yield what became of each, as soon as it is known.

    A file during which a process dies is tried once more, alone.

    Raises
    ------
    ValueError
        If the task cannot be fitted.
    """
    threads = max(1, torch.get_num_threads() // jobs)
    doubtful: list[FileWork] = []
    waiting = deque(files)
    try:
        while waiting:
            # A pool in which a process died takes no more work: the next one goes on.
            with closing(_run_pool(sent, waiting, jobs, threads, doubtful.append)) as reports:
                yield from reports
        for file in doubtful:
            yield _run_alone(sent, file, threads)
    finally:
        # Workers that still segment something end at their next step.
        sent.stop.touch()


def _run_pool(
    sent: SentTask,
    waiting: deque[FileWork],
    jobs: int,
    threads: int,
    on_death: Callable[[FileWork], None],
) -> Generator[FileReport, None, None]:
    """Run files until all are done, or a process dies."""
    running: dict[Future[FileReport], FileWork] = {}
    with _pool(jobs, threads) as pool:
        try:
            while waiting or running:
                # No more than there are processes: what waits in the pool dies with it.
                while waiting and len(running) < jobs:
                    file = waiting.popleft()
                    running[pool.submit(segment_file, sent, file)] = file
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    report = future.result()
                    del running[future]
                    yield report
        except BrokenProcessPool:
            for file in running.values():
                on_death(file)
        # An error of the task, or whoever takes the reports has enough of them.
        except BaseException:
            sent.stop.touch()
            raise


def _run_alone(sent: SentTask, file: FileWork, threads: int) -> FileReport:
    try:
        with _pool(1, threads) as pool:
            return pool.submit(segment_file, sent, file).result()
    except BrokenProcessPool:
        return failed(file, MemoryError(_KILLED))


def _pool(jobs: int, threads: int) -> ProcessPoolExecutor:
    # Spawned: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, _begin, (threads,))


def _begin(threads: int) -> None:
    """Prepare a worker process."""
    # Ctrl-C reaches all processes of a terminal; who began the run tells the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    use_threads(threads)
