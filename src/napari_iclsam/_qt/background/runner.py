"""One generator at a time in a worker: the newest wins, closing leaves nothing behind."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

from napari.qt.threading import GeneratorWorker
from qtpy.QtCore import QObject, QTimer, Signal, Slot

Steps = Callable[[], Generator[Any, None, Any]]
"""Makes the generator that a run iterates; called in the main thread, run in the worker."""

# where no event loop ends, nothing else waits for the workers: the process would abort
atexit.register(GeneratorWorker.await_workers)

_PATIENCE = 1.0
"""Seconds that a worker waits for the main thread: where no event loop runs any more, nobody takes
what it yields."""

EXPECTED = (ValueError, TypeError, OSError, MemoryError)
"""Errors of the core whose messages are written for the user; any other is a defect and shows its
traceback."""


class Runner(QObject):
    """Iterate generators in a worker, one after the other.

    A new run stops the old one and begins when it has ended; of several waiting, only the last
    begins. Signals come from the newest run only.

    Attributes
    ----------
    stepped : Signal(object)
        What the generator yielded.
    returned : Signal(object)
        What the generator returned, if it ran to its end.
    failed : Signal(object)
        The error with which it ended, if it is one of `EXPECTED`.
    idle : Signal()
        Nothing runs any more and nothing waits.
    """

    stepped = Signal(object)
    returned = Signal(object)
    failed = Signal(object)
    idle = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: GeneratorWorker | None = None
        self._waiting: Steps | None = None
        self._wanted = False
        self._taken = Event()

    @property
    def is_running(self) -> bool:
        """Whether a run is wanted and not finished."""
        return self._wanted

    @property
    def is_busy(self) -> bool:
        """Whether a worker still runs, also one that is to stop."""
        return self._worker is not None

    def start(self, steps: Steps) -> None:
        """Run a generator; one that runs already is superseded."""
        self._wanted = True
        if self._worker is None:
            self._begin(steps)
        else:
            self._waiting = steps
            self._worker.quit()

    def cancel(self) -> None:
        """Stop the run at its next step."""
        self._wanted = False
        self._waiting = None
        if self._worker is not None:
            self._worker.quit()

    def close(self) -> None:
        """Stop for good: no signal comes after this. The worker ends at its next step."""
        self.cancel()
        worker = self._worker
        self._worker = None
        self._taken.set()
        if worker is not None:
            worker.yielded.disconnect(self._on_yielded)
            worker.returned.disconnect(self._on_returned)
            worker.finished.disconnect(self._on_finished)

    def _begin(self, steps: Steps) -> None:
        # an event of its own: the worker before may still wait for the old one
        self._taken = Event()
        # no bound method: the worker may outlive this object
        worker = GeneratorWorker(partial(_guarded, steps, self._taken))
        worker.yielded.connect(self._on_yielded)
        worker.returned.connect(self._on_returned)
        worker.finished.connect(self._on_finished)
        self._worker = worker
        worker.start()

    @property
    def _is_current(self) -> bool:
        return self._wanted and self._waiting is None

    @Slot(object)
    def _on_yielded(self, value: Any) -> None:
        try:
            if self._is_current:
                self.stepped.emit(value)
        finally:
            # not before the window has drawn
            QTimer.singleShot(0, self._taken.set)

    @Slot(object)
    def _on_returned(self, value: Any) -> None:
        if not self._is_current:
            return
        if isinstance(value, _Failure):
            self.failed.emit(value.error)
        else:
            self.returned.emit(value)

    @Slot()
    def _on_finished(self) -> None:
        self._worker = None
        steps = self._waiting
        if steps is not None:
            self._waiting = None
            self._begin(steps)
            return
        self._wanted = False
        self.idle.emit()


@dataclass(frozen=True, slots=True)
class _Failure:
    """An expected error as a value: a worker raises exceptions that it is given to return."""

    error: Exception


def _guarded(steps: Steps, taken: Event) -> Generator[Any, None, Any]:
    """Hand on what a generator yields and returns; turn expected errors into a returned value.

    While the main thread writes and draws a result, the worker rests: two threads of Python would
    hold each other up.
    """
    try:
        return (yield from _with_rests(steps(), taken))
    except EXPECTED as error:
        return _Failure(error)


def _with_rests(steps: Generator[Any, None, Any], taken: Event) -> Generator[Any, None, Any]:
    """Hand on what a generator yields, and wait each time until it was taken."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        taken.clear()
        yield step
        taken.wait(_PATIENCE)
