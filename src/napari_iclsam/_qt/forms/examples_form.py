"""The examples: which layers they come from, the table, and what was found in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels, Layer
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from napari_iclsam._qt.background.reading import (
    FilePair,
    Pictured,
    Scanned,
    open_pairs_steps,
    picture_steps,
    scan_all_steps,
)
from napari_iclsam._qt.background.runner import Runner
from napari_iclsam._qt.forms.layer_combo import LayerCombo
from napari_iclsam._qt.forms.support_table import Row, SupportTable
from napari_iclsam._qt.run.request import Pair
from napari_iclsam._qt.viewer import layers
from napari_iclsam._qt.viewer.example import Example, FileExample, LayerExample
from napari_iclsam._qt.viewer.labelled_slices import MOST, Painted
from napari_iclsam._qt.viewer.slice_stacks import Cut
from napari_iclsam.core.images.support import LabelStyle, SupportSet


class ExamplesForm(QWidget):
    """A form of examples that fills itself from the layers of the viewer.

    Attributes
    ----------
    changed : Signal()
        Other examples, or other layers.
    failed : Signal(object)
        An error of reading, for the user.
    open_wanted, save_wanted : Signal()
        The user wants to open or save a task file.
    task_dropped : Signal(object)
        The path of a task file that was dropped on the table.
    look_wanted : Signal(object)
        The user wants to see an example as the models do.
    image, labels : LayerCombo
    table : SupportTable
    """

    changed = Signal()
    failed = Signal(object)
    open_wanted = Signal()
    save_wanted = Signal()
    task_dropped = Signal(object)
    look_wanted = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._painted = Painted(viewer)
        self._scanning: dict[int, Layer] = {}
        self._dismissed: set[Any] = set()
        self._own: set[Any] = set()
        self._picked = False
        self.reader = Runner(self)
        self.opener = Runner(self)
        self._pause = QTimer(self, singleShot=True, interval=200)
        self.image = LayerCombo("The image that the examples are taken from.")
        self.labels = LayerCombo("The labels that somebody painted on it.")
        self.summary = QLabel(wordWrap=True)
        self.table = SupportTable()
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(3)
        form.addRow("Image", self.image)
        form.addRow("Labels", self.labels)
        self.add = _button("+", "Add the slice that is shown now as an example.")
        self.remove = _button("−", "Remove the selected examples (Delete).")  # noqa: RUF001
        self.up, self.down = (
            _button("↑", "Move the example up."),
            _button("↓", "Move the example down."),
        )
        self.look = _button(
            "What the model sees", "Show the selected example as the models see it."
        )
        self.open = _button(
            "Open…", "Open a task file: its examples are added, its settings and models are chosen."
        )
        self.save = _button(
            "Save…",
            "Save the ticked examples, the settings and the models as a task file (.iclsam).",
        )
        first, second = QHBoxLayout(), QHBoxLayout()
        for row, buttons in (
            (first, (self.add, self.remove, self.up, self.down, None, self.look)),
            (second, (None, self.open, self.save)),
        ):
            row.setSpacing(2)
            for button in buttons:
                row.addStretch() if button is None else row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.setSpacing(3)
        layout.addLayout(form)
        layout.addWidget(self.summary)
        layout.addWidget(self.table)
        layout.addLayout(first)
        layout.addLayout(second)

    def _connect(self) -> None:
        self._pause.timeout.connect(self._on_pause)
        self.reader.returned.connect(self._on_read)
        self.reader.failed.connect(self._on_reading_failed)
        self.opener.returned.connect(self._on_files_read)
        self.opener.failed.connect(self.failed)
        self.image.picked.connect(self._on_picked)
        self.labels.picked.connect(self._on_picked)
        self.table.changed.connect(self._on_table_changed)
        self.table.removed.connect(self._on_removed)
        self.table.files_dropped.connect(self._on_files)
        self.table.itemSelectionChanged.connect(self._on_selected)
        self.table.itemDoubleClicked.connect(self._on_double_clicked)
        self.add.clicked.connect(self._on_add)
        self.remove.clicked.connect(self.table.remove_selected)
        self.up.clicked.connect(self._on_up)
        self.down.clicked.connect(self._on_down)
        self.look.clicked.connect(self._on_look)
        self.open.clicked.connect(self.open_wanted)
        self.save.clicked.connect(self.save_wanted)

    def close_down(self) -> None:
        """Stop reading."""
        self._pause.stop()
        self.reader.close()
        self.opener.close()

    @property
    def is_reading(self) -> bool:
        """Whether labels are being read: what is found may change."""
        return self._pause.isActive() or bool(self._scanning)

    def update_layers(self) -> None:
        """Follow the layers of the viewer."""
        self.image.offer([each for each in reversed(self._viewer.layers) if layers.is_image(each)])
        self.labels.offer(
            [each for each in reversed(self._viewer.layers) if isinstance(each, Labels)]
        )
        if self.image.layer is None or self.labels.layer is None:
            self._picked = False
        self.table.refresh()
        self._scan()

    def forget(self, layer: Layer) -> None:
        """Drop what belongs to a layer that is gone."""
        self._painted.forget(layer)
        self.table.drop_layer(layer)

    def note_changed(self, layer: Layer) -> None:
        """Read a layer again soon: somebody paints in it, or its data were replaced."""
        self._painted.forget(layer)
        self._pause.start()

    def ready_pairs(self) -> tuple[Pair, ...]:
        """Return the ticked examples as a run needs them."""
        return tuple(row.example.pair() for row in self.table.ticked())

    def styles(self) -> dict[int, LabelStyle]:
        """Return names and colors of the labels of the ticked examples; the first example that has a label decides."""
        known: dict[int, LabelStyle] = {}
        for row in self.table.ticked():
            for label, style in row.styles.items():
                known.setdefault(label, style)
        return known

    def reason(self) -> str:
        """Return why there is nothing to learn from; empty if there is."""
        if self.is_reading:
            return "The labels are being read."
        if self.table.ticked():
            return ""
        if self.table.count():
            return "No example is ticked: tick at least one."
        why = layers.misfit(self.image.layer, self.labels.layer)
        return (
            why
            or "Nothing is painted yet: paint each kind of object with its own label on at least one slice."
        )

    def add_examples(self, examples: Iterable[Example], *, own: bool = True) -> None:
        """Put examples into the table; their pictures follow."""
        examples = list(examples)
        if own:
            self._own.update(example.key for example in examples)
            self._dismissed.difference_update(example.key for example in examples)
        self.table.put([Row(example) for example in examples])
        self._draw()

    def replace_at(self, new: Sequence[LayerExample]) -> None:
        """Add examples; others of the same planes of the same images go, since these are better."""
        places = {(id(e.image), e.image_cut, e.image_position) for e in new}
        keys = {e.key for e in new}
        gone = [
            row.example.key
            for row in self.table.rows()
            if isinstance(row.example, LayerExample)
            and (id(row.example.image), row.example.image_cut, row.example.image_position) in places
            and row.example.key not in keys
        ]
        self._dismissed.update(gone)
        self._own.difference_update(gone)
        self.table.drop_rows(lambda example: example.key in gone)
        self.add_examples(new)

    def redraw(self) -> None:
        """Draw the pictures again: somebody painted in a result that serves as an example."""
        self._draw()

    def add_support(self, name: str, support: SupportSet) -> None:
        """Add the examples of a task file."""
        pairs = enumerate(zip(support.images, support.labels, strict=True), start=1)
        self.add_examples(FileExample(f"{name}, {n}", *pair, support.styles) for n, pair in pairs)

    def _scan(self) -> None:
        """Read the labels that were not read yet, then fill the table."""
        unknown = self._painted.unread(self.labels.layer)
        if unknown:
            self._scanning = dict(enumerate(unknown))
            arrays = {number: layers.levels(each)[0] for number, each in self._scanning.items()}
            self.reader.start(partial(scan_all_steps, arrays))
            self._say()
            self.changed.emit()
        else:
            self._fill()

    def _on_read(self, value: Scanned | Pictured) -> None:
        if isinstance(value, Scanned):
            for number, found in value.found.items():
                if number in self._scanning:
                    self._painted.note(self._scanning[number], found)
            self._scanning = {}
            self._fill()
            return
        examples = [row.example for row in self.table.rows() if row.example.key in value.pictures]
        self.table.put([Row(example, value.pictures[example.key]) for example in examples])
        self._say()

    def _fill(self) -> None:
        """Choose layers, unless the user did, and show their labelled slices as examples."""
        if not self._picked:
            pair = self._painted.likely_pair(self.image.layer, self.labels.layer)
            self.image.set_layer(pair[0])
            self.labels.set_layer(pair[1])
        wanted = self._painted.examples(self.image.layer, self.labels.layer)
        keys = {example.key for example in wanted} | self._own
        self.table.drop_rows(
            lambda example: isinstance(example, LayerExample) and example.key not in keys
        )
        self.add_examples((e for e in wanted if e.key not in self._dismissed), own=False)
        self._say()
        self.changed.emit()

    def cut(self) -> Cut | None:
        """Return the cut along which the chosen labels are painted."""
        return None if self.labels.layer is None else self._painted.cut(self.labels.layer)

    def _draw(self) -> None:
        pairs = {row.example.key: row.example.pair() for row in self.table.rows()}
        if pairs and not self._scanning:
            self.reader.start(partial(picture_steps, pairs))

    def _say(self) -> None:
        """Say what was found, or what is missing."""
        self.summary.setText(self._sentence())
        self._on_selected()

    def _sentence(self) -> str:
        if self.is_reading:
            return "Reading the labels …"
        rows = self.table.rows()
        image, labels = self.image.layer, self.labels.layer
        if not rows:
            return self.reason()
        names = {i: s.name for row in rows for i, s in row.styles.items()}
        said = ", ".join(f"{i} {names[i]}".strip() for i in sorted(names))
        kinds = f": labels {said}" if len(names) > 1 else f": label {said}" if names else ""
        cut = self.cut()
        if image is None or labels is None or layers.misfit(image, labels) or cut is None:
            return f"{_count(len(rows), 'example')}{kinds}"
        if cut.axis is None:
            return f"{_count(len(rows), 'labelled image')}{kinds}"
        along = " and ".join(
            layers.axis_names(labels, self._viewer.dims.axis_labels)[a] for a in cut.others
        )
        total = self._painted.count(labels, cut)
        of = "" if total <= MOST else f", {MOST} of them taken"
        return f"{_count(total, 'labelled slice')} found along {along}{of}{kinds}"

    def _on_pause(self) -> None:
        self._scan()

    def _on_picked(self) -> None:
        self._picked = True
        self._scan()

    def _on_table_changed(self) -> None:
        self._say()
        self.changed.emit()

    def _on_selected(self) -> None:
        some = bool(self.table.selectedItems())
        for button in (self.remove, self.up, self.down):
            button.setEnabled(some)
        self.look.setEnabled(self.table.count() > 0)
        self.save.setEnabled(bool(self.table.ticked()))
        self.add.setEnabled(not layers.misfit(self.image.layer, self.labels.layer))

    def _on_double_clicked(self) -> None:
        """Go to the slice of the example."""
        row = self.table.current()
        if row is not None and isinstance(row.example, LayerExample):
            example = row.example
            layers.go_to(self._viewer, example.labels, example.cut, example.position)

    def _on_add(self) -> None:
        image, labels = self.image.layer, self.labels.layer
        if layers.misfit(image, labels):
            return
        assert image is not None
        assert labels is not None
        cut = layers.displayed_cut(labels, self._viewer.dims.order)
        where = layers.position(labels, cut, self._viewer.dims.point)
        self.add_examples([self._painted.example(image, labels, cut, where)])

    def _on_removed(self, key: Any) -> None:
        self._dismissed.add(key)
        self._own.discard(key)

    def _on_up(self) -> None:
        self.table.move_selected(-1)

    def _on_down(self) -> None:
        self.table.move_selected(1)

    def _on_look(self) -> None:
        row = self.table.current()
        if row is not None:
            self.look_wanted.emit(row.example)

    def _on_reading_failed(self, error: Exception) -> None:
        for each in self._scanning.values():
            self._painted.note(each, {})
        self._scanning = {}
        self._say()
        self.changed.emit()
        self.failed.emit(error)

    def _on_files(self, paths: Sequence[str]) -> None:
        tasks = [path for path in paths if path.lower().endswith(".iclsam")]
        for path in tasks:
            self.task_dropped.emit(path)
        rest = [path for path in paths if path not in tasks]
        if rest:
            self.opener.start(partial(open_pairs_steps, rest))

    def _on_files_read(self, pairs: tuple[FilePair, ...]) -> None:
        self.add_examples(FileExample(pair.name, pair.image, pair.labels) for pair in pairs)


def _button(text: str, tooltip: str) -> QToolButton:
    button = QToolButton(text=text, toolTip=f"<p>{tooltip}</p>")
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
    return button


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
