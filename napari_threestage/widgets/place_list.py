"""A list of places in images: each with a picture, a name, and why it is worth a look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QObject, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFontMetrics, QPainter, QPalette, QPen
from qtpy.QtWidgets import QListView, QStyle, QStyleOptionViewItem

from napari_threestage.widgets.controls import LEVEL_COLOURS
from napari_threestage.widgets.image_delegate import FAINT, GREEN, PAD, PICTURE, ImageDelegate
from napari_threestage.widgets.image_model import ID_ROLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.compare.places import Place
    from napari_threestage.widgets.session import Session
    from napari_threestage.widgets.thumbnail_loader import ThumbnailLoader

LINES = 3  # one for the name, the others for the reason
LEAST_FRAME = 7  # pixels, of the frame around the place in the picture
DONE_OPACITY = 0.55


@dataclass
class Entry:
    """A row.

    Attributes
    ----------
    reason
        Why the place is worth a look.
    key
        What the entry is called in the project, where it has such a name.
    done
        What became of it; empty as long as it waits.
    """

    image: str
    place: Place
    title: str
    reason: str
    key: str = ""
    pixels: int = 0
    done: str = ""


class PlaceModel(QAbstractListModel):
    """The entries in order."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.entries: list[Entry] = []

    def put(self, entries: Sequence[Entry]) -> None:
        """List these entries in place of all others."""
        self.beginResetModel()
        self.entries = [*entries]
        self.endResetModel()

    def mark(self, row: int, done: str) -> None:
        """Note what became of an entry; empty when it waits again."""
        if self.entries[row].done != done:
            self.entries[row].done = done
            self.dataChanged.emit(self.index(row), self.index(row))

    def next_row(self, row: int, by: int) -> int:
        """Return the next row that waits, before or behind another one; -1 when there is none."""
        end = len(self.entries) if by > 0 else -1
        waiting = (at for at in range(row + by, end, by) if not self.entries[at].done)
        return next(waiting, -1)

    @property
    def waiting(self) -> int:
        """Number of entries that nobody has dealt with."""
        return sum(not entry.done for entry in self.entries)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self.entries)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the title, the id of the image (`ID_ROLE`), or all of the text."""
        if not 0 <= index.row() < len(self.entries):
            return None
        entry = self.entries[index.row()]
        told = [entry.title, entry.reason, *([entry.done] if entry.done else [])]
        return {
            int(Qt.ItemDataRole.DisplayRole): entry.title,
            ID_ROLE: entry.image,
            int(Qt.ItemDataRole.ToolTipRole): "\n".join(told),
            int(Qt.ItemDataRole.AccessibleTextRole): ", ".join(told),
        }.get(int(role))


class PlaceDelegate(ImageDelegate):
    """Draws a row: the picture with the place in it, the name, the reason in two lines."""

    def __init__(self, session: Session, model: PlaceModel, thumbnails: ThumbnailLoader) -> None:
        super().__init__(session, model, thumbnails)
        self._entries = model

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Return the same for all."""
        text = LINES * QFontMetrics(option.font).lineSpacing()
        return QSize(160, max(PICTURE, text) + 2 * PAD)

    def _draw(self, painter: QPainter, row: QStyleOptionViewItem, image_id: str, name: str) -> None:
        entry, area = self._entries.entries[row.index.row()], row.rect
        looked_at = bool(row.state & QStyle.StateFlag.State_Selected)
        if looked_at:
            bar = QRect(area.left(), area.top(), 3, area.height())
            painter.fillRect(bar, QColor(LEVEL_COLOURS["info"]))
        painter.setOpacity(DONE_OPACITY if entry.done else 1)
        picture = QRect(area.left() + PAD + 3, 0, PICTURE, PICTURE)
        picture.moveTop(area.center().y() - PICTURE // 2)
        self._draw_picture(painter, picture, self._thumbnails.get(image_id))
        self._draw_frame(painter, picture, entry)
        text = area.adjusted(PICTURE + 3 * PAD + 3, PAD, -2 * PAD, -PAD)
        self._draw_title(painter, text, entry, row, looked_at)
        faint = row.palette.color(QPalette.ColorRole.Text)
        faint.setAlpha(FAINT)
        painter.setPen(faint)
        spacing = painter.fontMetrics().lineSpacing()
        text.setTop(text.top() + spacing)
        told = entry.done or entry.reason
        for line in wrapped(painter.fontMetrics(), told, text.width(), LINES - 1):
            painter.drawText(text, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, line)
            text.setTop(text.top() + spacing)

    def _draw_frame(self, painter: QPainter, picture: QRect, entry: Entry) -> None:
        """Draw where in the image the place is."""
        project = self._session.project
        if project is None or entry.image not in project.images:
            return
        height, width = project.images[entry.image].label_shape[-2:]
        scale = PICTURE / max(height, width)
        (top, bottom), (left, right) = entry.place.rows, entry.place.columns
        if (bottom - top, right - left) == (height, width):
            return
        corner_x = picture.left() + (PICTURE - width * scale) / 2
        corner_y = picture.top() + (PICTURE - height * scale) / 2
        frame = QRect(
            round(corner_x + left * scale),
            round(corner_y + top * scale),
            max(LEAST_FRAME, round((right - left) * scale)) - 1,
            max(LEAST_FRAME, round((bottom - top) * scale)) - 1,
        )
        for colour, wide in ((QColor(0, 0, 0, 160), 3), (QColor(255, 213, 79), 1)):
            painter.setPen(QPen(colour, wide))  # dark around light: seen on any image
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(frame)

    @staticmethod
    def _draw_title(
        painter: QPainter, text: QRect, entry: Entry, row: QStyleOptionViewItem, bold: bool
    ) -> None:
        line = QRect(text)
        line.setHeight(painter.fontMetrics().lineSpacing())
        font = painter.font()
        if entry.done:
            font.setBold(True)
            painter.setFont(font)
            painter.setPen(GREEN)
            painter.setOpacity(1)
            painter.drawText(line, Qt.AlignmentFlag.AlignRight, "✓")
            painter.setOpacity(DONE_OPACITY)
            line.setRight(line.right() - painter.fontMetrics().horizontalAdvance("✓") - PAD)
        font.setBold(bold)
        painter.setFont(font)
        painter.setPen(row.palette.color(QPalette.ColorRole.Text))
        elide = Qt.TextElideMode.ElideMiddle
        fitted = painter.fontMetrics().elidedText(entry.title, elide, line.width())
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft, fitted)
        font.setBold(False)
        painter.setFont(font)


