"""The buttons that act, the progress of a run, messages, and the line on what will run where."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QTimer, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_iclsam._qt.forms.elided_label import ElidedLabel
from napari_iclsam._qt.review.review_queue import ReviewItem
from napari_iclsam._qt.run.closing_words import in_time
from napari_iclsam._qt.run.message_area import MessageArea
from napari_iclsam._qt.run.run_step import RunStep

_DEVICES = {"cpu": "CPU", "cuda": "graphics card", "mps": "graphics card", "auto": ""}

_REPAINT = 250
"""Milliseconds between two repaints of a run's progress.

Where OpenGL is drawn by software, each repaint of the dock composes the whole window anew, and
takes processor time from the worker.
"""

_BAR_STEPS = 1000

_ONE = {"slice": "a slice", "image": "an image"}
"""What a run counts, in words."""

_DOUBTS = {
    "slice": (
        "its estimated overlap with what you would draw (Dice) is low, the slices beside it tell "
        "something else, or the object may be absent"
    ),
    "image": "its estimated overlap with what you would draw (Dice) is low",
}
"""Why a slice or an image is offered to be checked."""

_TOLD_LINES = 8
"""Lines of the room for progress and message: how a run ended, and a row of labels."""

_SEGMENT_STYLE = "QPushButton { font-weight: bold; padding: 6px; }"


class RunBar(QWidget):
    """Segment, Cancel, check, use corrections; progress; messages.

    Attributes
    ----------
    segment_requested, cancel_requested, check_requested, improve_requested : Signal()
    """

    segment_requested = Signal()
    cancel_requested = Signal()
    check_requested = Signal()
    improve_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pending: RunStep | None = None
        self._models = ""
        self._seconds: float | None = None
        self._unit = "slice"
        # the two lines of the button that leads to a slice: where it leads, and what is on screen
        self._check_next = ""
        self._check_shown = ""
        self._repaint = QTimer(self, singleShot=True, interval=_REPAINT)
        self._repaint.timeout.connect(self._on_repaint_due)
        self._make_controls()
        self._lay_out()
        self.show_idle("")

    def _make_controls(self) -> None:
        self.line = ElidedLabel(
            "Models, device, and how long a slice or image takes here. Change them under Models."
        )
        self.segment = QPushButton("Segment")
        self.segment.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.segment.setStyleSheet(_SEGMENT_STYLE)
        self.cancel = QPushButton("Cancel", toolTip="<p>Stop. What is done stays.</p>")
        self.check = QPushButton("Check slices")
        self.improve = QPushButton("Use corrected slices as examples")
        # a bar without a known end is animated: it would repaint all the time
        self.progress = QProgressBar(textVisible=True, maximum=_BAR_STEPS)
        self._area = MessageArea()
        self.message = self._area.label
        self.segment.clicked.connect(self.segment_requested)
        self.cancel.clicked.connect(self.cancel_requested)
        self.check.clicked.connect(self.check_requested)
        self.improve.clicked.connect(self.improve_requested)

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.segment, 1)
        buttons.addWidget(self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(3)
        layout.addWidget(self.line)
        layout.addLayout(buttons)
        for widget in (self.check, self.improve, self._told()):
            layout.addWidget(widget)
        self._keep_heights()

    def _told(self) -> QWidget:
        """Return progress and message in a room that keeps its height."""
        room = QWidget()
        layout = QVBoxLayout(room)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.progress)
        layout.addWidget(self._area)
        self._room = room
        return room

    def changeEvent(self, event: QEvent) -> None:
        """Follow the size of the font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._keep_heights()

    def _keep_heights(self) -> None:
        """Fix the heights of the buttons, which otherwise depend on whether they are enabled."""
        line = self.fontMetrics().height()
        for button in (self.segment, self.cancel):
            button.setFixedHeight(line + 14)
        self.check.setFixedHeight(2 * line + 10)
        self.improve.setFixedHeight(line + 10)
        self._room.setFixedHeight(_TOLD_LINES * self.fontMetrics().lineSpacing())

    def show_models(self, names: str, device: str, seconds: float | None) -> None:
        """Show what will run where, and how long a slice takes, if that is known."""
        self._models = f"{names}, {_DEVICES.get(device.split(':', maxsplit=1)[0], device)}"
        self._seconds = seconds
        self._show_line()

    def show_reason(self, reason: str, slices: int, unit: str = "slice") -> None:
        """Allow segmenting so many slices or images, unless there is a reason against it."""
        self._unit = unit
        self._show_line()
        self.segment.setEnabled(not reason)
        count = f"this {unit}" if slices == 1 else f"{slices} {unit}s"
        self.segment.setToolTip(f"<p>{reason or f'Segment {count}.'}</p>")

    def show_review(self, item: ReviewItem | None, unit: str = "slice") -> None:
        """Offer to go to the slice or image that is to be reviewed next, if there is one."""
        self.check.setEnabled(item is not None)
        if item is None:
            self._check_next = f"Check {unit}s"
            whole = "a stack has" if unit == "slice" else "several images have"
            tooltip = (
                f"When {whole} been segmented, {unit}s come up here once each, the most doubtful "
                "first."
            )
        else:
            self._check_next = f"Check {item.title}: {item.reason}"
            tooltip = (
                f"Go to the {unit} that most needs a look: {_DOUBTS[unit]}. Correct the {unit}, or "
                "press again for the next one."
            )
        self.check.setToolTip(f"<p>{tooltip}</p>")
        self._show_check()

    def show_on_screen(self, item: ReviewItem | None) -> None:
        """Name the segmented slice or image that is on screen, if there is one."""
        self._check_shown = "" if item is None else f"On screen: {item.summary}"
        self._show_check()

    def _show_check(self) -> None:
        self.check.setText("\n".join(filter(None, (self._check_next, self._check_shown))))

    def show_corrections(self, slices: int, unit: str = "slice") -> None:
        """Allow using corrections, if there are any."""
        self.improve.setEnabled(slices > 0)
        if slices == 0:
            self.improve.setText(f"Use corrected {unit}s as examples")
            part = "a slice of the result" if unit == "slice" else "the result of an image"
            tooltip = f"Correct {part} with the brush first."
        else:
            count = f"1 corrected {unit}" if slices == 1 else f"{slices} corrected {unit}s"
            self.improve.setText(f"Use {count} as examples")
            tooltip = (
                f"Add exactly the {unit}s that you changed by hand to the examples, and segment "
                "again."
            )
        self.improve.setToolTip(f"<p>{tooltip}</p>")

    def show_started(self, total: int) -> None:
        """Show that a run of so many slices begins."""
        self.cancel.setEnabled(True)
        self.segment.setText("Segment again")
        self.progress.setVisible(True)
        self._draw(RunStep("Starting", 0, total))

    def show_step(self, step: RunStep) -> None:
        """Show a step of a run, soon: of several in a short time, the last."""
        self._pending = step
        if not self._repaint.isActive():
            self._on_repaint_due()

    def show_idle(self, message: str) -> None:
        """Show that nothing runs, and how the last run ended."""
        self._pending = None
        self._repaint.stop()
        self.cancel.setEnabled(False)
        self.segment.setText("Segment")
        self.progress.setValue(0)
        self.progress.setVisible(False)
        self.message.setText(message)

    def _show_line(self) -> None:
        text = self._models.removesuffix(", ")
        if self._seconds is not None:
            text += f", about {in_time(self._seconds)} {_ONE[self._unit]}"
        self.line.show_text(text)

    def _draw(self, step: RunStep) -> None:
        self._pending = None
        # steps that come in the meantime are drawn as one
        self._repaint.start()
        self.progress.setValue(round(_BAR_STEPS * step.fraction))
        self.progress.setFormat(f"{step.done} of {step.total}")
        left = step.seconds_left
        time_left = "" if left is None else f" · {in_time(left)} left"
        self.message.setText(step.message + time_left)

    def _on_repaint_due(self) -> None:
        if self._pending is not None:
            self._draw(self._pending)
