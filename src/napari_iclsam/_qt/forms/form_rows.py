"""The layout of all forms of the dock: a label, and a field as wide as there is room."""

from __future__ import annotations

from qtpy.QtWidgets import QFormLayout, QWidget


def form_rows(parent: QWidget) -> QFormLayout:
    """Lay out a widget as a form, without rows yet."""
    form = QFormLayout(parent)
    form.setContentsMargins(4, 0, 4, 0)
    form.setSpacing(3)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form
