"""The examples: which layers they come from, the table, and what was found in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels, Layer
from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_iclsam._qt.background.reading import Pictures
from napari_iclsam._qt.forms.example_buttons import ExampleButtons
from napari_iclsam._qt.forms.example_choice import ExampleChoice, is_outdated
from napari_iclsam._qt.forms.example_files import ExampleFiles
from napari_iclsam._qt.forms.example_reading import ExampleReading
from napari_iclsam._qt.forms.example_words import (
    count_in_words,
    labels_in_words,
    objection_to_emptiness,
    remark_in_words,
    slices_in_words,
)
from napari_iclsam._qt.forms.label_offers import LabelOffers
from napari_iclsam._qt.forms.layer_combo import LayerCombo
from napari_iclsam._qt.forms.support_table import Row, SupportTable
from napari_iclsam._qt.forms.wrapped_label import WrappedLabel
from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import Example, LayerExample
from napari_iclsam._qt.viewer.slice_stacks import SliceOrientation
from napari_iclsam.core.images.support import LabelStyle


class ExamplesForm(QWidget):
    """A form of examples that fills itself from the layers of the viewer.

    Attributes
    ----------
    changed : Signal()
        Other examples, or other layers.
    filled : Signal()
        The labels are read, and their slices are in the table.
    failed : Signal(object)
        An error of reading, for the user.
    open_requested, save_requested : Signal()
        The user wants to open or save a task file.
    task_dropped : Signal(object)
        The path of a task file that was dropped on the table.
    model_input_requested : Signal(object)
        The user wants to see an example as it is given to the models.
    image, labels : LayerCombo
    offers : LabelOffers
    table : SupportTable
    buttons : ExampleButtons
    """

    changed = Signal()
    filled = Signal()
    failed = Signal(object)
    open_requested = Signal()
    save_requested = Signal()
    task_dropped = Signal(object)
    model_input_requested = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._choice = ExampleChoice()
        self._is_pair_picked = False
        # what was noticed about the labels of the examples
        self._found = Pictures({}).labels
        self._reading = ExampleReading(viewer, self)
        self._labelled = self._reading.labelled
        self.reader = self._reading.runner
        self._files = ExampleFiles(self)
        self.opener = self._files.runner
        self.image = LayerCombo("The image that the examples are taken from.")
        self.labels = LayerCombo("The labels that somebody painted on it.")
        self.summary = WrappedLabel()
        self.offers = LabelOffers(viewer)
        self.table = SupportTable()
        self.buttons = ExampleButtons()
        self._lay_out()
        self._connect_reading()
        self._connect_table()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(3)
        form.addRow("Image", self.image)
        form.addRow("Labels", self.labels)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.setSpacing(3)
        layout.addLayout(form)
        for widget in (self.summary, self.offers, self.table, self.buttons):
            layout.addWidget(widget)

    def _connect_reading(self) -> None:
        self._reading.due.connect(self._scan)
        self._reading.scanned.connect(self._fill)
        self._reading.pictured.connect(self._on_pictured)
        self._reading.failed.connect(self._on_reading_failed)
        self._files.read.connect(self.add_examples)
        self._files.task_dropped.connect(self.task_dropped)
        self._files.failed.connect(self.failed)
        self.image.picked.connect(self._on_layer_picked)
        self.labels.picked.connect(self._on_layer_picked)
        self.offers.made.connect(self._on_labels_made)
        self.offers.reread.connect(self._on_reread)

    def _connect_table(self) -> None:
        self.table.changed.connect(self._on_table_changed)
        self.table.removed.connect(self._choice.dismiss)
        self.table.files_dropped.connect(self._files.take)
        self.table.itemSelectionChanged.connect(self._update_buttons)
        self.table.itemDoubleClicked.connect(self._on_double_clicked)
        self.buttons.add.clicked.connect(self._on_add_clicked)
        self.buttons.nothing.clicked.connect(self._on_nothing_clicked)
        self.buttons.remove.clicked.connect(self.table.remove_selected)
        self.buttons.up.clicked.connect(self._on_up_clicked)
        self.buttons.down.clicked.connect(self._on_down_clicked)
        self.buttons.model_input.clicked.connect(self._on_model_input_clicked)
        self.buttons.open.clicked.connect(self.open_requested)
        self.buttons.save.clicked.connect(self.save_requested)

    def close_down(self) -> None:
        """Stop reading."""
        self._reading.close()
        self._files.close()

    @property
    def is_reading(self) -> bool:
        """Whether labels are being read: what is found may change."""
        return self._reading.is_scanning

    def update_layers(self) -> None:
        """Follow the layers of the viewer."""
        labels = [layer for layer in reversed(self._viewer.layers) if isinstance(layer, Labels)]
        self.image.offer(layers.images_in(self._viewer))
        self.labels.offer(labels)
        if self.image.layer is None or self.labels.layer is None:
            # a picked layer is gone: choose anew
            self._is_pair_picked = False
        self.table.refresh()
        self._scan()

    def choose(self, image: Layer, labels: Layer) -> None:
        """Take examples from these layers, as if the user had picked them."""
        self.image.set_layer(image)
        self.labels.set_layer(labels)
        self._on_layer_picked()

    def forget(self, layer: Layer) -> None:
        """Drop what belongs to a layer that is gone."""
        self._labelled.forget(layer)
        self.table.drop_layer(layer)

    def note_changed(self, layer: Layer) -> None:
        """Read a layer again soon: somebody paints in it, or its data were replaced."""
        self._reading.note_changed(layer)

    def read_anew(self) -> None:
        """Read labels in memory again, since not all changes are announced; `filled` follows."""
        used = [self.labels.layer]
        for row in self.table.rows():
            if isinstance(row.example, LayerExample):
                used.append(row.example.labels)
        self._reading.forget_changeable(used)
        self._scan()

    def ready_pairs(self) -> tuple[Pair, ...]:
        """Return the ticked examples as a run reads them."""
        return tuple(row.example.pair() for row in self.table.ticked())

    def styles(self) -> dict[int, LabelStyle]:
        """Return names and colors of the labels of the ticked examples.

        The first example that has a label decides.
        """
        known: dict[int, LabelStyle] = {}
        for row in self.table.ticked():
            for label, style in row.styles.items():
                known.setdefault(label, style)
        return known

    def orientation(self) -> SliceOrientation | None:
        """Return the orientation in which the chosen labels are painted."""
        labels = self.labels.layer
        return None if labels is None else self._labelled.orientation(labels)

    def reason_against_run(self) -> str:
        """Return why there is no example, in words; empty if there is one."""
        if self.is_reading:
            return "The labels are being read."
        if self.table.ticked():
            return ""
        if self.table.count():
            return "No example is ticked: tick at least one."
        return layers.misfit(self.image.layer, self.labels.layer) or (
            "Nothing is painted yet: paint each kind of object with its own label on at least one "
            "slice, whole: what is not painted counts as background."
        )

    def add_examples(self, examples: Iterable[Example]) -> None:
        """Put examples of the user's choice into the table; their pictures follow."""
        chosen = list(examples)
        for example in chosen:
            self._choice.add(example.key)
        self._put(chosen)

    def replace_at(self, new: Sequence[LayerExample]) -> None:
        """Add examples; others of the same slices of the same images go, since these are better."""
        for example in self.table.drop_rows(is_outdated(new)):
            self._choice.dismiss(example.key)
        self.add_examples(new)

    def withdraw(self, keys: set[Any]) -> None:
        """Take out examples that are no longer wanted by who added them."""
        self._choice.withdraw(keys)
        self.table.drop_rows(lambda example: example.key in keys)

    def redraw(self) -> None:
        """Draw the pictures again: somebody painted in a result that serves as an example."""
        examples = [row.example for row in self.table.rows()]
        pairs = {each.key: each.pair() for each in examples}
        titles = [each.title() for each in examples]
        styles = [each.all_styles() for each in examples]
        self._reading.draw(pairs, titles, styles)

    def _scan(self) -> None:
        """Read the labels that were not read yet, then fill the table."""
        if not self._reading.scan(self.labels.layer):
            self._fill()
            return
        self._show_summary()
        self.changed.emit()

    def _fill(self) -> None:
        """Choose layers, unless the user did, and show their labelled slices as examples."""
        if not self._is_pair_picked:
            pair = self._labelled.likely_pair(self.image.layer, self.labels.layer)
            self.image.set_layer(pair.image)
            self.labels.set_layer(pair.labels)
        found = self._found_examples()
        self.table.drop_rows(self._choice.is_gone(found))
        self._put(self._choice.wanted(found))
        self._show_summary()
        self.changed.emit()
        self.filled.emit()

    def _found_examples(self) -> list[LayerExample]:
        return self._labelled.examples(self.image.layer, self.labels.layer)

    def _put(self, examples: Iterable[Example]) -> None:
        self.table.put(map(Row, examples))
        self.redraw()

    def _show_summary(self) -> None:
        """Show what was found, or what is missing."""
        if not self.is_reading:
            self._show_offers()
        summary = self._summary()
        remark = remark_in_words(self.table.ticked(), self.image.layer, self.labels.layer)
        remarks = " ".join(filter(None, [self.offers.sentence, *self._found.notes, remark]))
        self.summary.setText(f"{summary.removesuffix('.')}. {remarks}" if remarks else summary)
        self._update_buttons()

    def _show_offers(self) -> None:
        image, labels = self.image.layer, self.labels.layer
        examples = [row.example for row in self.table.rows()]
        if not examples:
            self.offers.show_layers(image, labels)
        elif not self.offers.show_readings(examples, self._found):
            self.offers.show_parts(self._labelled.one_object_layers(image, labels), labels)

    def _summary(self) -> str:
        if self.is_reading:
            return "Reading the labels …"
        rows = self.table.rows()
        if not rows:
            self._found = Pictures({}).labels
            return self.reason_against_run()
        return self._count_in_words(rows) + labels_in_words(rows)

    def _count_in_words(self, rows: Sequence[Row]) -> str:
        """Return how many examples were found where."""
        labels = self.labels.layer
        orientation = self.orientation()
        misfit = layers.misfit(self.image.layer, labels)
        if labels is None or orientation is None or misfit:
            return count_in_words(len(rows), "example")
        if orientation.axis is None:
            return count_in_words(len(rows), "labelled image")
        names = layers.axis_names(labels, self._viewer.dims.axis_labels)
        along = " and ".join(names[axis] for axis in orientation.stack_axes)
        said = slices_in_words(self._labelled.count(labels, orientation), along)
        further = len(rows) - len(self._choice.wanted(self._found_examples()))
        return f"{said}, {count_in_words(further, 'more example')}" if further > 0 else said

    def _update_buttons(self) -> None:
        self.buttons.allow(
            add=not layers.misfit(self.image.layer, self.labels.layer),
            edit=bool(self.table.selectedItems()),
            inspect=self.table.count() > 0,
            save=bool(self.table.ticked()),
        )

    def _on_pictured(self, found: Pictures) -> None:
        self._found = found.labels
        pictured = []
        for row in self.table.rows():
            if row.example.key in found.of_key:
                pictured.append(Row(row.example, found.of_key[row.example.key]))
        self.table.put(pictured)
        self._show_summary()

    def _on_reading_failed(self, error: Exception) -> None:
        self._show_summary()
        self.changed.emit()
        self.filled.emit()
        self.failed.emit(error)

    def _on_layer_picked(self) -> None:
        self._is_pair_picked = True
        self._scan()

    def _on_labels_made(self, labels: Layer) -> None:
        """Use labels that were made of other layers."""
        self.update_layers()
        self.labels.set_layer(labels)
        self._on_layer_picked()

    def _on_reread(self, examples: Sequence[Example]) -> None:
        """Show examples whose labels mean something else now."""
        pictures = {row.example.key: row.picture for row in self.table.rows()}
        self.table.put(Row(example, pictures[example.key]) for example in examples)
        self.redraw()

    def _on_table_changed(self) -> None:
        self._show_summary()
        self.changed.emit()

    def _on_double_clicked(self) -> None:
        """Go to the slice of the example."""
        row = self.table.current()
        if row is not None and isinstance(row.example, LayerExample):
            example = row.example
            layers.go_to(self._viewer, example.labels, example.orientation, example.position)

    def _on_add_clicked(self) -> None:
        example = self.shown_example()
        if example is not None:
            self.add_examples([example])

    def _on_nothing_clicked(self) -> None:
        """Take the slice that is shown as an example that holds no object."""
        example = self.shown_example()
        if example is None:
            return
        objection = objection_to_emptiness(example)
        if objection:
            show_info(objection)
        else:
            self.add_examples([example])

    def shown_example(self) -> LayerExample | None:
        """Return the slice that is shown, of the chosen layers, as an example."""
        image = self.image.layer
        labels = self.labels.layer
        if image is None or labels is None or layers.misfit(image, labels):
            return None
        return self._labelled.shown(image, labels)

    def _on_up_clicked(self) -> None:
        self.table.move_selected(-1)

    def _on_down_clicked(self) -> None:
        self.table.move_selected(1)

    def _on_model_input_clicked(self) -> None:
        row = self.table.current()
        if row is not None:
            self.model_input_requested.emit(row.example)
