"""What an import would do: a row for each image, and what the values in the masks mean."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableView, QWidget

from napari_threestage.widgets.controls import LEVEL_COLOURS
from napari_threestage.widgets.import_choice import for_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_threestage.project import LabelClass

COLUMNS = ("Image", "Mask", "Size", "Type", "Ch.", "State")
COLUMN_TIPS = (
    "File of the image",
    "File of its mask, found by name",
    "Width x height (x planes)",
    "Type of the pixel values",
    "Number of channels",
    "What would become of it",
)
STATE = len(COLUMNS) - 1
WIDTHS = {2: 96, 3: 62, 4: 36, 5: 110}
MOST_VALUES = 16  # in the legend


class PreviewModel(QAbstractTableModel):
    """The rows of ``threestage import --preview --json``."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[dict[str, Any]] = []

    def show_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Show other rows, those with a problem first."""
        self.beginResetModel()
        self._rows = sorted(rows, key=lambda one: one["status"] != "problem")
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the titles."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        texts = {Qt.ItemDataRole.DisplayRole: COLUMNS, Qt.ItemDataRole.ToolTipRole: COLUMN_TIPS}
        return texts[role][section] if role in texts else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        one = self._rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return _cells(one)[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            if one["problem"] or one["note"]:
                return for_window(one["problem"] or one["note"])
            return str(one["mask"] or "no mask") if index.column() == 1 else str(one["image"])
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == STATE:
            level = "error" if one["problem"] else "warning" if one["note"] else ""
            return QBrush(QColor(LEVEL_COLOURS[level])) if level else None
        return None


def _cells(one: dict[str, Any]) -> tuple[str, ...]:
    mask = Path(one["mask"]).name if one["mask"] else "–"
    state = "✕ problem" if one["problem"] else ("! " if one["note"] else "") + one["status"]
    channels = str(one["channels"] or "")
    return Path(one["image"]).name, mask, one["shape"], one["dtype"], channels, state


def preview_table(model: PreviewModel) -> QTableView:
    """Return a table of the rows."""
    view = QTableView()
    view.setObjectName("import_preview")
    view.setModel(model)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setShowGrid(False)
    view.setWordWrap(False)
    view.setTabKeyNavigation(False)
    view.verticalHeader().hide()
    view.verticalHeader().setMinimumSectionSize(22)
    view.verticalHeader().setDefaultSectionSize(22)
    header = view.horizontalHeader()
    header.setHighlightSections(False)
    for section in (0, 1):
        header.setSectionResizeMode(section, QHeaderView.ResizeMode.Stretch)
    for section, width in WIDTHS.items():
        header.resizeSection(section, width)
    return view


class Legend(QLabel):
    """What each value of the masks was found to mean, in the colours of the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("import_legend")
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setToolTip("The values that the masks hold, and what each was taken for")
        self.hide()

    def show_values(
        self, values: Sequence[Mapping[str, Any]], classes: Sequence[LabelClass]
    ) -> None:
        """Show the values; nothing when there is no mask."""
        shown = sorted(values, key=lambda one: one["label"] is not None)[:MOST_VALUES]
        order = list(values)
        parts = [_entry(one, classes) for one in order if one in shown]
        if len(values) > len(shown):
            parts.append(f"and {len(values) - len(shown)} more values")
        self.setText("Masks: " + " &nbsp; ".join(parts))
        self.setVisible(bool(values))


def _entry(one: Mapping[str, Any], classes: Sequence[LabelClass]) -> str:
    label, share = one["label"], 100 * float(one["share"])
    percent = f"{share:.0f} %" if share >= 1 else "&lt; 1 %"
    text = f"{escape(str(one['value']))} = {escape(str(one['meaning']))} ({percent})"
    if label is None:
        return f"<span style='color:{LEVEL_COLOURS['error']}'>✕&nbsp;{text}</span>"
    if label == 0 or label > len(classes):
        return f"☐&nbsp;{text}"
    red, green, blue = classes[label - 1].color
    return f"<span style='color:rgb({red},{green},{blue})'>■</span>&nbsp;{text}"
