"""Calls on workers; these are threads of this process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, KilledWorker, LocalCluster

from napari_iclsam.cluster.calls import Answer, in_words, running_calls

pytestmark = pytest.mark.usefixtures("own_address")


@pytest.fixture(scope="module")
def client(own_address: None) -> Iterator[Any]:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_answers_come_with_what_they_are_about_and_more_calls_may_follow(client: Any) -> None:
    found: list[tuple[str, Any]] = []
    with running_calls(client) as calls:
        calls.add("ten", divmod, 23, 10)
        for answer in calls.answers():
            found.append((answer.about, answer.result))
            if answer.about == "ten":
                calls.add("two", divmod, 5, 2)
    assert found == [("ten", (2, 3)), ("two", (2, 1))]


def test_an_error_is_an_answer(client: Any) -> None:
    with running_calls(client) as calls:
        calls.add("zero", divmod, 1, 0)
        (answer,) = calls.answers()
    assert isinstance(answer, Answer)
    assert answer.result is None
    assert isinstance(answer.error, ZeroDivisionError)


def test_a_call_that_kills_its_workers_is_said_in_words() -> None:
    error = in_words(KilledWorker("a task", None, 3))
    assert isinstance(error, MemoryError)
    assert "4 workers died of it" in str(error)
    assert in_words(None) is None


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_call_whose_worker_is_killed_is_made_again_and_the_others_are_kept(
    own_address: None, tmp_path: Path
) -> None:
    # The first time it kills the worker that it runs in; the second time it succeeds.
    script = f"mkdir {tmp_path / 'once'} 2>/dev/null && kill -9 $PPID; echo done"
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as real,
        running_calls(real) as calls,
    ):
        calls.add("killer", subprocess.check_output, ["sh", "-c", script])
        for number in range(4):
            calls.add(str(number), divmod, number, 2)
        answers = {answer.about: answer for answer in calls.answers()}
    assert (tmp_path / "once").exists()
    assert answers["killer"].result == b"done\n"
    assert [answers[str(number)].result for number in range(4)] == [(0, 0), (0, 1), (1, 0), (1, 1)]