class PlaceList(QListView):
    """The entries as rows; one of them is looked at.

    Parameters
    ----------
    name
        Of the widget.
    """

    chosen = Signal(int)  # a row that a person wants to look at

    def __init__(self, session: Session, thumbnails: ThumbnailLoader, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.places = PlaceModel(self)
        self.setModel(self.places)
        self.setItemDelegate(PlaceDelegate(session, self.places, thumbnails))
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalScrollBar().setSingleStep(28)
        self.clicked.connect(lambda index: self.chosen.emit(index.row()))
        self.activated.connect(lambda index: self.chosen.emit(index.row()))
        thumbnails.made.connect(self._redraw)

    @property
    def row(self) -> int:
        """The row that is looked at, -1 when there is none."""
        rows = self.selectedIndexes()
        return int(rows[0].row()) if rows else -1

    def go(self, row: int) -> None:
        """Look at a row."""
        self.setCurrentIndex(self.places.index(row))
        self.scrollTo(self.places.index(row))

    def _redraw(self, image_id: str) -> None:
        if self.isVisible() and any(entry.image == image_id for entry in self.places.entries):
            self.viewport().update()


def wrapped(metrics: QFontMetrics, text: str, width: int, lines: int) -> list[str]:
    """Return a text in so many lines at most; what does not fit is left out of the last one."""
    made: list[str] = []
    words = text.split(" ")
    while words and len(made) < lines - 1:
        taken = 1
        while (
            taken < len(words) and metrics.horizontalAdvance(" ".join(words[: taken + 1])) <= width
        ):
            taken += 1
        made.append(" ".join(words[:taken]))
        words = words[taken:]
    made.append(" ".join(words))
    return [metrics.elidedText(line, Qt.TextElideMode.ElideRight, width) for line in made if line]
