"""The dialog before a download of weights: license, size, progress, cancel, or a manual install."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_iclsam.weights import download, folders
from napari_iclsam.weights.entry import Weights
from napari_iclsam.weights.transfer import Cancelled, OnProgress, Transfer

Work = Callable[[OnProgress, Cancelled], Path]

_POLL = 250
"""Milliseconds between two times that the progress is read and shown."""

_STEPS = 1000
"""Of the progress bar."""

_WIDTH = 460
"""Width of texts, at which they wrap."""

_MESSAGE_WIDTH = 560

_WARM_UP = 2
"""Seconds after which the speed of a download is known well enough to be shown."""

_LINK = "#3b8fd9"
"""A blue that is read on light and on dark windows."""


def obtain(wanted: Iterable[Weights], parent: QWidget | None = None) -> bool:
    """Offer those weights that are not on this computer, one dialog each.

    Returns
    -------
    bool
        Whether all are there now.
    """
    # the first refusal ends it: a run needs all of them
    return all(WeightsDialog(weights, parent).exec() for weights in download.missing(*wanted))


def readable(count: float) -> str:
    """Return a number of bytes as people write it."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            # three digits of 1234 would be written with an exponent
            digits = ".3g" if count < 1000 * size else ".0f"
            return f"{count / size:{digits}} {unit}"
    return f"{count / 1e3:.0f} kB"


class _Transport:
    """A download or an installation in a thread of its own.

    The dialog reads its attributes. No signal leads to the dialog, which the thread may outlive.
    """

    def __init__(self, work: Work) -> None:
        self.progress: Transfer | None = None
        self.path: Path | None = None
        self.error: str | None = None
        self.stopped = threading.Event()
        # a connection that hangs must not keep the process alive
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def _run(self, work: Work) -> None:
        try:
            self.path = work(self._on_progress, self.stopped.is_set)
        except download.DownloadCancelled:
            self.error = "Stopped. What has arrived is kept; the download goes on from there."
        except (OSError, ValueError) as error:
            self.error = str(error)

    def _on_progress(self, progress: Transfer) -> None:
        self.progress = progress


