"""The dock: puts the parts together and connects them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel
from napari.layers import Labels, Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_iclsam._qt.forms.dock_form import DockForm
from napari_iclsam._qt.forms.model_control import ModelControl
from napari_iclsam._qt.forms.query_defaults import QueryDefaults
from napari_iclsam._qt.forms.remembered import RememberedForms
from napari_iclsam._qt.preferences import Preferences
from napari_iclsam._qt.review.review_control import ReviewControl
from napari_iclsam._qt.run.dock_run import DockRun, wait_for
from napari_iclsam._qt.run.plan import Plan, Planner
from napari_iclsam._qt.run.run_bar import RunBar
from napari_iclsam._qt.run.run_control import RunControl
from napari_iclsam._qt.run.task_files import TaskFiles
from napari_iclsam._qt.viewer.dock_watch import DockWatch
from napari_iclsam._qt.viewer.redraw_watch import RedrawWatch
from napari_iclsam._qt.viewer.results import Results
from napari_iclsam._qt.viewer.watch import ViewerWatch

if TYPE_CHECKING:
    import napari

_WIDTH = 312
"""Pixels that the dock takes at least."""

_LAYERS_PAUSE = 100
"""Milliseconds after which the forms follow the layers while a run adds some of its own."""


class ICLSAMWidget(QWidget):
    """Segment images from a few labelled examples.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        # plugins are given a proxy, which wraps each layer anew; below it, layers keep identity
        self._viewer: ViewerModel = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._watch: ViewerWatch | None = None
        # whether a run is to start as soon as the examples are read
        self.is_waiting = False
        self._dock_watch = DockWatch(self)
        self._preferences = Preferences()
        self._preferences.apply()
        self._make_forms()
        self._make_controls()
        self._lay_out()
        self._connect_forms()
        self._connect_controls()
        self.open_up()

    def _make_forms(self) -> None:
        self.form = DockForm(self._viewer)
        self.examples = self.form.examples
        self.query = self.form.query
        self.output = self.form.output
        self.series = self.form.series
        self.models = self.form.models
        self.settings = self.form.settings
        self.bar = RunBar()

    def _make_controls(self) -> None:
        self.results = Results(self._viewer)
        self.planner = Planner(self._viewer, self.examples, self.query)
        self.run = RunControl(self._preferences.cache_bytes, self.results, self.bar, self)
        self.review = ReviewControl(
            self._viewer, self.results, self.form, self.planner.layer_examples, self.bar
        )
        self._remembered = RememberedForms(self._preferences, self.models, self.settings)
        self.model_control = ModelControl(self.models, self._preferences, self.bar, self)
        self.task_files = TaskFiles(self.examples, self.models, self.settings, self._plan)
        self._defaults = QueryDefaults(self._viewer, self.examples, self.query, self.planner)
        self._redraws = RedrawWatch(self._viewer, self)
        self._layers_pause = QTimer(self, singleShot=True, interval=_LAYERS_PAUSE)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form, 1)
        layout.addWidget(self.bar)
        self.setMinimumWidth(_WIDTH)

    def _connect_forms(self) -> None:
        self.examples.changed.connect(self._on_examples_changed)
        self.examples.filled.connect(self._on_examples_filled)
        self.examples.failed.connect(self.model_control.show_failure)
        self.query.changed.connect(self._update)
        self.query.image.picked.connect(self._on_query_image_picked)
        self.output.changed.connect(self._update)
        self.output.swap_requested.connect(self._on_swap_requested)

    def _connect_controls(self) -> None:
        self.bar.segment_requested.connect(self.segment)
        self.bar.cancel_requested.connect(self.run.cancel)
        self.bar.check_requested.connect(self.review.show_next)
        self.bar.improve_requested.connect(self.review.use_corrections)
        self.run.finished.connect(self.model_control.note_finished)
        self.run.finished.connect(self.form.objects.note_finished)
        self.run.failed.connect(self.model_control.show_run_failure)
        self.run.ended.connect(self._update)
        self.review.corrections_taken.connect(self._on_corrections_taken)
        self.model_control.weights_offered.connect(self._update)
        self.task_files.failed.connect(self.model_control.show_failure)
        self._dock_watch.opened.connect(self.open_up)
        self._dock_watch.closed.connect(self.close_down)
        self._layers_pause.timeout.connect(self._follow_layers)
        self._redraws.redrawn.connect(self.results.note_shown)
        self._redraws.changed.connect(self._follow_changed)
        self.review.failed.connect(self.model_control.show_failure)
        self.review.series.shown.connect(self._on_image_shown)

    def open_up(self) -> None:
        """Follow the viewer."""
        if self._watch is not None:
            return
        self._watch = ViewerWatch(self._viewer, self)
        self._watch.layers_changed.connect(self._on_layers_changed)
        self._watch.removed.connect(self._on_layer_removed)
        self._watch.data_changed.connect(self._on_data_changed)
        self._watch.placed.connect(self.results.follow)
        self._watch.placed.connect(self._on_layers_changed)
        self._watch.drawn.connect(self._redraws.note)
        self._watch.painted.connect(self._on_painted)
        self._watch.moved.connect(self._on_moved)
        self.results.note_unwatched()
        self.model_control.find_device()
        self._follow_layers()

    def close_down(self) -> None:
        """Stop everything and follow the viewer no longer; `open_up` begins again."""
        if self._watch is None:
            return
        self._watch.close()
        self._watch = None
        self._layers_pause.stop()
        self.is_waiting = False
        self._redraws.close()
        for part in (self.run, self.model_control, self.task_files, self.review):
            part.close()
        self.form.close_down()

    def segment(self) -> None:
        """Segment what the forms show; a run that is on is superseded."""
        reason = self.planner.reason_against_run(self.output.options())
        if reason:
            show_error(reason)
        elif self.model_control.obtain_missing():
            self._dock_watch.follow_window()
            self.is_waiting = True
            self.examples.read_anew()

    def start_run(
        self, image: Layer, labels: Labels | None = None, slices: range | None = None
    ) -> DockRun:
        """Segment slices of an image: what a notebook calls instead of pressing buttons.

        Parameters
        ----------
        image : Layer
            To segment.
        labels : Labels, optional
            Its labelled slices; by default what the form has found.
        slices : range, optional
            By default all that are no examples.

        Returns
        -------
        DockRun
            Wait for its end with `wait`, which returns the result layer.

        Raises
        ------
        ValueError
            Nothing can be segmented; the message says why.
        """
        self._follow_layers()
        if labels is not None:
            self.examples.choose(image, labels)
        # again, since a layer may have changed while another was being read
        while self.examples.is_reading:
            wait_for(self.examples.filled)
        self._defaults.choose(image, slices)
        self._update()
        reason = self.planner.reason_against_run(self.output.options())
        if reason:
            raise ValueError(reason)
        started = DockRun(self.run, self.results, image)
        self.segment()
        return started

    def _on_examples_filled(self) -> None:
        """Start the run that was waiting for the examples, unless they are gone."""
        if not self.is_waiting or self.examples.is_reading:
            return
        self.is_waiting = False
        reason = self.planner.reason_against_run(self.output.options())
        if reason:
            self.bar.show_idle(reason)
            self.run.ended.emit()
        else:
            self.run.start(self._plan())

    def _plan(self) -> Plan:
        return self.planner.plan(
            self.models.models(), self.settings.settings(), self.output.options()
        )

    def _follow_layers(self) -> None:
        self.examples.update_layers()
        self._defaults.follow()
        self._update()
        self.model_control.update()

    def _update(self) -> None:
        """Allow what is possible; the tooltips of the rest tell why it is not."""
        self.output.allow_fill(self.planner.reason_against_filling())
        reason = self.planner.reason_against_run(self.output.options())
        self.bar.show_reason(reason, 0 if reason else self.planner.count(), self.planner.unit())
        is_replaced = self.run.live is None and bool(self.run.replaced)
        self.output.allow_swap(is_replaced, self.run.shows_earlier)
        self.review.update()

    def _on_layers_changed(self) -> None:
        if self.run.live is None:
            self._follow_layers()
        else:
            # the run's own result: napari has enough to do with adding it
            self._layers_pause.start()

    def _on_layer_removed(self, layer: Layer) -> None:
        self.examples.forget(layer)
        self.run.note_removed(layer)

    def _on_data_changed(self, layer: Layer) -> None:
        self.results.note_replaced(layer)
        self._follow_changed(layer)

    def _on_painted(self, layer: Labels, history: Any) -> None:
        self.results.note_painted(layer, history)
        self._redraws.note_painted(layer)
        self._follow_changed(layer)

    def _follow_changed(self, layer: Layer) -> None:
        """Read labels again that have changed; of a result, only the pictures."""
        if self.results.record(layer) is None:
            self.examples.note_changed(layer)
        else:
            self.examples.redraw()
        self._update()

    def _on_moved(self) -> None:
        self.review.note_moved()
        if self.query.chosen == "current" or self.query.orientation() is None:
            self._update()

    def _on_examples_changed(self) -> None:
        self._defaults.follow()
        self._update()

    def _on_query_image_picked(self) -> None:
        self._defaults.keep_image()
        self._update()

    def _on_swap_requested(self) -> None:
        self.run.swap_earlier()
        self._update()

    def _on_image_shown(self, image: Layer) -> None:
        """Segment the image on view if it is one image that is to be segmented."""
        if self.query.chosen == "current":
            self.query.image.set_layer(image)
            self._on_query_image_picked()

    def _on_corrections_taken(self) -> None:
        self._defaults.follow()
        reason = self.planner.reason_against_the_rest()
        if reason:
            # no error: the corrections are taken all the same
            self.bar.show_idle(f"The corrections are examples now. {reason}")
            self._update()
        else:
            self.segment()
