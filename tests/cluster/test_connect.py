"""Connections to a scheduler, and what is said when there is none."""

from __future__ import annotations

import gc
import os

import pytest
import torch
from distributed import Client, LocalCluster

from napari_iclsam.cluster import connect
from napari_iclsam.cluster.connect import connected
from napari_iclsam.cluster.threads import share_of_cores

pytestmark = pytest.mark.usefixtures("own_address")


@pytest.mark.slow
def test_local_workers_share_the_threads_and_leave_the_environment_as_it_was() -> None:
    before = dict(os.environ)
    with connected("local:2") as client:
        threads = client.run(torch.get_num_threads)
    assert list(threads.values()) == [max(1, torch.get_num_threads() // 2)] * 2
    assert dict(os.environ) == before


def test_tasks_of_one_process_share_the_cores_that_it_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    assert [share_of_cores(tasks) for tasks in (1, 2, 3, 16)] == [8, 4, 2, 1]


def fails(scheduler: str, timeout: float = 1.0) -> str:
    """Return what is said of a scheduler that cannot be used."""
    with (
        pytest.raises((ConnectionError, ImportError, ValueError)) as caught,
        connected(scheduler, timeout),
    ):
        pass
    said = str(caught.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1:9"])
def test_a_scheduler_that_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(connect, "_CONNECT", 0.5)
    assert fails(address).startswith(f"No scheduler answers at {address} within 0.5 s: start one")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "tcp://127.0.0.1:x"])
def test_a_client_that_cannot_be_made_is_closed(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(connect, "_CONNECT", 0.5)
    with pytest.raises(ConnectionError) as caught, connected(address):
        pass
    # its traceback keeps the client, which would otherwise close itself when it is collected
    assert caught.value.__cause__ is not None
    clients = [each for each in gc.get_objects() if type(each) is Client]
    assert {client.status for client in clients} == {"closed"}


@pytest.mark.parametrize("scheduler", ["local:0", "local:", "local:-1", "local:two"])
def test_a_number_of_local_workers_is_one_or_more(scheduler: str) -> None:
    assert "such as local:4" in fails(scheduler)


def test_a_cluster_that_refuses_every_job_is_said() -> None:
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster:
        said = fails(cluster.scheduler_address)
    assert "has no worker after 1 s" in said
    assert "squeue" in said


def test_the_extra_is_named_where_dask_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'napari-iclsam[cluster]'" in fails("local:2")
