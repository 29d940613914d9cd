"""Jobs of a batch system (SLURM, LSF, SGE) as workers, by dask-jobqueue."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

_LOGGER = "tornado.application"
"""Where dask's event loop writes what a batch system has answered."""


class _Refusals(logging.Handler):
    """Keeps what a batch system says when it refuses a job; dask-jobqueue raises nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the words of a command that ended with an error."""
        error = record.exc_info[1] if record.exc_info else None
        # dask-jobqueue quotes the command's own words last.
        _, found, words = str(error).partition("stderr:")
        if found:
            self.last = " ".join(words.split())


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

    refusals = _Refusals()
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(refusals)
    # The traceback of dask's event loop says no more than the message below.
    propagate = logger.propagate
    logger.propagate = False
    try:
        cluster.adapt(minimum_jobs=count, maximum_jobs=count)
        cluster.wait_for_workers(1, timeout=timeout)
    except (WorkerStartTimeoutError, TimeoutError) as error:
        why = (
            f"The batch system says: {refusals.last}"
            if refusals.last
            else ("The batch system has not refused them: they may wait in its queue.")
        )
        raise ConnectionError(f"No job works after {timeout:g} s. {why}") from error
    finally:
        logger.propagate = propagate
        logger.removeHandler(refusals)


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
