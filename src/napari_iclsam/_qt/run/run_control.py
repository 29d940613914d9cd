"""Starts a run, writes what it finds, and ends it: by itself, by the user, or by an error."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.run.closing_words import closing_words
from napari_iclsam._qt.run.live_run import LiveRun
from napari_iclsam._qt.run.plan import Plan
from napari_iclsam._qt.run.run_bar import RunBar
from napari_iclsam._qt.run.run_step import RunStep, RunSummary
from napari_iclsam._qt.run.session import Session
from napari_iclsam._qt.viewer.earlier_result import Change, EarlierResult
from napari_iclsam._qt.viewer.results import Results

_REDRAW = 250
"""Milliseconds between two times that results are drawn, at least."""

_REDRAW_SHARE = 0.1
"""Drawing takes at most this part of the time: a large volume in 3D takes long to draw."""


class RunControl(QObject):
    """The state of the run: none, or one that is on.

    Parameters
    ----------
    cache_bytes : int, optional
        How much the cache of embeddings may hold on disk.
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
    replaced : list of EarlierResult
        What the last run has replaced.
    shows_earlier : bool
        Whether that was brought back.
    """

    finished = Signal(object, object)
    failed = Signal(object)
    ended = Signal()

    def __init__(
        self, cache_bytes: int | None, results: Results, bar: RunBar, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.session = Session.with_cache(cache_bytes)
        self.runner = Runner(self)
        self._results = results
        self._bar = bar
        self._live: LiveRun | None = None
        self.replaced: list[EarlierResult] = []
        self.shows_earlier = False
        # the layers that the message on the last run is about
        self._told_of: list[Labels] = []
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
        self._told_of.clear()
        self._live = LiveRun(plan.request, plan.images, plan.style, self._results)
        self._bar.show_started(plan.request.total)
        self.runner.start(partial(self.session.steps, plan.request))

    def cancel(self) -> None:
        """Stop the run; what is done stays."""
        self.redraw()
        places = () if self._live is None else self._live.places
        self._stop(" ".join(["Cancelled. What was done is kept.", *places]))

    def note_removed(self, layer: Layer) -> None:
        """Stop the run if it writes into a layer that was deleted; a finished one is not told."""
        if self._live is not None and self._live.is_orphaned:
            self._stop("Stopped: the result layer was deleted.")
        self.replaced = [each for each in self.replaced if each.labels is not layer]
        if layer in self._told_of:
            self._told_of.remove(layer)
            if not self._told_of and self._live is None:
                self._bar.show_idle("")

    def _change(self) -> Change | None:
        """Return what the last run has changed in earlier results, if there were any."""
        changes: list[Change] = []
        for each in self.replaced:
            changes += each.changes
        return Change.sum(changes)

    def swap_earlier(self) -> None:
        """Bring back what the last run has replaced, and keep what it has written instead."""
        for each in self.replaced:
            each.swap()
        self.shows_earlier = not self.shows_earlier
        which = "earlier" if self.shows_earlier else "newer"
        self._bar.show_idle(f"The {which} result is back; corrections made since stay.")

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
            self.replaced = live.replaced
            self.shows_earlier = False

    def _on_stepped(self, step: RunStep) -> None:
        if self._live is None:
            return
        self._live.write(step)
        self._bar.show_step(step)
        is_shown = step.prediction is not None or bool(step.bands)
        if is_shown and not self._redraw.isActive():
            self._redraw.start()

    def _on_returned(self, summary: RunSummary) -> None:
        self.redraw()
        live = self._live
        # it was cancelled after its last step
        if live is None:
            return
        self._end()
        self._told_of = list(live.layers)
        told = replace(summary, sentences=(*summary.sentences, *live.places))
        self._bar.show_idle(closing_words(told, live.kept, self._change()))
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
