"""When the dock appears and when it goes, alone or with its window."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QWidget


class DockWatch(QObject):
    """Listen to a docked widget and its window.

    Parameters
    ----------
    widget : QWidget

    Attributes
    ----------
    opened, closed : Signal()
        napari put the widget into a dock, or took it out; its window was shown, or closed.
    """

    opened = Signal()
    closed = Signal()

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        # weak: napari's window would outlive its close
        self._window: Callable[[], QWidget | None] = _no_window
        widget.installEventFilter(self)

    def follow_window(self) -> None:
        """Listen to the window, too. A dock gets its window only after the widget got its dock."""
        window = self._widget.window()
        if window is not self._widget:
            window.installEventFilter(self)
            self._window = weakref.ref(window)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Turn events into signals; keep none of them."""
        kind = event.type()
        if not hasattr(self, "_widget"):
            # PySide still calls when Python ends and has dropped the attributes
            return False
        if watched is self._widget:
            if kind == QEvent.Type.ParentChange:
                self._tell(is_open=self._widget.parent() is not None)
            elif kind == QEvent.Type.Show:
                self.follow_window()
        # a spontaneous event is the window system's: the window is only minimized, or restored
        elif watched is self._window() and not event.spontaneous():
            if kind in (QEvent.Type.Close, QEvent.Type.Hide):
                self._tell(is_open=False)
            elif kind == QEvent.Type.Show:
                self._tell(is_open=True)
        return False

    def _tell(self, *, is_open: bool) -> None:
        if is_open:
            self.opened.emit()
        else:
            self.closed.emit()


def _no_window() -> None:
    """Stand in for a window that is not known yet."""
