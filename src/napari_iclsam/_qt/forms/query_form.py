"""What to segment: which slices of which image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from napari.layers import Layer
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QSpinBox,
    QWidget,
)

from napari_iclsam._qt.forms.elided_combo import ELIDED, ElidedCombo
from napari_iclsam._qt.forms.form_rows import form_rows
from napari_iclsam._qt.forms.layer_combo import LayerCombo
from napari_iclsam._qt.forms.wrapped_label import WrappedLabel
from napari_iclsam._qt.viewer.slice_stacks import Position, SliceOrientation
from napari_iclsam.core.images.windows import Window

Scope = Literal["rest", "all", "current", "range", "layers"]

SCOPES: dict[Scope, str] = {
    "rest": "Rest of the stack",
    "all": "Whole stack",
    "range": "Range of slices",
    "current": "Current slice",
    "layers": "Other images",
}

_OF_STACKS = ("rest", "all", "range")
"""Scopes that a single image has not."""


@dataclass(frozen=True, slots=True)
class ImageAxes:
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
        """Whether it is one slice."""
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
        self._axes: ImageAxes | None = None
        self._layers: list[Layer] = []
        self._ticks_are_chosen = False
        self._make_controls()
        self._lay_out()
        self.scope.activated.connect(self._on_chosen)
        self.axis.activated.connect(self._on_axis_chosen)
        self.further.activated.connect(self._on_chosen)
        self.first.valueChanged.connect(self._on_first_changed)
        self.last.valueChanged.connect(self._on_last_changed)
        self.others.itemChanged.connect(self._on_ticked)

    def _make_controls(self) -> None:
        self.image = LayerCombo("The image to segment.")
        self.scope = ElidedCombo("Which slices to segment.")
        for key, text in SCOPES.items():
            self.scope.addItem(text, key)
        self.axis = ElidedCombo(
            "<p>The axis that slices are stacked along. Examples may lie along another.</p>"
        )
        self.first = QSpinBox(toolTip="First slice")
        self.last = QSpinBox(toolTip="Last slice, included")
        self.further = ElidedCombo(
            "<p>What to do along the axes that are neither in a slice nor stacked.</p>"
        )
        self.others = QListWidget(
            toolTip="<p>Tick the images to segment. Each gets a result of its own.</p>"
        )
        self.others.setMaximumHeight(96)
        self.others.setTextElideMode(ELIDED)
        self.others.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.as_shown = QCheckBox(
            "Grey values as shown",
            toolTip="<p>Take black and white from the contrast limits of each layer, for examples "
            "and images alike. Otherwise each image is scaled by its own values.</p>",
        )
        self.window = WrappedLabel()
        self.level = WrappedLabel()

    def _lay_out(self) -> None:
        for spin in (self.first, self.last):
            spin.setMinimumWidth(74)
        self._range = QWidget()
        span = QHBoxLayout(self._range)
        span.setContentsMargins(0, 0, 0, 0)
        span.setSpacing(3)
        span.addWidget(self.first, 1)
        span.addWidget(QLabel("to"))
        span.addWidget(self.last, 1)
        self._form = form_rows(self)
        self._form.addRow("Image", self.image)
        self._form.addRow("Segment", self.scope)
        self._form.addRow("Along", self.axis)
        self._form.addRow("Slices", self._range)
        self._form.addRow("Others", self.further)
        self._form.addRow(self.others)
        self._form.addRow(self.as_shown)
        self._form.addRow(self.window)
        self._form.addRow(self.level)
        # an empty label takes a line
        self.level.hide()

    @property
    def chosen(self) -> Scope:
        """The scope."""
        scope: Scope = self.scope.currentData()
        return scope

    def choose(self, scope: Scope) -> None:
        """Choose a scope, without a signal."""
        with QSignalBlocker(self.scope):
            self.scope.setCurrentIndex(_row_of(scope))
        self._update()

    def choose_range(self, first: int, last: int) -> None:
        """Choose a range of slices, both included, without a signal."""
        self.choose("range")
        for spin, value in ((self.first, first), (self.last, last)):
            with QSignalBlocker(spin):
                spin.setRange(0, max(last, spin.maximum()))
                spin.setValue(value)

    def show_image(self, axes: ImageAxes | None, axis: int | None = None) -> None:
        """Show an image, stacked along an axis; by default along the one that was chosen."""
        is_other = axes is None or axes != self._axes
        self._axes = axes
        if is_other or axis is not None:
            self._show_axes(axis)
        self._update()

    def show_window(self, window: Window | None) -> None:
        """Show the grey values of an opened task, which hold in place of the user's choice."""
        self.as_shown.setVisible(window is None)
        self.window.setVisible(window is not None)
        if window is not None:
            self.window.setText(
                f"Grey values: {window.low:g} is black, {window.high:g} is white, as in the opened "
                "task."
            )

    def show_level(self, text: str) -> None:
        """Show which level of a multiscale image is taken."""
        self.level.setText(text)
        self.level.setVisible(bool(text))

    def offer(self, layers: Sequence[Layer], ticked: Collection[Layer] = ()) -> None:
        """Offer other image layers, some of them ticked; what the user ticked stays as it is."""
        wanted = list(ticked)
        if self._ticks_are_chosen:
            # images that were opened since are ticked as if nothing had been chosen
            new = [layer for layer in wanted if layer not in self._layers]
            wanted = self.ticked_layers() + new
        self._layers = list(layers)
        with QSignalBlocker(self.others):
            self.others.clear()
            for layer in self._layers:
                item = QListWidgetItem(layer.name)
                item.setToolTip(layer.name)
                is_ticked = layer in wanted
                item.setCheckState(Qt.CheckState.Checked if is_ticked else Qt.CheckState.Unchecked)
                self.others.addItem(item)
        self._update()

    def ticked_layers(self) -> list[Layer]:
        """Return the other layers to segment."""
        ticked = []
        for place, layer in enumerate(self._layers):
            if self.others.item(place).checkState() == Qt.CheckState.Checked:
                ticked.append(layer)
        return ticked

    def orientation(self) -> SliceOrientation | None:
        """Return the orientation of the slices to segment; None without an image."""
        if self._axes is None:
            return None
        if self._axes.is_flat:
            return SliceOrientation.of_last_axes(2)
        return SliceOrientation.stacked_along(len(self._axes.shape), self.axis.currentIndex())

    def positions(
        self, orientation: SliceOrientation, shown: Position, examples: Collection[Position] = ()
    ) -> list[Position]:
        """Return the slices to segment.

        Parameters
        ----------
        orientation : SliceOrientation
        shown : Position
            The slice that the viewer shows.
        examples : collection of Position
            What "rest" leaves out.
        """
        assert self._axes is not None
        if self.chosen == "current" or not orientation.stack_axes:
            # the position of a single image is empty
            return [shown]
        wanted = []
        for position in orientation.positions(self._axes.shape):
            if self._is_in_scope(position, shown) and not (
                self.chosen == "rest" and position in examples
            ):
                wanted.append(position)
        return wanted

    def _is_in_scope(self, position: Position, shown: Position) -> bool:
        """Return whether a slice lies in the range, and along further axes where it must."""
        is_held = self.further.currentData() == "held"
        if is_held and position[:-1] != shown[:-1]:
            return False
        if self.chosen == "range":
            return bool(self.first.value() <= position[-1] <= self.last.value())
        return True

    def _show_axes(self, axis: int | None) -> None:
        axes = self._axes
        before = self.axis.currentIndex()
        with QSignalBlocker(self.axis):
            self.axis.clear()
            if axes is not None and not axes.is_flat:
                for name, size in zip(axes.names, axes.shape, strict=True):
                    self.axis.addItem(f"{name} ({size} slices)")
                if axis is None:
                    stays = 0 <= before < len(axes.shape)
                    axis = before if stays else len(axes.shape) - 3
                self.axis.setCurrentIndex(axis)
        self._show_range()

    def _show_range(self) -> None:
        orientation = self.orientation()
        if self._axes is None or orientation is None or orientation.axis is None:
            return
        last = self._axes.shape[orientation.axis] - 1
        for spin, value in ((self.first, 0), (self.last, last)):
            with QSignalBlocker(spin):
                spin.setRange(0, last)
                spin.setValue(value)
        names = ", ".join(self._axes.names[axis] for axis in orientation.stack_axes[:-1])
        before = self.further.currentIndex()
        with QSignalBlocker(self.further):
            self.further.clear()
            self.further.addItem(f"{names}: as shown now", "held")
            self.further.addItem(f"{names}: all of them", "all")
            # nothing was chosen before the first image
            self.further.setCurrentIndex(max(before, 0))

    def _update(self) -> None:
        """Show what belongs to the scope, disable what is impossible."""
        is_flat = self._axes is None or self._axes.is_flat
        self._allow_scopes(is_flat=is_flat)
        if is_flat and self.chosen in _OF_STACKS:
            with QSignalBlocker(self.scope):
                self.scope.setCurrentIndex(_row_of("current"))
        current = "This image" if is_flat else SCOPES["current"]
        self.scope.setItemText(_row_of("current"), current)
        scope = self.chosen
        is_of_stack = not is_flat and scope in _OF_STACKS
        has_further = self._axes is not None and len(self._axes.shape) > 3
        self._set_visible(self.image, visible=scope != "layers")
        self._set_visible(self.axis, visible=is_of_stack)
        self._set_visible(self._range, visible=is_of_stack and scope == "range")
        if is_of_stack and self._axes is not None:
            name = self._axes.names[self.axis.currentIndex()]
            self._form.labelForField(self._range).setText(f"{name} from")
        self._set_visible(self.further, visible=is_of_stack and has_further)
        self.others.setVisible(scope == "layers")

    def _allow_scopes(self, *, is_flat: bool) -> None:
        model = self.scope.model()
        for row, scope in enumerate(SCOPES):
            reason = ""
            if scope == "layers" and not self._layers:
                reason = "There is no other image."
            elif scope in _OF_STACKS and is_flat:
                reason = "The image is a single plane."
            model.item(row).setEnabled(not reason)
            model.item(row).setToolTip(reason)

    def _set_visible(self, field: QWidget, *, visible: bool) -> None:
        field.setVisible(visible)
        self._form.labelForField(field).setVisible(visible)

    def _on_chosen(self) -> None:
        self._update()
        self.changed.emit()

    def _on_ticked(self) -> None:
        self._ticks_are_chosen = True
        self._on_chosen()

    def _on_axis_chosen(self) -> None:
        self._show_range()
        self._on_chosen()

    def _on_first_changed(self, value: int) -> None:
        # the range is never empty
        self.last.setMinimum(value)
        self.changed.emit()

    def _on_last_changed(self, value: int) -> None:
        self.first.setMaximum(value)
        self.changed.emit()


def _row_of(scope: Scope) -> int:
    return list(SCOPES).index(scope)
