"""Generators whose steps compute without gradients, and the time that each stage takes."""

from __future__ import annotations

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

    A generator that entered inference mode by itself would leave its caller in it at each ``yield``.
    """
    try:
        while True:
            with torch.inference_mode():
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
