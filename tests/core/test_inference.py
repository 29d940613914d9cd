"""Computing in a process that others use, too: default dtypes, forks."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest
import torch

from napari_iclsam.core.inference import in_float32
from napari_iclsam.core.segmenter import ICLSAM
from napari_iclsam.core.task import Task


@pytest.fixture(name="float64")
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_another_default_dtype_changes_no_result_and_stays(
    segmenter: Callable[..., ICLSAM], scene: Callable[..., Any], float64: None
) -> None:
    image, labels = scene()
    other, _ = scene(seed=1)
    make = segmenter(fine_tune=True)
    found = make.fit([image], [labels]).predict(other)
    assert torch.get_default_dtype() == torch.float64
    torch.set_default_dtype(torch.float32)
    expected = make.fit([image], [labels]).predict(other)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.probabilities[1], expected.probabilities[1])


@pytest.mark.usefixtures("float64")
def test_networks_are_loaded_in_float32_whatever_the_default_dtype() -> None:
    networks = ICLSAM("starter", device="cpu").networks
    assert {tensor.dtype for tensor in networks.sams[0].network.parameters()} == {torch.float32}
    assert {tensor.dtype for tensor in networks.icl.parameters()} == {torch.float32}


@pytest.mark.usefixtures("float64")
def test_the_default_dtype_comes_back_when_the_last_of_several_has_computed() -> None:
    first, second = in_float32(), in_float32()
    with first:
        with second:
            assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_dtype() == torch.float64


def _say_error(task: Task, image: Any, connection: Connection) -> None:
    try:
        task.predict(image)
    except RuntimeError as error:
        connection.send(str(error))
    connection.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_worker_is_told_to_be_spawned(
    segmenter: Callable[..., ICLSAM], scene: Callable[..., Any]
) -> None:
    image, labels = scene()
    task = segmenter(fine_tune=False).fit([image], [labels])
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    worker = context.Process(target=_say_error, args=(task, image, there))
    worker.start()
    assert here.poll(60)
    assert "start workers by spawn" in here.recv()
    worker.join()
