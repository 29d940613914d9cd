"""Starts a run, writes what it finds, and ends it: by itself, by the user, or by an error."""

from __future__ import annotations

import time
from functools import partial

from qtpy.QtCore import QObject, QTimer, Signal

from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.run.live_run import LiveRun
from napari_iclsam._qt.run.plan import Plan
from napari_iclsam._qt.run.run_bar import RunBar, in_time
from napari_iclsam._qt.run.run_step import RunStep, RunSummary
from napari_iclsam._qt.run.session import Session
from napari_iclsam._qt.viewer.results import Results

_REDRAW = 250
"""Milliseconds between two times that results are drawn, at least."""

_REDRAW_SHARE = 0.1
"""Drawing takes at most this part of the time: a large volume in 3D takes long to draw."""


class RunControl(QObject):
    """The state of the run: none, or one that is on.

    Parameters
    ----------
    session : Session
    results : Results
    bar : RunBar
        Shows the progress and the end.

    Attributes
    ----------
    finished : Signal(object, object)
        A run came to its end: its `RunSummary` and its `Request`.
    failed : Signal(object)
        A run ended by an error that is meant for the user.
    ended : Signal()
        Nothing runs any more.
    session : Session
    runner : Runner
    """

    finished = Signal(object, object)
    failed = Signal(object)
    ended = Signal()

    def __init__(
        self, session: Session, results: Results, bar: RunBar, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.session = session
        self.runner = Runner(self)
        self._results = results
        self._bar = bar
        self._live: LiveRun | None = None
        self._redraw = QTimer(self, singleShot=True, interval=_REDRAW)
        self._redraw.timeout.connect(self.redraw)
        self.runner.stepped.connect(self._on_stepped)
        self.runner.returned.connect(self._on_returned)
        self.runner.failed.connect(self._on_failed)
        self.runner.idle.connect(self._on_idle)

    @property
    def live(self) -> LiveRun | None:
        """The run that is on."""
        return self._live

    def start(self, plan: Plan) -> None:
        """Start a run; one that is on is superseded."""
        self._end()
        self._live = LiveRun(plan.request, plan.images, plan.style, self._results)
        self._bar.show_started(plan.request.total)
        self.runner.start(partial(self.session.steps, plan.request))

    def cancel(self) -> None:
        """Stop the run; what is done stays."""
        self.redraw()
        self._stop("Cancelled. What was done is kept.")

    def stop_if_orphaned(self) -> None:
        """Stop the run if the layer that it writes into was deleted."""
        if self._live is not None and self._live.is_orphaned:
            self._stop("Stopped: the result layer was deleted.")

    def close(self) -> None:
        """Stop for good."""
        self.runner.close()
        self._redraw.stop()
        self._end()
        self._bar.show_idle("")

    def redraw(self) -> None:
        """Show what was written."""
        if self._live is None:
            return
        began = time.perf_counter()
        self._live.refresh()
        milliseconds = 1000 * (time.perf_counter() - began)
        self._redraw.setInterval(max(_REDRAW, round(milliseconds / _REDRAW_SHARE)))

    def _stop(self, message: str) -> None:
        # what the worker still hands over belongs to no run
        self._end()
        self.runner.cancel()
        self._bar.show_idle(message)

    def _end(self) -> None:
        """Let the run go, if there is one; what it has written stays."""
        live = self._live
        self._live = None
        if live is not None:
            live.finish()

    def _on_stepped(self, step: RunStep) -> None:
        if self._live is None:
            return
        self._live.write(step)
        self._bar.show_step(step)
        if step.prediction is not None and not self._redraw.isActive():
            self._redraw.start()

    def _on_returned(self, summary: RunSummary) -> None:
        self.redraw()
        live = self._live
        # it was cancelled after its last step
        if live is None:
            return
        self._end()
        self._bar.show_idle(_in_words(summary, live.kept))
        self.finished.emit(summary, live.request)

    def _on_failed(self, error: Exception) -> None:
        self._end()
        self._bar.show_idle(f"Stopped: {error}")
        self.failed.emit(error)

    def _on_idle(self) -> None:
        # a defect ended the run; napari shows its traceback
        if self._live is not None:
            self._end()
            self._bar.show_idle("Stopped by an error; see the notification.")
        self.ended.emit()


def _in_words(summary: RunSummary, kept: int) -> str:
    """Return how a run went, as a user reads it."""
    plural = "" if summary.slices == 1 else "s"
    done = f"Done: {summary.slices} {summary.unit}{plural}"
    if summary.seconds is not None:
        done += f", {in_time(summary.seconds)} each"
    sentences = [f"{done}.", *summary.sentences]
    if kept:
        sentences.append(f"Kept as you corrected them: {kept}.")
    return " ".join(sentences)
