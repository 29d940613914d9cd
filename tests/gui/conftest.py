"""The dock in a viewer with a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from napari_iclsam._qt.run.session import Session
from napari_iclsam._qt.widget import ICLSAMWidget
from tests._qt.conftest import Dock, gate, networks, own_home, small

__all__ = ["gate", "networks", "own_home", "small"]


def docked(viewer: Any, qtbot: Any) -> Dock:
    """Open the dock as the menu does."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-iclsam")
    assert isinstance(widget, ICLSAMWidget)
    return Dock(viewer, widget, qtbot)


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any]) -> Any:
    return make_napari_viewer_proxy()


@pytest.fixture
def dock(viewer: Any, qtbot: Any, small: Callable[[], Session]) -> Iterator[Dock]:
    dock = docked(viewer, qtbot)
    dock.widget.run.session = small()
    yield dock
    dock.close()
