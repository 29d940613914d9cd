"""How much of a run is done: slices, and the preparation before the first of them."""

from __future__ import annotations

import time
from collections import Counter

from napari_iclsam.core.prediction import Progress, Stage

PREPARATION_SLICES = 12
"""Fitting a task counts as so many slices: with the starter models it takes about as long."""

_STAGE_SPAN: dict[Stage, tuple[float, float]] = {
    "load": (0.0, 0.05),
    "icl": (0.05, 0.1),
    "done": (0.05, 0.1),
    "embed": (0.1, 0.3),
    "check": (0.3, 0.6),
    "fine_tune": (0.6, 0.98),
    "fit": (0.98, 1.0),
}
"""The part of the preparation, from and to, in which a stage of fitting lies."""


class RunProgress:
    """Counts the steps of a run.

    Parameters
    ----------
    total : int
        Slices to segment.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._prepared = 0.0
        self._part = 0.0
        self._steps: Counter[Stage] = Counter()
        self._seconds = 0.0
        self._began = time.perf_counter()

    @property
    def fraction(self) -> float:
        """Part of the run that is done, in [0, 1]."""
        # without the share of preparation, the bar would rest at zero for long
        units = PREPARATION_SLICES * self._prepared + self.done + self._part
        return units / (PREPARATION_SLICES + self.total)

    @property
    def seconds(self) -> float | None:
        """Mean time of a slice; None before the first one is done."""
        return self._seconds / self.done if self.done else None

    def count_preparation(self, step: Progress, expected: int) -> None:
        """Count a step of fitting, of a stage that has about so many steps."""
        start, end = _STAGE_SPAN.get(step.stage, (0.0, 0.0))
        part = min(self._steps[step.stage] / max(expected, 1), 1.0)
        self._steps[step.stage] += 1
        # a stage may come twice, or be left out: the bar never goes back
        self._prepared = max(self._prepared, start + part * (end - start))

    def start_job(self) -> None:
        """Note that the slices of an image begin now; all is prepared."""
        self._prepared = 1.0
        self._began = time.perf_counter()

    def count_tile(self, step: Progress) -> None:
        """Count a tile of a large plane."""
        self._part = step.done / step.total

    def count_slice(self) -> None:
        """Count a slice that is done."""
        self._part = 0.0
        now = time.perf_counter()
        self._seconds += now - self._began
        self._began = now
        self.done += 1
