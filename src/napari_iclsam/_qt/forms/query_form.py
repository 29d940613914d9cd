"""What to segment: which planes of which image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from napari.layers import Layer
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QSpinBox,
    QWidget,
)

from napari_iclsam._qt.forms.layer_combo import LayerCombo, shrinkable
from napari_iclsam._qt.viewer.slice_stacks import Cut, Position

Scope = Literal["rest", "all", "current", "range", "layers"]

SCOPES: dict[Scope, str] = {
    "rest": "Rest of the stack",
    "all": "Whole stack",
    "range": "Range of slices",
    "current": "Current slice",
    "layers": "Other image layers",
}


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """What the form needs to know of an image.

    Attributes
    ----------
    shape : tuple of int
    names : tuple of str
        Of the axes.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def is_flat(self) -> bool:
        """Whether it is one plane."""
        return len(self.shape) == 2


class QueryForm(QWidget):
    """A form: scope, axis, range, what to do with further axes, other layers.

    Attributes
    ----------
    changed : Signal()
        The user chose something else.
    image : LayerCombo
        The image to segment.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stack: Stack | None = None
        self._layers: list[Layer] = []
        self._own_ticks = False
        self.image = LayerCombo("The image to segment.")
        self.scope = QComboBox(toolTip="Which slices to segment.")
        for key, text in SCOPES.items():
            self.scope.addItem(text, key)
        self.axis = QComboBox(
            toolTip="<p>The axis that slices are stacked along. Examples may lie along another.</p>"
        )
        self.first, self.last = (
            QSpinBox(toolTip="First slice"),
            QSpinBox(toolTip="Last slice, included"),
        )
        self.further = QComboBox(
            toolTip="<p>What to do along the axes that are neither in a slice nor stacked.</p>"
        )
        self.others = QListWidget(
            toolTip="<p>Tick the images to segment. Each gets a result of its own.</p>"
        )
        self.others.setMaximumHeight(96)
        self.level = QLabel(wordWrap=True)
        self._lay_out()
        self.scope.activated.connect(self._on_chosen)
        self.axis.activated.connect(self._on_axis)
        self.further.activated.connect(self._on_chosen)
        self.first.valueChanged.connect(self._on_first)
        self.last.valueChanged.connect(self._on_last)
        self.others.itemChanged.connect(self._on_ticked)

    def _lay_out(self) -> None:
        for combo in (self.scope, self.axis, self.further):
            shrinkable(combo)
        for spin in (self.first, self.last):
            spin.setMinimumWidth(74)
        span = QHBoxLayout()
        span.setContentsMargins(0, 0, 0, 0)
        span.setSpacing(3)
        span.addWidget(self.first, 1)
        span.addWidget(QLabel("–"))  # noqa: RUF001
        span.addWidget(self.last, 1)
        self._span = QWidget()
        self._span.setLayout(span)
        self._form = QFormLayout(self)
        self._form.setContentsMargins(4, 0, 4, 0)
        self._form.setSpacing(3)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.addRow("Image", self.image)
        self._form.addRow("Segment", self.scope)
        self._form.addRow("Along", self.axis)
        self._form.addRow("Slices", self._span)
        self._form.addRow("Others", self.further)
        self._form.addRow(self.others)
        self._form.addRow(self.level)

    @property
    def chosen(self) -> Scope:
        """The scope."""
        scope: Scope = self.scope.currentData()
        return scope

    def choose(self, scope: Scope) -> None:
        """Choose a scope, without a signal."""
        with QSignalBlocker(self.scope):
            self.scope.setCurrentIndex(list(SCOPES).index(scope))
        self._update()

    def show_stack(self, stack: Stack | None, axis: int | None = None) -> None:
        """Show an image, stacked along an axis."""
        known = self._stack
        self._stack = stack
        same = (
            known is not None
            and stack is not None
            and known.shape == stack.shape
            and known.names == stack.names
        )
        if not same or axis is not None:
            self._show_axes(axis)
        self._update()

    def show_level(self, text: str) -> None:
        """Say which level of a multiscale image is taken."""
        self.level.setText(text)
        self.level.setVisible(bool(text))

    def offer(self, layers: Sequence[Layer], ticked: Collection[Layer] = ()) -> None:
        """Offer other image layers, some of them ticked; what the user ticked stays as it is."""
        kept = set(self.ticked_layers() if self._own_ticks else ticked)
        self._layers = list(layers)
        with QSignalBlocker(self.others):
            self.others.clear()
            for layer in self._layers:
                item = QListWidgetItem(layer.name)
                item.setCheckState(
                    Qt.CheckState.Checked if layer in kept else Qt.CheckState.Unchecked
                )
                self.others.addItem(item)
        self._update()

    def ticked_layers(self) -> list[Layer]:
        """Return the other layers to segment."""
        pairs = enumerate(self._layers)
        return [
            layer for n, layer in pairs if self.others.item(n).checkState() == Qt.CheckState.Checked
        ]

    def cut(self) -> Cut | None:
        """Return the cut that the form says."""
        if self._stack is None:
            return None
        ndim = len(self._stack.shape)
        return Cut.last(2) if ndim == 2 else Cut.across(ndim, self.axis.currentIndex())

    def positions(
        self, cut: Cut, here: Position, without: Collection[Position] = ()
    ) -> list[Position]:
        """Return the planes to segment.

        Parameters
        ----------
        cut : Cut
        here : Position
            The plane that is shown.
        without : collection of Position
            Examples, which "rest" leaves out.
        """
        assert self._stack is not None
        if self.chosen == "current" or not cut.others:
            return [here]
        every = cut.positions(self._stack.shape)
        if self.further.currentData() == "held":
            every = [p for p in every if p[:-1] == here[:-1]]
        if self.chosen == "range":
            return [p for p in every if self.first.value() <= p[-1] <= self.last.value()]
        if self.chosen == "rest":
            return [p for p in every if p not in set(without)]
        return every

    def _show_axes(self, axis: int | None) -> None:
        stack, known = self._stack, self.axis.currentIndex()
        with QSignalBlocker(self.axis):
            self.axis.clear()
            if stack is not None and not stack.is_flat:
                for name, size in zip(stack.names, stack.shape, strict=True):
                    self.axis.addItem(f"{name} ({size} slices)")
                chosen = (
                    axis
                    if axis is not None
                    else known
                    if 0 <= known < len(stack.shape)
                    else len(stack.shape) - 3
                )
                self.axis.setCurrentIndex(chosen)
        self._show_range()

    def _show_range(self) -> None:
        cut, stack = self.cut(), self._stack
        if stack is None or cut is None or cut.axis is None:
            return
        count = stack.shape[cut.axis]
        for spin, value in ((self.first, 0), (self.last, count - 1)):
            with QSignalBlocker(spin):
                spin.setRange(0, count - 1)
                spin.setValue(value)
        known = self.further.currentIndex()
        with QSignalBlocker(self.further):
            self.further.clear()
            names = ", ".join(stack.names[a] for a in cut.others[:-1])
            self.further.addItem(f"{names}: as shown now", "held")
            self.further.addItem(f"{names}: all of them", "all")
            self.further.setCurrentIndex(max(known, 0))

    def _update(self) -> None:
        """Show what belongs to the scope, disable what cannot be."""
        stack = self._stack
        flat = stack is None or stack.is_flat
        model = self.scope.model()
        for n, key in enumerate(SCOPES):
            possible = bool(self._layers) if key == "layers" else key == "current" or not flat
            model.item(n).setEnabled(possible)
            why = (
                "There is no other image layer."
                if key == "layers"
                else "The image is a single plane."
            )
            model.item(n).setToolTip("" if possible else why)
        if flat and self.chosen in ("rest", "all", "range"):
            with QSignalBlocker(self.scope):
                self.scope.setCurrentIndex(list(SCOPES).index("current"))
        scope = self.chosen
        self.scope.setItemText(
            list(SCOPES).index("current"), "This image" if flat else SCOPES["current"]
        )
        further = not flat and stack is not None and len(stack.shape) > 3
        self._set_visible(self.image, scope != "layers")
        self._set_visible(self.axis, not flat and scope not in ("current", "layers"))
        self._set_visible(self._span, not flat and scope == "range")
        self._set_visible(self.further, further and scope not in ("current", "layers"))
        self.others.setVisible(scope == "layers")

    def _set_visible(self, field: QWidget, visible: bool) -> None:
        field.setVisible(visible)
        self._form.labelForField(field).setVisible(visible)

    def _on_chosen(self) -> None:
        self._update()
        self.changed.emit()

    def _on_ticked(self) -> None:
        self._own_ticks = True
        self._on_chosen()

    def _on_axis(self) -> None:
        self._show_range()
        self._on_chosen()

    def _on_first(self, value: int) -> None:
        self.last.setMinimum(value)
        self.changed.emit()

    def _on_last(self, value: int) -> None:
        self.first.setMaximum(value)
        self.changed.emit()
