"""Measurements as a table of Qt: a row an object, sorted by any column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt

from napari_iclsam.core.objects.measure import ObjectTable

_NONE = QModelIndex()

_ROLE = Qt.ItemDataRole


class ObjectTableModel(QAbstractTableModel):
    """A table of measurements."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._names: list[str] = []
        self._columns: list[NDArray[Any]] = []
        # row of the view -> row of the table
        self._order: NDArray[np.intp] = np.zeros(0, np.intp)

    def show_table(self, table: ObjectTable | None) -> None:
        """Show other measurements, or none."""
        self.beginResetModel()
        columns = {} if table is None else dict(table.columns)
        self._names = list(columns)
        self._columns = list(columns.values())
        self._order = np.arange(0 if table is None else len(table))
        self.endResetModel()

    def id_at(self, row: int) -> int:
        """Return the id of the object in a row of the view."""
        return int(self._columns[0][self._order[row]])

    def row_of(self, number: int) -> int | None:
        """Return the row of the view in which an object is; None if there is no such object."""
        if not self._columns:
            return None
        rows = np.flatnonzero(self._columns[0][self._order] == number)
        return int(rows[0]) if len(rows) else None

    def rowCount(self, parent: QModelIndex = _NONE) -> int:
        """Return the number of objects."""
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex = _NONE) -> int:
        """Return the number of measurements."""
        return 0 if parent.isValid() else len(self._names)

    def data(self, index: QModelIndex, role: int = _ROLE.DisplayRole) -> Any:
        """Return the text of a cell."""
        if role == _ROLE.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role != _ROLE.DisplayRole:
            return None
        value = self._columns[index.column()][self._order[index.row()]].item()
        if isinstance(value, int):
            return str(value)
        # an object that does not have a measurement has an empty cell
        return f"{value:.4g}" if value == value else ""  # noqa: PLR0124

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = _ROLE.DisplayRole
    ) -> Any:
        """Return the name of a column."""
        if role != _ROLE.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return self._names[section].replace("_", " ")

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort the rows by a column; objects without the measurement come last."""
        if not 0 <= column < len(self._columns):
            return
        self.layoutAboutToBeChanged.emit()
        values = self._columns[column]
        if order == Qt.SortOrder.DescendingOrder:
            values = -values
        self._order = np.argsort(values, kind="stable")
        self.layoutChanged.emit()
