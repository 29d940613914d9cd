"""Segment images and stacks from a few labelled examples: napari, Python and command line.

The names below are resolved at first use: importing the package imports neither torch nor Qt nor
napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_iclsam.version import version

if TYPE_CHECKING:
    from napari_iclsam.core.images.support import SupportSet
    from napari_iclsam.core.loading import load_task
    from napari_iclsam.core.metrics import dice
    from napari_iclsam.core.prediction import Prediction, Progress
    from napari_iclsam.core.segmenter import ICLSAM
    from napari_iclsam.core.settings import Settings
    from napari_iclsam.core.stack_task import StackTask
    from napari_iclsam.core.task import Task

__all__ = [
    "ICLSAM",
    "Prediction",
    "Progress",
    "Settings",
    "StackTask",
    "SupportSet",
    "Task",
    "__version__",
    "dice",
    "load_task",
]

_HOMES = {
    "ICLSAM": "segmenter",
    "StackTask": "stack_task",
    "Task": "task",
    "Prediction": "prediction",
    "Progress": "prediction",
    "Settings": "settings",
    "SupportSet": "images.support",
    "dice": "metrics",
    "load_task": "loading",
}

__version__: str


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version()
    if name in _HOMES:
        return getattr(import_module(f"napari_iclsam.core.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
