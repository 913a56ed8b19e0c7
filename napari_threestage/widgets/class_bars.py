"""How much of each class is labelled, as bars in the colours of the classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QRect, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPaintEvent

LINE = 18
NAME_SHARE = 0.42
COUNT_WIDTH = 66
GAP = 4


class ClassBars(QWidget):
    """A line a class: name, bar, labelled pixels. The bars are logarithmic: rare classes matter."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("class_bars")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._entries: list[tuple[str, tuple[int, int, int], int]] = []

    @property
    def entries(self) -> list[tuple[str, tuple[int, int, int], int]]:
        """Name, colour and labelled pixels of each class."""
        return self._entries

    def show_counts(self, entries: Sequence[tuple[str, tuple[int, int, int], int]]) -> None:
        """Show the labelled pixels of each class."""
        self._entries = list(entries)
        self.setAccessibleName("; ".join(_sentence(entry, 0) for entry in self._entries))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Room for all classes."""
        return QSize(200, LINE * len(self._entries))

    def event(self, event: QEvent | None) -> bool:
        """Tell the whole name and the share of a class where its line is elided."""
        if event is not None and event.type() == QEvent.Type.ToolTip:
            place = event.pos().y() // LINE
            if 0 <= place < len(self._entries):
                total = sum(count for _, _, count in self._entries)
                QToolTip.showText(event.globalPos(), _sentence(self._entries[place], total), self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        largest = max((count for _, _, count in self._entries), default=0)
        for place, (name, colour, count) in enumerate(self._entries):
            self._draw(painter, place * LINE, name, QColor(*colour), (count, largest))
        painter.end()

    def _draw(
        self, painter: QPainter, top: int, name: str, colour: QColor, counts: tuple[int, int]
    ) -> None:
        count, largest = counts
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        names = int(self.width() * NAME_SHARE)
        metrics = painter.fontMetrics()
        middle = int(Qt.AlignmentFlag.AlignVCenter)
        painter.setPen(ink)
        shown = metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, names - 2 * GAP)
        painter.drawText(QRect(GAP, top, names, LINE), middle, shown)
        room = self.width() - names - COUNT_WIDTH
        length = round(room * math.log1p(count) / math.log1p(largest)) if count else 0
        painter.setPen(QColor(128, 128, 128, 120))
        painter.setBrush(colour)
        if length:
            painter.drawRoundedRect(names, top + 4, max(3, length), LINE - 8, 2, 2)
        painter.setPen(ink)
        right = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight)
        place = QRect(self.width() - COUNT_WIDTH, top, COUNT_WIDTH - GAP, LINE)
        painter.drawText(place, right, short_number(count) if count else "none")


def short_number(count: int) -> str:
    """Return 12345 as ``12.3 k``."""
    for size, sign in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {sign}"
    return str(count)


def _sentence(entry: tuple[str, tuple[int, int, int], int], total: int) -> str:
    name, _, count = entry
    share = f" ({100 * count / total:.2g} % of all)" if total and count else ""
    return f"{name}: {count:,} labelled pixels{share}"
