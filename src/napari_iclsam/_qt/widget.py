"""The dock: puts the parts together and connects them."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel
from napari.layers import Labels, Layer
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFileDialog,
    QFrame,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_iclsam._qt.background.reading import TASK_SUFFIX, open_task_steps, save_task_steps
from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.dialogs.model_input_dialog import Preview
from napari_iclsam._qt.dialogs.weights_dialog import obtain
from napari_iclsam._qt.forms import model_form
from napari_iclsam._qt.forms.examples_form import ExamplesForm
from napari_iclsam._qt.forms.model_form import ModelForm
from napari_iclsam._qt.forms.query_defaults import Follower
from napari_iclsam._qt.forms.query_form import QueryForm
from napari_iclsam._qt.forms.result_form import ResultForm
from napari_iclsam._qt.forms.section import Section
from napari_iclsam._qt.forms.settings_panel import SettingsPanel
from napari_iclsam._qt.preferences import Preferences
from napari_iclsam._qt.review.review_queue import Checklist
from napari_iclsam._qt.run.live_run import LiveRun
from napari_iclsam._qt.run.plan import Planner
from napari_iclsam._qt.run.request import Outcome, Session, Step, device_steps, task_of
from napari_iclsam._qt.run.run_bar import RunBar, in_time
from napari_iclsam._qt.viewer.example import Example, LayerExample
from napari_iclsam._qt.viewer.results import Results
from napari_iclsam._qt.viewer.watch import ViewerWatch
from napari_iclsam.weights.catalogue import Weights
from napari_iclsam.weights.download import MissingWeights

if TYPE_CHECKING:
    import napari

    from napari_iclsam.core.task_file import SavedTask

_REDRAW = 100
"""Milliseconds between two looks at what was written."""


class ICLSAMWidget(QWidget):
    """Segment images from a few labelled examples.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer: ViewerModel = getattr(
            napari_viewer, "__wrapped__", napari_viewer
        )  # layers keep their identity
        self._preferences = Preferences()
        self._preferences.apply()
        self.session = Session(self._preferences.cache_bytes)
        self.runner, self._filer, self._finder = Runner(self), Runner(self), Runner(self)
        self.results = Results(self._viewer)
        self.checklist = Checklist(self._viewer, self.results)
        self.examples = ExamplesForm(self._viewer)
        self.query, self.output = QueryForm(), ResultForm()
        self.settings, self.models = SettingsPanel(), ModelForm()
        self.bar, self.preview = RunBar(), Preview(self)
        self._planner = Planner(self._viewer, self.examples, self.query)
        self._follower = Follower(self._viewer, self.examples, self.query, self._planner)
        self._live: LiveRun | None = None
        self._watch: ViewerWatch | None = None
        self._automatic = ""
        self._redraw = QTimer(self, singleShot=True, interval=_REDRAW)
        self._soon = QTimer(self, singleShot=True, interval=_REDRAW)
        self._lay_out()
        self._connect()
        self.settings.show_settings(self._preferences.settings)
        self.models.show_models(self._preferences.models)
        self.open_up()

    def _lay_out(self) -> None:
        form = QWidget()
        column = QVBoxLayout(form)
        column.setContentsMargins(2, 2, 2, 2)
        column.setSpacing(4)
        sections = (
            ("Examples", self.examples, True),
            ("Segment", self.query, True),
            ("Result", self.output, False),
            ("Models", self.models, False),
            ("Settings", self.settings, False),
        )
        self.sections = {
            title: Section(title, part, expanded=open_) for title, part, open_ in sections
        }
        for section in self.sections.values():
            column.addWidget(section)
        column.addStretch()
        scroll = QScrollArea(widgetResizable=True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(form)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.bar)
        self.setMinimumWidth(312)
        for control in (*form.findChildren(QComboBox), *form.findChildren(QAbstractSpinBox)):
            control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            control.installEventFilter(self)

    def _connect(self) -> None:
        self.runner.stepped.connect(self._on_stepped)
        self.runner.returned.connect(self._on_finished)
        self.runner.failed.connect(self._on_failed)
        self.runner.idle.connect(self._on_idle)
        self._filer.returned.connect(self._on_filed)
        self._filer.failed.connect(self._on_failed)
        self._finder.returned.connect(self._on_device_found)
        self._redraw.timeout.connect(self._on_redraw)
        self._soon.timeout.connect(self._follow_layers)
        self.examples.changed.connect(self._on_examples_changed)
        self.examples.failed.connect(self._on_failed)
        self.examples.open_wanted.connect(self._on_open)
        self.examples.save_wanted.connect(self._on_save)
        self.examples.task_dropped.connect(self.open_task)
        self.examples.look_wanted.connect(self._on_look)
        self.query.changed.connect(self._update)
        self.query.image.picked.connect(self._on_query_image)
        self.output.changed.connect(self._update)
        self.settings.changed.connect(self._on_settings_changed)
        self.models.changed.connect(self._on_models_changed)
        self.models.download_wanted.connect(self._on_download)
        self.bar.segment_wanted.connect(self.segment)
        self.bar.cancel_wanted.connect(self.cancel)
        self.bar.check_wanted.connect(self.check)
        self.bar.improve_wanted.connect(self.improve)

    def open_up(self) -> None:
        """Follow the viewer."""
        if self._watch is not None:
            return
        self._watch = ViewerWatch(self._viewer, self)
        self._watch.layers_changed.connect(self._on_layers_changed)
        self._watch.removed.connect(self._on_removed)
        self._watch.data_changed.connect(self.examples.note_changed)
        self._watch.painted.connect(self._on_painted)
        self._watch.moved.connect(self._on_moved)
        self._find_device()
        self._on_layers_changed()

    def close_down(self) -> None:
        """Stop everything and follow the viewer no longer; `open_up` begins again."""
        if self._watch is None:
            return
        self._watch.close()
        self._watch = None
        for runner in (self.runner, self._filer, self._finder):
            runner.close()
        self._redraw.stop()
        self._soon.stop()
        self.examples.close_down()
        self.preview.close_down()
        self._live = None
        self.bar.show_idle("")

    def event(self, event: QEvent) -> bool:
        """Close down when napari takes the widget out of its dock, begin again when it is docked again."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self.close_down()
            else:
                self.open_up()
        elif event.type() == QEvent.Type.Show:
            self._follow_window()
        return bool(super().event(event))

    def _follow_window(self) -> None:
        """Hear when the window closes. A dock is put into its window only after the widget was put into the dock."""
        self.window().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Close down with the window; keep the wheel for scrolling, away from controls that are only passed over."""
        if event.type() == QEvent.Type.Wheel:
            return not watched.hasFocus()
        if watched is self.window() and not event.spontaneous():
            if event.type() in (QEvent.Type.Close, QEvent.Type.Hide):
                self.close_down()
            elif event.type() == QEvent.Type.Show:
                self.open_up()
        return False

    def segment(self) -> None:
        """Segment what the forms say; a run that is on is superseded."""
        reason = self._planner.reason(self.output.output())
        if reason:
            show_error(reason)
            return
        missing = self.models.missing()
        if missing and not self._ask_for(*missing):
            return
        self._follow_window()
        plan = self._planner.plan(
            self.models.models(), self.settings.settings(), self.output.output()
        )
        self._live = LiveRun(plan.request, plan.goals, plan.look, self.results)
        self.bar.show_step(Step("Starting", 0, plan.request.total))
        self.runner.start(partial(self.session.steps, plan.request))

    def cancel(self) -> None:
        """Stop the run; what is done stays."""
        self._on_redraw()
        self._live = None
        self.runner.cancel()
        self.bar.show_idle("Cancelled. What was done is kept.")

    def check(self) -> None:
        """Go to the slice of the result that most needs a look, and was not shown yet."""
        doubt = self.checklist.next(self.query.image.layer)
        if doubt is not None:
            self.checklist.show(doubt)
        self._update()

    def improve(self) -> None:
        """Take the planes of the result that were corrected by hand as examples, and segment again."""
        new: list[LayerExample] = []
        for labels in self._corrected_results():
            known = self.results.written(labels)
            if known is not None:
                where = self.results.unlearnt(labels)
                self.results.take(labels, where)
                new += [
                    LayerExample(known.image, labels, known.cut, p, (), known.level) for p in where
                ]
        if not new:
            show_info(
                "No slice of the result differs from what was segmented: correct one with the brush first."
            )
            self._update()
            return
        self.examples.replace_at(new)
        self._follower.follow()
        self.segment()

    def open_task(self, path: str) -> None:
        """Read a task file: its examples are added, its settings and models chosen."""
        self._opening = Path(path).stem
        self._filer.start(partial(open_task_steps, path))

    def save_task(self, path: str) -> None:
        """Write the ticked examples, the settings and the models to a task file."""
        plan = self._planner.plan(
            self.models.models(), self.settings.settings(), self.output.output()
        )
        target = path if path.endswith(TASK_SUFFIX) else path + TASK_SUFFIX
        self._filer.start(partial(save_task_steps, partial(task_of, plan.request), target))

    def _corrected_results(self) -> list[Labels]:
        return [
            each
            for each in self.results.of_image(self.query.image.layer)
            if self.results.unlearnt(each)
        ]

    def _update(self) -> None:
        """Allow what is possible; say why the rest is not."""
        output = self.output.output()
        self.output.allow_fill(self._planner.no_fill())
        reason = self._planner.reason(output)
        planes = 0 if reason else sum(len(target.positions) for target in self._planner.targets())
        self.bar.show_reason(reason, planes)
        self.bar.show_check(self.checklist.next(self.query.image.layer))
        self.bar.show_corrections(
            sum(len(self.results.unlearnt(each)) for each in self._corrected_results())
        )

    def _show_models(self) -> None:
        models = self.models.models()
        names = [model_form.title(models.sam, "sam"), model_form.title(models.icl, "icl")]
        device = self._automatic or "auto" if models.device == "auto" else models.device
        self.bar.show_models(
            " + ".join(dict.fromkeys(names)), device, self._preferences.seconds(models)
        )

    def _find_device(self) -> None:
        """Ask torch, in a worker, what this computer has."""
        self._finder.start(partial(device_steps, "auto"))

    def _ask_for(self, *wanted: Weights) -> bool:
        """Offer to download weights; return whether they are here now."""
        here = obtain(wanted, self)
        self.models.refresh()
        self._update()
        return here

    def _on_download(self, weights: Weights) -> None:
        self._ask_for(weights)

    def _on_device_found(self, device: str) -> None:
        self._automatic = device
        self._show_models()

    def _on_layers_changed(self) -> None:
        if self._live is None:
            self._follow_layers()
        else:
            self._soon.start()  # the run's own result: napari has enough to do with adding it

    def _follow_layers(self) -> None:
        self.examples.update_layers()
        self._follower.follow()
        self._update()
        self._show_models()

    def _on_removed(self, layer: Layer) -> None:
        self.examples.forget(layer)
        if self._live is not None and self._live.is_orphaned:
            self._live = None
            self.runner.cancel()
            self.bar.show_idle("Stopped: the result layer was deleted.")

    def _on_painted(self, layer: Labels, item: Any) -> None:
        self.results.note_painted(layer, item)
        if self.results.written(layer) is None:
            self.examples.note_changed(layer)
        else:
            self.examples.redraw()
        self._update()

    def _on_moved(self) -> None:
        if self.query.chosen == "current" or self.query.cut() is None:
            self._update()

    def _on_examples_changed(self) -> None:
        self._follower.follow()
        self._update()

    def _on_query_image(self) -> None:
        self._follower.keep_image()
        self._update()

    def _on_settings_changed(self) -> None:
        self._preferences.remember_settings(self.settings.settings())

    def _on_models_changed(self) -> None:
        self._preferences.remember_models(self.models.models())
        self._show_models()

    def _on_stepped(self, step: Step) -> None:
        if self._live is None:
            return
        self._live.take(step)
        self.bar.show_step(step)
        if step.prediction is not None and not self._redraw.isActive():
            self._redraw.start()

    def _on_redraw(self) -> None:
        if self._live is not None:
            began = time.perf_counter()
            self._live.refresh()
            spent = 1000 * (time.perf_counter() - began)
            self._redraw.setInterval(
                max(_REDRAW, int(10 * spent))
            )  # large volumes in 3D take long to draw

    def _on_finished(self, outcome: Outcome) -> None:
        self._on_redraw()
        live, self._live = self._live, None
        if live is None:
            return
        parts = [f"Done: {outcome.planes} slice{'' if outcome.planes == 1 else 's'}"]
        if outcome.seconds is not None:
            self._preferences.remember_seconds(live.request.models, outcome.seconds)
            parts[0] += f", {in_time(outcome.seconds)} each"
        parts[0] += "."
        parts += outcome.sentences
        if live.kept:
            parts.append(f"Kept as you corrected them: {live.kept}.")
        self._automatic = (
            outcome.device if live.request.models.device == "auto" else self._automatic
        )
        self._show_models()
        self.bar.show_idle(" ".join(parts))
        self._update()

    def _on_failed(self, error: Exception) -> None:
        self._live = None
        self.bar.show_idle(f"Stopped: {error}")
        if isinstance(error, MissingWeights) and not error.weights.bundled:
            self._ask_for(error.weights)
        else:
            show_error(str(error))

    def _on_idle(self) -> None:
        if self._live is not None:  # the run ended by a defect, which napari shows
            self._live = None
            self.bar.show_idle("Stopped by an error; see the notification.")
        self._update()

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a task", "", f"Tasks (*{TASK_SUFFIX})")
        if path:
            self.open_task(path)

    def _on_look(self, example: Example) -> None:
        self.preview.show_example(example, self.models.models().icl, self.settings.settings())

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the task", "", f"Tasks (*{TASK_SUFFIX})")
        if path:
            self.save_task(path)

    def _on_filed(self, value: SavedTask | str) -> None:
        if isinstance(value, str):
            show_info(f"Saved {value}.")
            return
        self.examples.add_support(self._opening, value.support)
        self.settings.show_settings(value.settings)
        self.models.show_models(replace(value.models, device=self.models.models().device))
        self._on_settings_changed()
        self._on_models_changed()
