"""The form of the dock: its sections, one below the other, scrolled where they are too long."""

from __future__ import annotations

from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_iclsam._qt.dialogs.model_input_dialog import ModelInputDialog
from napari_iclsam._qt.forms.examples_form import ExamplesForm
from napari_iclsam._qt.forms.model_form import ModelForm
from napari_iclsam._qt.forms.query_form import QueryForm
from napari_iclsam._qt.forms.result_form import ResultForm
from napari_iclsam._qt.forms.review_form import ReviewForm
from napari_iclsam._qt.forms.section import Section
from napari_iclsam._qt.forms.series_form import SeriesForm
from napari_iclsam._qt.forms.settings_panel import SettingsPanel
from napari_iclsam._qt.objects.object_panel import ObjectPanel
from napari_iclsam._qt.objects.region_tools import RegionTools
from napari_iclsam._qt.viewer.example import Example


class DockForm(QScrollArea):
    """A column of sections.

    Parameters
    ----------
    viewer : ViewerModel

    Attributes
    ----------
    examples : ExamplesForm
    regions : RegionTools
    query : QueryForm
    series : SeriesForm
    output : ResultForm
    review : ReviewForm
    objects : ObjectPanel
    models : ModelForm
    settings : SettingsPanel
    sections : dict of str to Section
        By title.
    model_input : ModelInputDialog
        Shows an example as the chosen models get it.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(widgetResizable=True)
        self.examples = ExamplesForm(viewer)
        self.regions = RegionTools(viewer, self.examples)
        self.examples.layout().addWidget(self.regions)
        self.query = QueryForm()
        self.series = SeriesForm()
        self.output = ResultForm()
        self.review = ReviewForm()
        self.objects = ObjectPanel(viewer)
        self.models = ModelForm()
        self.settings = SettingsPanel()
        self.sections = {
            "Examples": Section("Examples", self.examples),
            "Segment": Section("Segment", self.query),
            "Images": Section("Images", self.series, expanded=False),
            "Result": Section("Result", self.output, expanded=False),
            "Check": Section("Check", self.review, expanded=False),
            "Objects": Section("Objects", self.objects, expanded=False),
            "Models": Section("Models", self.models, expanded=False),
            "Settings": Section("Settings", self.settings, expanded=False),
        }
        self.model_input = ModelInputDialog(self)
        self._lay_out()
        self.series.filled.connect(self._on_series_filled)
        self.examples.model_input_requested.connect(self._on_model_input_requested)

    def close_down(self) -> None:
        """Stop reading."""
        self.regions.close_down()
        self.objects.close_down()
        self.examples.close_down()
        self.model_input.close_down()

    def _lay_out(self) -> None:
        form = QWidget()
        column = QVBoxLayout(form)
        column.setContentsMargins(2, 2, 2, 2)
        column.setSpacing(4)
        for section in self.sections.values():
            column.addWidget(section)
        column.addStretch()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidget(form)
        for control in (*form.findChildren(QComboBox), *form.findChildren(QAbstractSpinBox)):
            # by default, the wheel gives a control the focus
            control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            control.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the wheel for scrolling: it changes a control only after a click on it."""
        if event.type() == QEvent.Type.Wheel:
            return not watched.hasFocus()
        return bool(super().eventFilter(watched, event))

    def _on_series_filled(self) -> None:
        self.sections["Images"].button.setChecked(True)

    def _on_model_input_requested(self, example: Example) -> None:
        self.model_input.show_example(example, self.models.models().icl, self.settings.settings())
