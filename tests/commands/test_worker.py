"""What a worker does with a task: fits it once, and stops between two steps of a file."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_iclsam.commands import worker
from napari_iclsam.commands.examples import ReadExamples
from napari_iclsam.commands.inputs import Reading
from napari_iclsam.commands.model import Model
from napari_iclsam.commands.query_run import Work
from napari_iclsam.commands.worker import SentTask, StoppedError, drain_unless_stopped, fitted
from napari_iclsam.core.images.support import SupportSet
from napari_iclsam.core.model_choice import ModelChoice
from napari_iclsam.core.settings import Settings
from tests.commands.conftest import picture


@pytest.fixture
def sent(folder: Path) -> SentTask:
    image, labels = picture(0)
    support = SupportSet.of([image], [labels])
    settings = Settings(fine_tune=False, cross_validate=False)
    return worker.send_task(
        Work(ReadExamples(support), Reading()), Model(ModelChoice(), settings), folder
    )


def test_a_task_is_fitted_once_in_a_process(sent: SentTask, monkeypatch: Any) -> None:
    read: list[Path] = []
    original = worker.read_task

    def read_task(path: Path) -> Any:
        read.append(path)
        return original(path)

    monkeypatch.setattr(worker, "read_task", read_task)
    assert not len(sent.examples.support)
    first = fitted(sent)
    assert fitted(sent) is first
    assert read == [sent.file]
    assert np.array_equal(first.work.examples.support.labels[0], picture(0)[1])


@pytest.mark.parametrize("what", ["stop", "task gone"])
def test_a_file_is_stopped_between_two_steps(sent: SentTask, what: str) -> None:
    done: list[int] = []

    def steps() -> Generator[None, None, str]:
        try:
            for number in range(5):
                done.append(number)
                if number == 2 and what == "stop":
                    sent.stop.touch()
                elif number == 2:
                    sent.file.unlink()
                yield
        finally:
            done.append(-1)
        return "complete"

    with pytest.raises(StoppedError):
        drain_unless_stopped(sent, steps())
    assert done == [0, 1, 2, -1]


def test_a_file_that_nobody_stops_is_completed(sent: SentTask) -> None:
    def steps() -> Generator[None, None, str]:
        yield
        return "complete"

    assert drain_unless_stopped(sent, steps()) == "complete"
