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
    """Says once what a batch system answers when it refuses jobs, and keeps its words.

    dask-jobqueue raises nothing; its event loop writes a traceback for each job.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the record of a command that ended with an error; drop one that says the same."""
        error = record.exc_info[1] if record.exc_info else None
        # dask-jobqueue quotes the command's own words last.
        _, found, words = str(error).partition("stderr:")
        if not found:
            return True
        said = " ".join(words.split())
        is_new = said != self.last
        self.last = said
        record.msg = f"The batch system has refused a job: {said}"
        record.args = ()
        record.exc_info = None
        return is_new


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
