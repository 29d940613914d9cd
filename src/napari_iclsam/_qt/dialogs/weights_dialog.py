"""The dialog that asks before weights are fetched: license, size, progress, cancel, or a file brought by hand."""

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
from napari_iclsam.weights.catalogue import Weights
from napari_iclsam.weights.transfer import Cancelled, OnProgress, Transfer

Work = Callable[[OnProgress, Cancelled], Path]

_POLL = 100
"""Milliseconds between two looks at the working thread."""
_STEPS = 1000
_WIDTH = 460
"""Width of texts, at which they wrap."""
_MESSAGE_WIDTH = 560
_LINK = "#3b8fd9"
"""A blue that is read on light and on dark windows."""


def obtain(wanted: Iterable[Weights], parent: QWidget | None = None) -> bool:
    """Ask for those weights that are not on this computer, one dialog each; return whether all are there now."""
    return all(WeightsDialog(weights, parent).exec() for weights in download.missing(*wanted))


def readable(count: float) -> str:
    """Return a number of bytes as people write it."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return (
                f"{count / size:.3g} {unit}"
                if count < 1000 * size
                else f"{count / size:.0f} {unit}"
            )
    return f"{count / 1e3:.0f} kB"


class _Job:
    """One piece of work in a thread of its own. It is looked at, and tells nobody: it may outlive the dialog."""

    def __init__(self, work: Work) -> None:
        self.progress: Transfer | None = None
        self.path: Path | None = None
        self.error: str | None = None
        self.stopped = threading.Event()
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
        self._job: _Job | None = None
        self._began = (0.0, 0)
        self.setWindowTitle(f"Download {weights.title}?")
        self._build()
        self._timer = QTimer(self, interval=_POLL)
        self._timer.timeout.connect(self._on_poll)
        self._refresh()

    def _build(self) -> None:
        """Lay out the form, the progress and the buttons."""
        layout, form = QVBoxLayout(self), QFormLayout()
        for name, text in self._facts():
            form.addRow(f"{name}:", _text(text))
        layout.addLayout(form)
        self.accepted_license = QCheckBox("I use these weights for research only")
        self.accepted_license.setVisible(self.weights.research_only)
        self.accepted_license.toggled.connect(self._refresh)
        self.bar = QProgressBar(maximum=_STEPS, textVisible=True)
        self.message = _text("", _MESSAGE_WIDTH)
        self.message.hide()
        buttons = QDialogButtonBox()
        self.download_button = QPushButton("Download")
        self.file_button = QPushButton("Use a file…")
        self.file_button.setToolTip(
            "A file that you have brought from another computer; it is checked and copied"
        )
        self.cancel_button = QPushButton("Cancel")
        for button, role in (
            (self.download_button, QDialogButtonBox.ButtonRole.AcceptRole),
            (self.file_button, QDialogButtonBox.ButtonRole.ActionRole),
            (self.cancel_button, QDialogButtonBox.ButtonRole.RejectRole),
        ):
            buttons.addButton(button, role)
        for widget in (self.accepted_license, self.bar, self.message, buttons):
            layout.addWidget(widget)
        layout.setSizeConstraint(QVBoxLayout.SizeConstraint.SetFixedSize)
        self.download_button.clicked.connect(self._on_download_clicked)
        self.file_button.clicked.connect(self._on_file_clicked)
        self.cancel_button.clicked.connect(self._on_cancel_clicked)

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
            ("Kept in", str(folders.weights_folder())),
            ("Please cite", weights.citation),
        ]

    def _refresh(self) -> None:
        """Show what can be done now."""
        running, offline = self._job is not None, download.offline()
        refused = self.weights.research_only and not self.accepted_license.isChecked()
        self.accepted_license.setEnabled(not running)
        self.download_button.setEnabled(not (running or refused or offline))
        self.file_button.setEnabled(not (running or refused))
        self.bar.setVisible(running)
        reasons = [
            (running, "A download is running"),
            (offline, f"Downloads are switched off ({download.OFFLINE}); use a file"),
            (refused, "Confirm first that you use these weights for research only"),
        ]
        self.download_button.setToolTip(
            next((reason for applies, reason in reasons if applies), "Fetch the file")
        )
        if not running:
            partial_bytes = download.status(self.weights).partial
            self.download_button.setText("Go on downloading" if partial_bytes else "Download")
            self.cancel_button.setText("Cancel")

    def _on_download_clicked(self) -> None:
        self._begin(partial(_fetched, self._fetch, self.weights))

    def _on_file_clicked(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, f"The file {self.weights.filename}")
        if name:
            self.install_from(Path(name))

    def install_from(self, file: Path) -> None:
        """Check and copy a file that the user has brought."""
        self._begin(partial(_installed, self.weights, file))

    def _begin(self, work: Work) -> None:
        self._began = (time.monotonic(), download.status(self.weights).partial)
        self._say("Connecting…")
        self.bar.setRange(0, 0)
        self._job = _Job(work)
        self.cancel_button.setText("Stop")
        self._timer.start()
        self._refresh()

    def _on_cancel_clicked(self) -> None:
        if self._job is None:
            self.reject()
            return
        self._job.stopped.set()
        self.cancel_button.setEnabled(False)
        self._say("Stopping…")

    def _on_poll(self) -> None:
        job = self._job
        if job is None:
            return
        if job.is_running:
            if job.progress is not None and not job.stopped.is_set():
                self._show(job.progress)
            return
        self._timer.stop()
        self._job, self.path = None, job.path
        self.cancel_button.setEnabled(True)
        if job.path is not None:
            self.accept()
            return
        self._say(job.error or "The download ended unexpectedly; see the terminal for the reason.")
        self._refresh()

    def _show(self, progress: Transfer) -> None:
        total = progress.total or self.weights.about_size
        self.bar.setRange(0, _STEPS)
        self.bar.setValue(min(_STEPS, progress.done * _STEPS // total))
        if progress.stage == "waiting":
            self._say("Another window fetches the same file; waiting for it…")
        elif progress.stage == "checking":
            self._say("Checking…")
        else:
            self._say(
                f"{readable(progress.done)} of {readable(total)}{self._pace(progress.done, total)}"
            )

    def _pace(self, done: int, total: int) -> str:
        """Return speed and time left, once they are known well enough."""
        since, before = self._began
        seconds = time.monotonic() - since
        if seconds < 2 or done <= before:
            return ""
        speed = (done - before) / seconds
        left = (total - done) / speed
        time_left = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
        return f", {readable(speed)}/s, about {time_left} left"

    def _say(self, text: str) -> None:
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
        if self._job is not None:
            self._job.stopped.set()
            self._job = None
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
