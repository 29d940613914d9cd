"""Files that are dropped on the table of examples: images with labels, and tasks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, Signal

from napari_iclsam._qt.background.dropped_files import DroppedFiles, read_files_steps
from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.viewer.example import FileExample

_TASK_SUFFIX = ".iclsam"


class ExampleFiles(QObject):
    """Reads dropped files in a worker.

    Attributes
    ----------
    read : Signal(object)
        The examples of files, a list of `FileExample`.
    task_dropped : Signal(object)
        The path of a task file.
    failed : Signal(object)
        An error of reading, for the user.
    runner : Runner
    """

    read = Signal(object)
    task_dropped = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.runner = Runner(self)
        self.runner.returned.connect(self._on_read)
        self.runner.failed.connect(self.failed)

    def take(self, paths: Sequence[str]) -> None:
        """Read files that were dropped together."""
        images = []
        for path in paths:
            if path.lower().endswith(_TASK_SUFFIX):
                self.task_dropped.emit(path)
            else:
                images.append(path)
        if images:
            self.runner.start(partial(read_files_steps, images))

    def close(self) -> None:
        """Stop reading."""
        self.runner.close()

    def _on_read(self, dropped: DroppedFiles) -> None:
        # a fallback is never silent
        for note in dropped.notes:
            show_info(note)
        self.read.emit([FileExample(each.name, each.image, each.labels) for each in dropped.pairs])
