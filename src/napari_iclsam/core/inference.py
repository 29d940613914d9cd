"""How steps compute, whatever else the process does, and the time that each stage takes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from napari_iclsam.core.prediction import Stage

Step = TypeVar("Step")
Result = TypeVar("Result")


def without_gradients(steps: Generator[Step, None, Result]) -> Generator[Step, None, Result]:
    """Run each step of a generator in inference mode, and what is done between its steps as it was.

    A generator that entered inference mode by itself would leave its caller in it at each
    ``yield``.

    Raises
    ------
    RuntimeError
        At a step in a process that was forked; see `refuse_forked`.
    """
    try:
        while True:
            refuse_forked()
            with torch.inference_mode(), in_float32():
                try:
                    # inference mode is of the thread: it must not be on while the caller has its
                    # turn
                    step = next(steps)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
            yield step
    finally:
        steps.close()


@dataclass(slots=True)
class _DefaultDtype:
    """The default dtype of PyTorch, which is of the whole process, while our threads compute.

    Attributes
    ----------
    threads : int
        How many are computing.
    before : torch.dtype
        What the first of them has found.
    """

    threads: int = 0
    before: torch.dtype = torch.float32
    lock: threading.Lock = field(default_factory=threading.Lock)


_DEFAULT_DTYPE = _DefaultDtype()


@contextmanager
def in_float32() -> Iterator[None]:
    """Let float32 be the default dtype within a block, whatever another library has chosen."""
    default = _DEFAULT_DTYPE
    with default.lock:
        if default.threads == 0:
            default.before = torch.get_default_dtype()
            torch.set_default_dtype(torch.float32)
        default.threads += 1
    try:
        yield
    finally:
        with default.lock:
            default.threads -= 1
            # The last one out: others may be in the middle of computing.
            if default.threads == 0:
                torch.set_default_dtype(default.before)


@dataclass(slots=True)
class _Process:
    """Whether this process has computed, and whether its parent had when it was forked off."""

    has_computed: bool = False
    is_forked: bool = False


_PROCESS = _Process()


def refuse_forked() -> None:
    """Note that this process computes.

    Raises
    ------
    RuntimeError
        If its parent had computed before this one was forked off: the threads of PyTorch are
        missing here, and computing would wait for them without end.
    """
    if _PROCESS.is_forked:
        raise RuntimeError(
            "This process was forked from one that has computed, so PyTorch would hang here: start "
            'workers by spawn, as in multiprocessing.get_context("spawn").'
        )
    _PROCESS.has_computed = True


def _on_forked() -> None:
    _PROCESS.is_forked = _PROCESS.is_forked or _PROCESS.has_computed
    # Another thread of the parent may have held it, and is not here to release it.
    _DEFAULT_DTYPE.lock = threading.Lock()


# Windows does not fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_on_forked)


@dataclass(slots=True)
class StageTimer:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Add the time of the block to a stage."""
        start = time.perf_counter()
        yield
        spent = time.perf_counter() - start
        self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
