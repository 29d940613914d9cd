"""A run of the dock that a program has started, such as a notebook: wait for it, get its result."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels, Layer
from qtpy.QtCore import QEventLoop, QObject, QTimer, Signal

from napari_iclsam._qt.run.run_control import RunControl
from napari_iclsam._qt.run.run_step import RunSummary
from napari_iclsam._qt.viewer.large_results import newest_large_result
from napari_iclsam._qt.viewer.results import Results


class DockRun(QObject):
    """A run that was just started.

    Parameters
    ----------
    run : RunControl
    results : Results
    image : Layer
        What is segmented.

    Attributes
    ----------
    ended : Signal()
        It is done, was stopped, or failed.
    summary : RunSummary, optional
        How it went, if it came to its end.
    error : Exception, optional
        Why it failed.
    is_done : bool
        Whether it runs no more.
    """

    ended = Signal()

    def __init__(self, run: RunControl, results: Results, image: Layer) -> None:
        super().__init__(run)
        self._results = results
        self._image = image
        self.summary: RunSummary | None = None
        self.error: Exception | None = None
        self.is_done = False
        run.finished.connect(self._on_finished)
        run.failed.connect(self._on_failed)
        run.ended.connect(self._on_ended)

    @property
    def result(self) -> Labels | None:
        """The newest result layer of the image, which grows while the run is on."""
        found = self._results.of_image(self._image)
        return found[-1] if found else newest_large_result(self._results.viewer, self._image)

    def wait(self, seconds: float | None = None) -> Labels:
        """Wait for the end; the window stays alive.

        Parameters
        ----------
        seconds : float, optional
            At most so long.

        Returns
        -------
        Labels
            The result layer.

        Raises
        ------
        TimeoutError
            It still runs.
        RuntimeError
            It was stopped before its end; what was done is in `result`.
        ValueError, TypeError, OSError, MemoryError
            It failed; the message says why.
        """
        if not self.is_done:
            wait_for(self.ended, seconds)
        if not self.is_done:
            raise TimeoutError(f"The run has not ended within {seconds} seconds; it goes on.")
        if self.error is not None:
            raise self.error
        result = self.result
        if self.summary is None or result is None:
            raise RuntimeError("The run was stopped before its end: what was done is in `result`.")
        return result

    def _on_finished(self, summary: RunSummary, request: Any) -> None:
        if not self.is_done:
            self.summary = summary

    def _on_failed(self, error: Exception) -> None:
        if not self.is_done:
            self.error = error

    def _on_ended(self) -> None:
        self.is_done = True
        self.ended.emit()


def wait_for(signal: Any, seconds: float | None = None) -> None:
    """Run an event loop until a signal comes, or for so long."""
    loop = QEventLoop()
    signal.connect(loop.quit)
    limit = QTimer(singleShot=True)
    limit.timeout.connect(loop.quit)
    if seconds is not None:
        limit.start(round(1000 * seconds))
    loop.exec()
    signal.disconnect(loop.quit)
