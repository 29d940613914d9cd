"""One control for each field of the settings, built from their description."""

from __future__ import annotations

from typing import Any, TypeAlias

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_iclsam._qt.forms.elided_combo import ElidedCombo
from napari_iclsam._qt.forms.form_rows import form_rows
from napari_iclsam.core.settings import Description, Settings, describe

TITLES = {
    "mode": "Method",
    "channel": "Color channel",
    "icl_guidance": "In-context guidance",
    "sam_guidance": "SAM guidance",
    "coarse_to_fine": "Coarse to fine",
    "tile": "Tiles",
    "use_sam": "Refine with SAM",
    "mask_prompt": "Give SAM the mask",
    "cross_validate": "Cross-validate",
    "fine_tune": "Fine-tune",
    "interpolate_slices": "Interpolate slices",
    "tta_flips": "Mirrored copies",
    "max_examples": "Examples at most",
    "min_component": "Smallest component",
    "max_boxes": "Boxes at most",
    "probe_cells": "Confidence cells",
    "seed": "Random seed",
}
"""What the form calls the fields of the settings."""

_AUTOMATIC = {"auto": "Automatic"}

CHOICES: dict[str, dict[str, str]] = {
    "mode": {**_AUTOMATIC, "paper": "As published"},
    "channel": {"luminance": "Brightness", "red": "Red", "green": "Green", "blue": "Blue"},
    "tile": {**_AUTOMATIC, "off": "None: whole images"},
}
"""What the form calls the values of settings; sizes in pixels are their numbers."""

Control: TypeAlias = QCheckBox | QComboBox | QSpinBox | QDoubleSpinBox


class SettingsPanel(QWidget):
    """A form of `Settings`. What it shows is always valid.

    Attributes
    ----------
    changed : Signal()
        The user changed a value.
    controls : dict of str to QWidget
        By name of the field.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controls: dict[str, Control] = {}
        form = form_rows(self)
        for name, description in describe().items():
            control = _control(name, description)
            tooltip = _tooltip(name, description)
            control.setToolTip(tooltip)
            control.setAccessibleName(TITLES[name])
            self.controls[name] = control
            form.addRow(TITLES[name], control)
            form.labelForField(control).setToolTip(tooltip)
            _changed_signal(control).connect(self._on_changed)
        self.reset = QPushButton(
            "Reset to defaults", toolTip="Set all of these back to what they are at first."
        )
        self.reset.clicked.connect(self._on_reset_clicked)
        form.addRow(self.reset)
        self.show_settings(Settings())

    def settings(self) -> Settings:
        """Return what the form shows."""
        return Settings(**{name: _value(control) for name, control in self.controls.items()})

    def show_settings(self, settings: Settings) -> None:
        """Show settings, without a signal."""
        for name, control in self.controls.items():
            with QSignalBlocker(control):
                _show(control, getattr(settings, name))
        self._update_reset()

    def _on_changed(self) -> None:
        self._update_reset()
        self.changed.emit()

    def _on_reset_clicked(self) -> None:
        self.show_settings(Settings())
        self.changed.emit()

    def _update_reset(self) -> None:
        self.reset.setEnabled(self.settings() != Settings())


def _tooltip(name: str, description: Description) -> str:
    """Return what a setting does; its name and values in programs come last."""
    said = f"<code>{name}</code>"
    words = CHOICES.get(name, {})
    if words:
        values = [f"<code>{value}</code> {word}" for value, word in words.items()]
        said += f": {', '.join(values)}"
    return f"<p>{description.text}</p><p>{said}</p>"


def _control(name: str, description: Description) -> Control:
    """Return the control of a setting."""
    if description.choices:
        combo = ElidedCombo()
        for choice in description.choices:
            combo.addItem(CHOICES[name].get(choice, f"{choice} pixels"), choice)
        return combo
    if description.kind is bool:
        return QCheckBox()
    return _spin_box(description)


def _spin_box(description: Description) -> QSpinBox | QDoubleSpinBox:
    limits = description.limits
    whole = description.kind is int
    spin = QSpinBox() if whole else QDoubleSpinBox()
    if limits is not None:
        # Qt takes no fractions for a box of whole numbers
        number = int if whole else float
        spin.setRange(number(limits.low), number(limits.high))
        spin.setSingleStep(number(limits.step))
    return spin


def _changed_signal(control: Control) -> Any:
    if isinstance(control, QComboBox):
        return control.currentTextChanged
    return control.toggled if isinstance(control, QCheckBox) else control.valueChanged


def _value(control: Control) -> Any:
    if isinstance(control, QComboBox):
        return control.currentData()
    return control.isChecked() if isinstance(control, QCheckBox) else control.value()


def _show(control: Control, value: Any) -> None:
    if isinstance(control, QComboBox):
        control.setCurrentIndex(control.findData(value))
    elif isinstance(control, QCheckBox):
        control.setChecked(value)
    else:
        control.setValue(value)
