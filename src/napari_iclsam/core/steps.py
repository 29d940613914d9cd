"""Generators that do their work step by step, and even choices. Knows no torch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import numpy as np

Step = TypeVar("Step")
Changed = TypeVar("Changed")
Result = TypeVar("Result")


def drain(steps: Generator[Any, None, Result]) -> Result:
    """Run a generator to its end and return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def mapped(
    steps: Generator[Step, None, Result], change: Callable[[Step], Changed]
) -> Generator[Changed, None, Result]:
    """Run a generator, change each value that it yields, and return what it returns."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        yield change(step)


def evenly_spaced(count: int, at_most: int) -> list[int]:
    """Return at most so many indices of ``count`` items, evenly spaced, with first and last."""
    positions = np.linspace(0, count - 1, min(count, at_most)).round()
    # rounding may name an index twice
    chosen: list[int] = np.unique(positions.astype(int)).tolist()
    return chosen
