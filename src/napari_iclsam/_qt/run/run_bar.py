"""The button, the progress, and what will run where."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_iclsam._qt.review.review_queue import Doubt
from napari_iclsam._qt.run.request import Step

_TAKES = {"cpu": "CPU", "cuda": "graphics card", "mps": "graphics card", "auto": ""}


class RunBar(QWidget):
    """Segment, Cancel, check, use corrections; progress; messages.

    Attributes
    ----------
    segment_wanted, cancel_wanted, check_wanted, improve_wanted : Signal()
    """

    segment_wanted = Signal()
    cancel_wanted = Signal()
    check_wanted = Signal()
    improve_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = QLabel(wordWrap=True)
        self.line.setToolTip(
            "<p>Models, device, and how long a slice takes here. Change them under Models.</p>"
        )
        self.segment = QPushButton("Segment")
        self.segment.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.segment.setStyleSheet("QPushButton { font-weight: bold; padding: 6px; }")
        self.cancel = QPushButton("Cancel", toolTip="<p>Stop. What is done stays.</p>")
        self.check = QPushButton("Check slices")
        self.improve = QPushButton("Use corrected slices as examples")
        self.progress = QProgressBar(textVisible=True)
        self.message = QLabel(wordWrap=True)
        buttons = QHBoxLayout()
        buttons.addWidget(self.segment, 1)
        buttons.addWidget(self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(3)
        layout.addWidget(self.line)
        layout.addLayout(buttons)
        layout.addWidget(self.check)
        layout.addWidget(self.improve)
        layout.addWidget(self.progress)
        layout.addWidget(self.message)
        self.segment.clicked.connect(self.segment_wanted)
        self.cancel.clicked.connect(self.cancel_wanted)
        self.check.clicked.connect(self.check_wanted)
        self.improve.clicked.connect(self.improve_wanted)
        self.show_idle("")

    def show_models(self, model: str, device: str, seconds: float | None) -> None:
        """Say what will run where."""
        where = _TAKES.get(device.split(":", maxsplit=1)[0], device)
        time = "" if seconds is None else f"about {in_time(seconds)} a slice"
        self.line.setText(", ".join(part for part in (model, where, time) if part))

    def show_reason(self, reason: str, planes: int) -> None:
        """Allow to segment, unless there is a reason against it."""
        self.segment.setEnabled(not reason)
        count = "this slice" if planes == 1 else f"{planes} slices"
        self.segment.setToolTip(f"<p>{reason or f'Segment {count}.'}</p>")

    def show_check(self, doubt: Doubt | None) -> None:
        """Offer to go to the slice that is to be checked next, if there is one."""
        self.check.setEnabled(doubt is not None)
        text = "" if doubt is None else f" {doubt.title}: Dice about {doubt.estimate:.2f}"
        self.check.setText(f"Check{text}" if text else "Check slices")
        does = (
            "Go to the slice that most needs a look, by how sure the in-context model is and how well the examples "
            "segmented each other. Correct it, or press again for the next one."
        )
        why = "When a stack has been segmented, its slices come up here once each, the most doubtful first."
        self.check.setToolTip(f"<p>{does if text else why}</p>")

    def show_corrections(self, planes: int) -> None:
        """Allow to use corrections, if there are any."""
        self.improve.setEnabled(planes > 0)
        what = "1 corrected slice" if planes == 1 else f"{planes} corrected slices"
        self.improve.setText(
            f"Use {what} as examples" if planes else "Use corrected slices as examples"
        )
        why = "Correct a slice of the result with the brush first."
        does = "Add exactly the slices of the result that you changed by hand to the examples, and segment again."
        self.improve.setToolTip(f"<p>{does if planes else why}</p>")

    def show_step(self, step: Step) -> None:
        """Show a step of a run."""
        self.cancel.setEnabled(True)
        self.segment.setText("Segment again")
        self.progress.setVisible(True)
        self.progress.setRange(0, step.total if step.done or step.seconds else 0)
        self.progress.setValue(step.done)
        self.progress.setFormat(f"{step.done} of {step.total}")
        left = (
            ""
            if step.seconds is None
            else f" · {in_time(step.seconds * (step.total - step.done))} left"
        )
        self.message.setText(step.message + left)

    def show_idle(self, message: str) -> None:
        """Show that nothing runs, and how the last run ended."""
        self.cancel.setEnabled(False)
        self.segment.setText("Segment")
        self.progress.setRange(0, 1)
        self.progress.setValue(0)
        self.progress.setVisible(False)
        self.message.setText(message)


def in_time(seconds: float) -> str:
    """Return a time as a user reads it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
