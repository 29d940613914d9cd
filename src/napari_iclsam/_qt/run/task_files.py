"""Opens and saves task files in a worker, after a dialog has asked for their names."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog

from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.forms.examples_form import ExamplesForm
from napari_iclsam._qt.forms.model_form import ModelForm
from napari_iclsam._qt.forms.settings_panel import SettingsPanel
from napari_iclsam._qt.run.plan import Plan
from napari_iclsam._qt.run.request import Request
from napari_iclsam._qt.viewer.example import examples_of

if TYPE_CHECKING:
    from napari_iclsam.core.task_file import Origin, SavedTask

TASK_SUFFIX = ".iclsam"

_FILTER = f"Tasks (*{TASK_SUFFIX})"


class TaskFiles(QObject):
    """Reads and writes task files.

    Parameters
    ----------
    examples : ExamplesForm
        Its buttons open and save.
    models : ModelForm
    settings : SettingsPanel
    make_plan : callable
        Reads the forms.

    Attributes
    ----------
    failed : Signal(object)
        An error for the user.
    runner : Runner
    """

    failed = Signal(object)

    def __init__(
        self,
        examples: ExamplesForm,
        models: ModelForm,
        settings: SettingsPanel,
        make_plan: Callable[[], Plan],
    ) -> None:
        super().__init__(examples)
        self.runner = Runner(self)
        self._examples = examples
        self._models = models
        self._settings = settings
        self._make_plan = make_plan
        self._name = ""
        examples.open_requested.connect(self.ask_to_open)
        examples.save_requested.connect(self.ask_to_save)
        examples.task_dropped.connect(self.open)
        self.runner.returned.connect(self._on_returned)
        self.runner.failed.connect(self.failed)

    def ask_to_open(self) -> None:
        """Let the user choose a task file, and read it."""
        path, _ = QFileDialog.getOpenFileName(self._examples, "Open a task", "", _FILTER)
        if path:
            self.open(path)

    def ask_to_save(self) -> None:
        """Let the user choose where to save, and write a task file."""
        path, _ = QFileDialog.getSaveFileName(self._examples, "Save the task", "", _FILTER)
        if path:
            self.save(path)

    def open(self, path: str) -> None:
        """Read a task file."""
        self._name = Path(path).stem
        self.runner.start(partial(_open_steps, path))

    def save(self, path: str) -> None:
        """Write the ticked examples, the settings and the models to a task file."""
        # a file dialog returns the name as it was typed
        target = path if path.endswith(TASK_SUFFIX) else path + TASK_SUFFIX
        plan = self._make_plan()
        self.runner.start(partial(_save_steps, plan.request, plan.origin, target))

    def close(self) -> None:
        """Stop for good."""
        self.runner.close()

    def _on_returned(self, value: SavedTask | str) -> None:
        if isinstance(value, str):
            show_info(f"Saved {value}.")
        else:
            self._show(value)

    def _show(self, task: SavedTask) -> None:
        """Add the examples of a task that was opened, and choose its models and settings."""
        self._examples.add_examples(examples_of(self._name, task.support, task.origin))
        self._settings.show_settings(task.settings)
        self._settings.changed.emit()
        # the device is this computer's, not that of who saved the task
        models = replace(task.models, device=self._models.models().device)
        self._models.show_models(models)
        self._models.changed.emit()


def _open_steps(path: str) -> Generator[None, None, SavedTask]:
    """Read a task file.

    Raises
    ------
    ValueError, OSError
        See `read_task`.
    """
    yield
    from napari_iclsam.core.task_file import read_task

    return read_task(path)


def _save_steps(request: Request, origin: Origin, path: str) -> Generator[None, None, str]:
    """Write what a task file keeps of a request, and return its path."""
    yield
    from napari_iclsam.core.task_file import SavedTask, write_task

    task = SavedTask(request.read_support(), request.settings, request.models, origin)
    write_task(task, path)
    return path
