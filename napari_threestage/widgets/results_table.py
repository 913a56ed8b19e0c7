"""A table of results: sorted by a click, copied with Ctrl+C, intervals below their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, QRect, QSize, Qt, Signal
from qtpy.QtGui import QAction, QFont, QFontMetrics, QKeySequence, QPainter, QPalette
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from napari_threestage.widgets.controls import SWATCH
from napari_threestage.widgets.results_model import SMALL_ROLE, ResultsModel, side_of

if TYPE_CHECKING:
    from qtpy.QtGui import QKeyEvent, QResizeEvent

    from napari_threestage.results_rows import Table

LINE, TWO_LINES = 22, 36
PAD = 5
FAINT = 150  # of 255
SMALLER = 0.85  # than other text, the ends of an interval
NAME_LEAST = 84
NAME_SHARE = 0.45  # of the room that it shares with words at the end
STYLE = f"QTableView::item{{padding:0 {PAD}px}} QHeaderView::section{{padding:3px {PAD}px}}"
MOST_ROWS, MOST_IMAGES = 45, 12  # before the table scrolls by itself


class _TwoLines(QStyledItemDelegate):
    """Draws a value with what is said of it in small letters below."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        small = index.data(SMALL_ROLE)
        if not small:
            super().paint(painter, option, index)
            return
        cell = QStyleOptionViewItem(option)
        self.initStyleOption(cell, index)
        cell.text = ""
        style = cell.widget.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, cell, painter, cell.widget)
        selected = bool(cell.state & QStyle.StateFlag.State_Selected)
        role = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.Text
        ink = cell.palette.color(role)
        area = cell.rect.adjusted(PAD, 2, -PAD, -2)
        upper, lower = QRect(area), QRect(area)
        upper.setBottom(area.center().y())
        lower.setTop(area.center().y() + 1)
        painter.save()
        painter.setPen(ink)
        painter.drawText(upper, side_of(False), str(index.data()))
        ink.setAlpha(FAINT)
        painter.setPen(ink)
        painter.setFont(_smaller(cell.font))
        painter.drawText(lower, side_of(False), small)
        painter.restore()


class ResultsTable(QTableView):
    """Shows a table in all its height, or a good part of a long one."""

    opened = Signal(str, object)  # an image, and the place in it or None

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.rows = ResultsModel(self)
        self.setModel(self.rows)
        self.setItemDelegate(_TwoLines(self))
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setShowGrid(False)
        self.setStyleSheet(STYLE)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setIconSize(QSize(SWATCH, SWATCH))
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setMinimumSectionSize(36)
        header.setHighlightSections(False)
        header.setSortIndicatorClearable(True)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self._widths: list[int] = []
        self._offer_copying()
        self.clicked.connect(self._open)
        self.activated.connect(self._open)

    def _offer_copying(self) -> None:
        for text, whole in (("Copy\tCtrl+C", False), ("Copy all", True)):
            action = QAction(text, self)
            action.triggered.connect(lambda checked=False, whole=whole: self.copy(whole))
            self.addAction(action)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Copy all that is chosen; Qt would copy one cell."""
        if event is not None and event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def show_table(self, table: Table) -> None:
        """Show another table, in its own order."""
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.rows.show_table(table)
        images = table.target is not None
        behaviour = QAbstractItemView.SelectionBehavior
        self.setSelectionBehavior(behaviour.SelectRows if images else behaviour.SelectItems)
        self.setCursor(Qt.CursorShape.PointingHandCursor if images else Qt.CursorShape.ArrowCursor)
        two = any(
            column.small(row[at])
            for row in table.rows[:MOST_ROWS]
            for at, column in enumerate(table.columns)
        )
        self.verticalHeader().setDefaultSectionSize(TWO_LINES if two else LINE)
        self._widths = [self._wanted(place) for place in range(len(table.columns))]
        self._fit()

    def copy(self, whole: bool = False) -> None:
        """Put the chosen cells, or all with their titles, where other programs paste from."""
        chosen = [] if whole else self.selectedIndexes()
        columns = self.rows.table.columns
        lines = {}
        if not chosen:
            lines[-1] = [column.title.replace("\n", " ") for column in columns]
            rows, count = range(self.rows.rowCount()), range(len(columns))
            chosen = [self.rows.index(row, column) for row in rows for column in count]
        for index in sorted(chosen):
            lines.setdefault(index.row(), []).append(self.rows.cell(index))
        text = "\n".join("\t".join(lines[row]) for row in sorted(lines))
        QApplication.clipboard().setText(text)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Give the first column the room that is left."""
        super().resizeEvent(event)
        self._fit()

    def _wanted(self, place: int) -> int:
        """Return the width of a column that shows all of the first rows."""
        table = self.rows.table
        column, values = table.columns[place], [row[place] for row in table.rows[:MOST_ROWS]]
        icon = self.iconSize().width() + PAD if not place and table.colours else 0
        small = QFontMetrics(_smaller(self.font()))
        texts = (
            (self.horizontalHeader().fontMetrics(), column.title.split("\n")),
            (self.fontMetrics(), map(column.text, values)),
            (small, map(column.small, values)),
        )
        widths = (metrics.horizontalAdvance(text) for metrics, each in texts for text in each)
        ours = any(map(column.small, values))  # Qt leaves more room around what it draws
        return icon + max(widths) + (3 if ours else 4) * PAD

    def _fit(self) -> None:
        """Give the first column the room that the numbers leave, or share it with the last."""
        columns, room = self.rows.table.columns, self.viewport().width()
        if not columns:
            return
        words = columns[-1].left
        for place, width in enumerate(self._widths):
            self.setColumnWidth(place, width)
        left = room - sum(self._widths[1 : len(columns) - words])
        if words:
            spare = left - self._widths[-1]  # what the last column does not need
            first = min(self._widths[0], max(spare, round(NAME_SHARE * left)))
        else:
            first = left
        self.setColumnWidth(0, max(NAME_LEAST, first))
        if words:
            self.setColumnWidth(len(columns) - 1, max(NAME_LEAST, left - self.columnWidth(0)))
        scrolls = sum(map(self.columnWidth, range(len(columns)))) > room
        policy = Qt.ScrollBarPolicy
        bar = policy.ScrollBarAlwaysOn if scrolls else policy.ScrollBarAlwaysOff
        self.setHorizontalScrollBarPolicy(bar)
        self._set_height(scrolls)

    def _set_height(self, scrolls: bool) -> None:
        table = self.rows.table
        rows = min(len(table.rows), MOST_ROWS if table.target is None else MOST_IMAGES)
        height = rows * self.verticalHeader().defaultSectionSize() + 2 * self.frameWidth()
        height += self.horizontalHeader().sizeHint().height()
        height += self.horizontalScrollBar().sizeHint().height() if scrolls else 0
        self.setFixedHeight(height)

    def _open(self, index: QModelIndex) -> None:
        target = self.rows.table.target
        if target is not None:
            self.opened.emit(*target(self.rows.place(index.row())))


def _smaller(font: QFont) -> QFont:
    made = QFont(font)
    if font.pixelSize() > 0:
        made.setPixelSize(max(8, round(font.pixelSize() * SMALLER)))
    else:
        made.setPointSizeF(max(6.0, font.pointSizeF() * SMALLER))
    return made
