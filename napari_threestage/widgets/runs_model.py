"""The runs of a project as a table: pinned and named in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QBrush, QColor, QFont, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QStyledItemDelegate,
    QTableView,
    QWidget,
)

from napari_threestage.memory_estimate import memory_text
from napari_threestage.widgets.controls import LEVEL_COLOURS, LEVEL_MARKS
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.runs_text import (
    PIN,
    labels_text,
    reasons,
    score_text,
    stages_text,
    state_text,
    title,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.run_upkeep import RunRow
    from napari_threestage.widgets.session import Session

PINNED, NAME, STATE, STAGES, SCORE, LABELS, SIZE = range(7)
TITLES = ("", "Run", "State", "Stages", "mIoU", "Learned from", "Size")
TITLE_TIPS = (
    "Click to pin a run: a pinned one cannot be deleted",
    "Double-click or press F2 to name a run; without a name it has its time (UTC) and preset",
    "How far it is; out of date: labels or classes have changed since",
    "Stages that are finished",
    "Score of the last stage: on validation images, or else on the labels it learned from",
    "Labelled images, and their labelled pixels",
    "Space on the disk",
)
WIDTHS = {PINNED: 28, STATE: 166, STAGES: 76, SCORE: 130, LABELS: 140, SIZE: 68}
TEXTS: dict[int, Callable[[RunRow], str]] = {
    PINNED: lambda row: PIN if row.pinned else "☆",
    NAME: title,
    STATE: state_text,
    STAGES: stages_text,
    SCORE: score_text,
    LABELS: labels_text,
    SIZE: lambda row: memory_text(row.bytes),
}
GREY = "#80868e"  # as notes are
ROW_HEIGHT = 24
MARK = 14


class RunsModel(QAbstractTableModel):
    """The rows of the session's runs.

    Rows come and go one by one, so that a selection, and a name that is being typed, stay.
    """

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._runs = session, session.runs.all
        self.rows: list[RunRow] = []
        self._shown = ""
        listen(self, (self._runs.changed, self.refresh), (session.runs.changed, self.refresh))
        self.refresh()

    def refresh(self) -> None:
        """Show the runs as they are known now."""
        rows, before = self._runs.rows, self._shown
        run = self._session.runs.run
        self._shown = run.id if run is not None else ""
        self._remove({row.run for row in rows})
        for place, row in enumerate(rows):
            if place == len(self.rows) or self.rows[place].run != row.run:
                self.beginInsertRows(QModelIndex(), place, place)
                self.rows.insert(place, row)
                self.endInsertRows()
            elif self.rows[place] != row or row.run in (before, self._shown):
                self.rows[place] = row
                self.dataChanged.emit(self.index(place, 0), self.index(place, SIZE))

    def _remove(self, kept: set[str]) -> None:
        for place in reversed(range(len(self.rows))):
            if self.rows[place].run not in kept:
                self.beginRemoveRows(QModelIndex(), place, place)
                del self.rows[place]
                self.endRemoveRows()

    def toggle_pin(self, index: QModelIndex) -> None:
        """Pin a run, or take the pin away, where its star is clicked."""
        if index.column() == PINNED:
            row = self.rows[index.row()]
            self._runs.note(row.run, pinned=not row.pinned)

    # --- Qt -----------------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of runs."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return len(TITLES)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the titles."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _aligned(section)
        texts = {Qt.ItemDataRole.DisplayRole: TITLES, Qt.ItemDataRole.ToolTipRole: TITLE_TIPS}
        return texts[role][section] if role in texts else None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Names can be edited where the project can."""
        flags = super().flags(index)
        if index.column() == NAME and self._session.writable:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return TEXTS[column](row)
        if role == Qt.ItemDataRole.EditRole and column == NAME:
            return row.name
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _aligned(column)
        if role == Qt.ItemDataRole.ForegroundRole:
            return _brush(row, column)
        if role == Qt.ItemDataRole.DecorationRole and column == STATE and row.stale:
            return stale_icon()
        if role == Qt.ItemDataRole.FontRole and column == NAME and row.run == self._shown:
            font = QFont()
            font.setBold(True)
            return font
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Name a run; an empty name takes the name away."""
        row, name = self.rows[index.row()], str(value).strip()
        if role != Qt.ItemDataRole.EditRole or name == row.name:
            return False
        self._runs.note(row.run, name=name)
        return True

    def _tip(self, row: RunRow, column: int) -> str:
        if column == NAME:
            shown = "\nShown in the window now" if row.run == self._shown else ""
            return f"{row.run}{shown}\n{TITLE_TIPS[NAME]}"
        if column == STATE and row.stale:
            return reasons(row)
        if column == STAGES and row.kind == "baseline":
            return f"Learned from labels alone, to compare with {self._title(row.baseline_of)}"
        if column == STAGES and row.refreshes is not None:
            return f"Began with the weights of {self._title(row.refreshes)}"
        if column == LABELS:
            return f"{row.labelled_pixels:,} labelled pixels"
        return TITLE_TIPS[column]

    def _title(self, run_id: str | None) -> str:
        found = self._runs.row(run_id)
        return title(found) if found is not None else f"{run_id}, which is deleted"


def stale_icon() -> QIcon:
    """Return the mark of what is out of date, as in messages: read on both themes."""
    pixmap = QPixmap(MARK, MARK)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(LEVEL_COLOURS["warning"]))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.drawEllipse(0, 0, MARK, MARK)
    painter.setPen(Qt.GlobalColor.white)
    font = painter.font()
    font.setBold(True)
    font.setPixelSize(MARK - 3)
    painter.setFont(font)
    painter.drawText(pixmap.rect(), Qt.AlignmentFlag.AlignCenter, LEVEL_MARKS["warning"])
    painter.end()
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)  # which would be tinted
    return icon


def _brush(row: RunRow, column: int) -> QBrush | None:
    if (column == PINNED and not row.pinned) or (column == NAME and not row.name):
        return QBrush(QColor(GREY))
    return None


def _aligned(column: int) -> Qt.AlignmentFlag:
    sides = {SIZE: Qt.AlignmentFlag.AlignRight, PINNED: Qt.AlignmentFlag.AlignHCenter}
    return sides.get(column, Qt.AlignmentFlag.AlignLeft) | Qt.AlignmentFlag.AlignVCenter


class _NameDelegate(QStyledItemDelegate):
    """The field in which a name is typed; what was typed outlives news about the run."""

    def setEditorData(self, editor: QWidget | None, index: QModelIndex) -> None:
        if not (isinstance(editor, QLineEdit) and editor.isModified()):
            super().setEditorData(editor, index)


def runs_table(model: RunsModel) -> QTableView:
    """Return a table of the runs, of which several can be chosen."""
    view = QTableView()
    view.setObjectName("runs_table")
    view.setModel(model)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    view.setEditTriggers(
        QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed
    )
    view.setItemDelegateForColumn(NAME, _NameDelegate(view))
    view.setShowGrid(False)
    view.setWordWrap(False)
    view.setTabKeyNavigation(False)
    view.verticalHeader().hide()
    view.verticalHeader().setMinimumSectionSize(ROW_HEIGHT)
    view.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
    header = view.horizontalHeader()
    header.setMinimumSectionSize(24)
    header.setHighlightSections(False)
    header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
    for section, width in WIDTHS.items():
        header.resizeSection(section, width)
    view.clicked.connect(model.toggle_pin)
    return view
