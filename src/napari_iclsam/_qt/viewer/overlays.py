"""What the tools of a layer draw over it, added piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from napari.layers import Layer
from qtpy.QtCore import QTimer

_PAUSE = 20
"""Milliseconds between two overlays: the window answers in between."""


@contextmanager
def overlays_added_later(layer: Layer) -> Iterator[None]:
    """Add a layer to a viewer without the lines of its polygon and brush tools; these follow.

    Making everything in one go stops the window for more than a tenth of a second.
    """
    # private in napari: without it, all is added in one go
    overlays = getattr(layer, "_overlays", {})
    visible = [overlay for overlay in overlays.values() if overlay.visible]
    for overlay in visible:
        overlay.visible = False
    try:
        yield
    finally:
        for turn, overlay in enumerate(visible, start=1):
            QTimer.singleShot(_PAUSE * turn, partial(setattr, overlay, "visible", True))
