"""How many threads the arithmetic of a worker uses."""

from __future__ import annotations

import os
from typing import Any

import torch
from distributed import WorkerPlugin
from threadpoolctl import threadpool_limits


class ThreadBudget(WorkerPlugin):
    """Give each worker its share of the cores.

    Under dask's nanny PyTorch has one thread, whatever the environment of a job says: the nanny
    sets ``OMP_NUM_THREADS`` and ``MKL_NUM_THREADS`` to 1.

    Parameters
    ----------
    threads : int, optional
        By default the cores that the worker's process may use, shared by the tasks that it runs at
        the same time.
    """

    name = "napari-iclsam-threads"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def setup(self, worker: Any) -> None:
        """Set the number of threads; dask calls it in each worker, also in a later one."""
        threads = self.threads or share_of_cores(worker.state.nthreads)
        torch.set_num_threads(threads)
        threadpool_limits(threads)


def share_of_cores(tasks: int) -> int:
    """Return the threads of each of so many tasks that run at the same time in this process."""
    # Of a job, these are the cores that it was given, not those of the machine.
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // tasks)
