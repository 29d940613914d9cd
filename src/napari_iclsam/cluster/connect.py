"""A connection to a dask scheduler, or workers of this computer."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

LOCAL = "local:"
"""Before the number of workers that are started on this computer."""

_CONNECT = 10.0
"""Seconds in which a scheduler answers."""

_WORKERS = 120.0
"""Seconds in which the first worker comes, unless told otherwise."""


@contextmanager
def connected(scheduler: str, timeout: float = _WORKERS) -> Iterator[Any]:
    """Yield a `distributed.Client` whose scheduler has at least one worker.

    The environment of this process is as before when the block ends: dask changes it.

    Parameters
    ----------
    scheduler : str
        Address, such as ``tcp://10.0.0.1:8786``, or ``local:N`` for N workers of this computer.
    timeout : float
        Seconds to wait for the first worker.

    Raises
    ------
    ImportError
        If dask.distributed is not installed.
    ValueError
        If the number of local workers is none.
    ConnectionError
        If the scheduler does not answer, or no worker comes.
    """
    if importlib.util.find_spec("distributed") is None:
        raise ImportError(
            "--scheduler needs dask.distributed, which is not installed: run "
            "pip install 'napari-iclsam[cluster]'."
        )
    from napari_iclsam.cluster.threads import ThreadBudget

    before = dict(os.environ)
    try:
        with _quiet(), ExitStack() as stack:
            address: Any = scheduler
            threads = None
            if scheduler.startswith(LOCAL):
                count = _count_of(scheduler)
                address = stack.enter_context(_local_cluster(count))
                threads = max(1, torch.get_num_threads() // count)
            try:
                client = stack.enter_context(_client_of(address))
            except (OSError, ValueError, TypeError) as error:
                raise _no_scheduler(scheduler) from error
            client.register_plugin(ThreadBudget(threads))
            _wait_for_worker(client, scheduler, timeout)
            yield client
    finally:
        os.environ.clear()
        os.environ.update(before)


def _count_of(scheduler: str) -> int:
    text = scheduler.removeprefix(LOCAL)
    if not text.isdigit() or int(text) < 1:
        raise ValueError(
            f"--scheduler takes an address or local:N, such as local:4; got {scheduler}."
        )
    return int(text)


def _local_cluster(count: int) -> Any:
    from distributed import LocalCluster

    # No limit of memory: dask pauses or kills workers that come near it, and models are large.
    return LocalCluster(
        n_workers=count, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    )


def _client_of(address: Any) -> Any:
    """Return a client of a scheduler; one that cannot be made is closed."""
    from distributed import Client

    # made in two steps, to have it if it fails: if it stayed open, the garbage collector would
    # close it, and hang where that happens while the next one is made
    client: Any = Client.__new__(Client)
    try:
        # not the default: other arrays of this process are not for this scheduler
        client.__init__(address, timeout=_CONNECT, set_as_default=False)
    except BaseException:
        client.close()
        raise
    return client


def _no_scheduler(scheduler: str) -> ConnectionError:
    return ConnectionError(
        f"No scheduler answers at {scheduler} within {_CONNECT:g} s: start one with dask "
        "scheduler, and give the address that it prints (tcp://HOST:PORT), or local:N."
    )


def _wait_for_worker(client: Any, scheduler: str, timeout: float) -> None:
    from distributed.exceptions import WorkerStartTimeoutError

    try:
        client.wait_for_workers(1, timeout=timeout)
    except (WorkerStartTimeoutError, TimeoutError) as error:
        raise ConnectionError(
            f"The scheduler {scheduler} has no worker after {timeout:g} s: jobs may wait in their "
            "queue, or be refused. Look at the queue (squeue, bjobs, qstat) and at the jobs' logs."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask's log off the error stream: what users have to know is in messages of ours."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado.application")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
