"""A table of results as a model of Qt: what each cell shows, in the order that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_threestage.results_rows import Table
from napari_threestage.widgets.controls import swatch

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

SMALL_ROLE = int(Qt.ItemDataRole.UserRole) + 1


class ResultsModel(QAbstractTableModel):
    """The rows of a table, in the order that a person asked for."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = Table([], [])
        self._order: list[int] = []
        self._icons: list[Any] = []

    def show_table(self, table: Table) -> None:
        """Show another table."""
        self.beginResetModel()
        self.table, self._order = table, list(range(len(table.rows)))
        self._icons = [None if one is None else swatch(one) for one in table.colours]
        self.endResetModel()

    def place(self, row: int) -> int:
        """Return which row of the table a row that is shown is."""
        return self._order[row]

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of rows."""
        return len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return len(self.table.columns)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        """Return the title of a column and what it means."""
        if orientation != Qt.Orientation.Horizontal or section >= len(self.table.columns):
            return None
        column = self.table.columns[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.tip or None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return side_of(column.left)
        return column.title if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Return what a cell shows."""
        at, column = self._order[index.row()], self.table.columns[index.column()]
        value = self.table.rows[at][index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(value)
        if role == SMALL_ROLE:
            return column.small(value)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return side_of(column.left)
        if role == Qt.ItemDataRole.DecorationRole and not index.column() and self._icons:
            return self._icons[at]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.table.tip(at) if self.table.tip is not None else self.cell(index)
        return None

    def cell(self, index: QModelIndex) -> str:
        """Return all of a cell as text."""
        small = index.data(SMALL_ROLE)
        return f"{index.data()} ({small})" if small else str(index.data())

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column, what has no value last; -1: as the table has it."""
        everything = range(len(self.table.rows))
        pinned = everything[: self.table.pinned]
        rest = list(everything[self.table.pinned :])
        self.beginResetModel()
        if 0 <= column < len(self.table.columns):
            key = self.table.columns[column].order
            values = {at: key(self.table.rows[at][column]) for at in rest}
            known = [at for at in rest if values[at] is not None]
            known.sort(key=lambda at: values[at], reverse=order == Qt.SortOrder.DescendingOrder)
            rest = [*known, *(at for at in rest if values[at] is None)]
        self._order = [*pinned, *rest]
        self.endResetModel()


def side_of(left: bool) -> Any:
    """Return where words (left) and numbers stand in a cell."""
    side = Qt.AlignmentFlag.AlignLeft if left else Qt.AlignmentFlag.AlignRight
    return side | Qt.AlignmentFlag.AlignVCenter