class WeightsDialog(QDialog):
    """Shows what some weights are, and fetches them.

    ``exec()`` is true once the weights are on this computer; ``path`` is then their file.

    Parameters
    ----------
    weights : Weights
    parent : QWidget, optional
    fetch : callable
        `download.fetch`.
    """

    def __init__(
        self,
        weights: Weights,
        parent: QWidget | None = None,
        fetch: Callable[..., Path] = download.fetch,
    ) -> None:
        super().__init__(parent)
        self.weights = weights
        self.path: Path | None = None
        self._fetch = fetch
        self._transport: _Transport | None = None
        # when the transfer began, and with how many bytes
        self._began = 0.0
        self._bytes_before = 0
        self.setWindowTitle(f"Download {weights.title}?")
        self._make_controls()
        self._lay_out()
        self._timer = QTimer(self, interval=_POLL)
        self._timer.timeout.connect(self._on_poll)
        self._refresh()

    def _make_controls(self) -> None:
        self.accepted_license = QCheckBox("I use these weights for research only")
        self.accepted_license.setVisible(self.weights.research_only)
        self.accepted_license.toggled.connect(self._refresh)
        self.bar = QProgressBar(maximum=_STEPS, textVisible=True)
        self.message = _text("", _MESSAGE_WIDTH)
        self.message.hide()
        self.download_button = QPushButton("Download")
        self.file_button = QPushButton("Use a file…")
        self.file_button.setToolTip(
            "Manual install: a file from another computer, which is checked and copied"
        )
        self.cancel_button = QPushButton("Cancel")
        self.download_button.clicked.connect(self._on_download_clicked)
        self.file_button.clicked.connect(self._on_file_clicked)
        self.cancel_button.clicked.connect(self._on_cancel_clicked)

    def _lay_out(self) -> None:
        form = QFormLayout()
        for name, text in self._facts():
            form.addRow(f"{name}:", _text(text))
        buttons = QDialogButtonBox()
        buttons.addButton(self.download_button, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.addButton(self.file_button, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.addButton(self.cancel_button, QDialogButtonBox.ButtonRole.RejectRole)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        for widget in (self.accepted_license, self.bar, self.message, buttons):
            layout.addWidget(widget)
        # the window takes the height of its texts
        layout.setSizeConstraint(QVBoxLayout.SizeConstraint.SetFixedSize)

    def _facts(self) -> list[tuple[str, str]]:
        weights = self.weights
        host = urlsplit(weights.urls[0]).netloc if weights.urls else "comes with the package"
        about = "" if weights.size is not None else "about "
        link = f'<a style="color: {_LINK}" href="{weights.license_url}">{weights.license}</a>'
        return [
            ("Model", f"<b>{weights.title}</b> ({weights.name})"),
            ("Good for", weights.good_for),
            ("License", f"<b>{link}</b>" if weights.research_only else link),
            ("Download", f"{about}{readable(weights.about_size)} from {host}"),
            ("Memory", f"about {readable(weights.memory)} while it runs"),
            ("Speed", weights.cost),
            ("Kept in", str(folders.weights_folder() or folders.NO_HOME)),
            ("Please cite", weights.citation),
        ]

    def _refresh(self) -> None:
        """Show what can be done now."""
        is_running = self._transport is not None
        is_refused = self.weights.research_only and not self.accepted_license.isChecked()
        reason = self._reason_against_download(is_running=is_running, is_refused=is_refused)
        self.accepted_license.setEnabled(not is_running)
        self.download_button.setEnabled(not reason)
        self.download_button.setToolTip(reason or "Fetch the file")
        self.file_button.setEnabled(not (is_running or is_refused))
        self.bar.setVisible(is_running)
        if not is_running:
            is_begun = download.status(self.weights).partial > 0
            self.download_button.setText("Go on downloading" if is_begun else "Download")
            self.cancel_button.setText("Cancel")

    def _reason_against_download(self, *, is_running: bool, is_refused: bool) -> str:
        if is_running:
            return "A download is running"
        if download.offline():
            return f"Downloads are switched off ({download.OFFLINE}); use a file"
        if is_refused:
            return "Confirm first that you use these weights for research only"
        return ""

    def _on_download_clicked(self) -> None:
        self._begin(partial(_fetched, self._fetch, self.weights))

    def _on_file_clicked(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, f"The file {self.weights.filename}")
        if name:
            self.install_from(Path(name))

    def install_from(self, file: Path) -> None:
        """Check and copy a file, as a manual install."""
        self._begin(partial(_installed, self.weights, file))

    def _begin(self, work: Work) -> None:
        self._began = time.monotonic()
        self._bytes_before = download.status(self.weights).partial
        self._show_message("Connecting…")
        self.bar.setValue(0)
        self._transport = _Transport(work)
        self.cancel_button.setText("Stop")
        self._timer.start()
        self._refresh()

    def _on_cancel_clicked(self) -> None:
        if self._transport is None:
            self.reject()
            return
        self._transport.stopped.set()
        self.cancel_button.setEnabled(False)
        self._show_message("Stopping…")

    def _on_poll(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if not transport.is_running:
            self._end(transport)
        elif transport.progress is not None and not transport.stopped.is_set():
            self._show(transport.progress)

    def _end(self, transport: _Transport) -> None:
        """Close with the file, or stay open with the reason why there is none."""
        self._timer.stop()
        self._transport = None
        self.path = transport.path
        self.cancel_button.setEnabled(True)
        if transport.path is not None:
            self.accept()
            return
        self._show_message(
            transport.error or "The download ended unexpectedly; see the terminal for the reason."
        )
        self._refresh()

    def _show(self, progress: Transfer) -> None:
        total = progress.total or self.weights.about_size
        # the size in the catalogue may be an estimate
        self.bar.setValue(min(_STEPS, progress.done * _STEPS // total))
        if progress.stage == "waiting":
            self._show_message("Another window fetches the same file; waiting for it…")
        elif progress.stage == "checking":
            self._show_message("Checking…")
        else:
            count = f"{readable(progress.done)} of {readable(total)}"
            self._show_message(count + self._pace(progress.done, total))

    def _pace(self, done: int, total: int) -> str:
        """Return speed and time left, once they are known well enough."""
        seconds = time.monotonic() - self._began
        if seconds < _WARM_UP or done <= self._bytes_before:
            return ""
        speed = (done - self._bytes_before) / seconds
        # the mean speed since the beginning: the present one jumps
        left = (total - done) / speed
        time_left = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
        return f", {readable(speed)}/s, about {time_left} left"

    def _show_message(self, text: str) -> None:
        """Show a message, whole: the window grows with it."""
        self.message.setText(text)
        self.message.setVisible(bool(text))
        _fit_height(self.message)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Give wrapped texts their height, now that the theme's font is known."""
        super().showEvent(event)
        for label in self.findChildren(QLabel):
            if label.wordWrap():
                _fit_height(label)

    def done(self, result: int) -> None:
        """Close; a running download stops, and what has arrived is kept."""
        self._timer.stop()
        if self._transport is not None:
            self._transport.stopped.set()
            self._transport = None
        super().done(result)


def _fetched(
    fetch: Callable[..., Path], weights: Weights, on_progress: OnProgress, cancelled: Cancelled
) -> Path:
    return fetch(weights, on_progress=on_progress, cancelled=cancelled)


def _installed(weights: Weights, file: Path, on_progress: OnProgress, cancelled: Cancelled) -> Path:
    return download.install_from(weights, file, on_progress=on_progress, cancelled=cancelled)


def _fit_height(label: QLabel) -> None:
    label.setFixedHeight(max(label.heightForWidth(label.width()), 0))


def _text(text: str, width: int = _WIDTH) -> QLabel:
    """Return a label whose text wraps, can be copied, and whose links open."""
    label = QLabel(text, wordWrap=True, openExternalLinks=True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    label.setFixedWidth(width)
    return label
