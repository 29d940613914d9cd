"""Jobs of a batch system (SLURM, LSF, SGE) as workers, by dask-jobqueue."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

_LOGGER = "tornado.application"
"""Where dask's event loop writes what a batch system has answered."""


_AGAIN = 30.0
"""Seconds after which jobs that were refused are submitted anew."""

_CALLBACK = "napari-iclsam-again"


class _Refusals(logging.Filter):
    """Keeps what a batch system says when it refuses a job; dask-jobqueue raises nothing.

    The traceback of dask's event loop, which is dropped, says no more than these words.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the words of a command that ended with an error, and drop its record."""
        error = record.exc_info[1] if record.exc_info else None
        # dask-jobqueue quotes the command's own words last.
        _, found, words = str(error).partition("stderr:")
        if found:
            self.last = " ".join(words.split())
        return not found


_refusals = _Refusals()


def wait_for_jobs(cluster: Any, count: int, timeout: float) -> None:
    """Ask for jobs, and wait until the first of them works.

    The number of jobs is kept: one that ends at its time limit, or dies, is submitted anew, and so
    is one that was refused, once the cause is mended. (`scale` does neither.)

    Parameters
    ----------
    cluster : dask_jobqueue.JobQueueCluster
        Such as a ``SLURMCluster``.
    count : int
        Number of jobs.
    timeout : float
        Seconds.

    Raises
    ------
    ConnectionError
        If none works after this time, with what the batch system says.
    """
    from distributed.exceptions import WorkerStartTimeoutError

    _refusals.last = ""
    logging.getLogger(_LOGGER).addFilter(_refusals)
    try:
        cluster.adapt(minimum_jobs=count, maximum_jobs=count)
        _submit_again(cluster)
        cluster.wait_for_workers(1, timeout=timeout)
    except (WorkerStartTimeoutError, TimeoutError) as error:
        why = (
            f"The batch system says: {_refusals.last}"
            if _refusals.last
            else ("The batch system has not refused them: they may wait in its queue.")
        )
        raise ConnectionError(f"No job works after {timeout:g} s. {why}") from error


def _submit_again(cluster: Any) -> None:
    """Let dask forget jobs that were refused, now and then, so that it submits others for them.

    It counts them as jobs that are still to begin, and would wait for them forever.
    """
    from tornado.ioloop import PeriodicCallback

    async def forget() -> None:
        refused = []
        for name, job in cluster.workers.items():
            # Of those whose submission has ended, only a refused one has no number.
            if name in cluster.worker_spec and not job.job_id:
                refused.append(name)
        if refused:
            await cluster.scale_down(refused)

    async def begin() -> None:
        await forget()
        if _CALLBACK not in cluster.periodic_callbacks:
            callback = PeriodicCallback(forget, 1000 * _AGAIN)
            # Closing the cluster stops it.
            cluster.periodic_callbacks[_CALLBACK] = callback
            callback.start()

    cluster.sync(begin)


def close_jobs(cluster: Any) -> None:
    """End all jobs of a cluster.

    Parameters
    ----------
    cluster : dask_jobqueue.JobQueueCluster
    """
    from distributed.core import Status

    # At the end dask asserts that each worker has begun, which those of refused jobs have not.
    with suppress(AssertionError):
        cluster.close()
    cluster.status = Status.closed
