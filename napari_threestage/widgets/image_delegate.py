"""Draws a row of the image list: thumbnail, name, how far it is labelled, marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPixmap
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_threestage.widgets.controls import LEVEL_COLOURS
from napari_threestage.widgets.image_model import ID_ROLE

if TYPE_CHECKING:
    from napari_threestage.widgets.image_model import ImageModel
    from napari_threestage.widgets.session import Session
    from napari_threestage.widgets.thumbnail_loader import ThumbnailLoader

PICTURE = 48
PAD = 4
GREEN = QColor("#3fa045")
FAINT = 165  # of 255, of what stands behind the name


class ImageDelegate(QStyledItemDelegate):
    """One row.

    Parameters
    ----------
    session
        Tells which image is shown.
    model, thumbnails
        What is drawn.
    """

    def __init__(self, session: Session, model: ImageModel, thumbnails: ThumbnailLoader) -> None:
        super().__init__(model)
        self._session, self._model, self._thumbnails = session, model, thumbnails

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Return the same for all, so that ten thousand rows need no layout."""
        return QSize(160, PICTURE + 2 * PAD)

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Draw a row."""
        if painter is None:
            return
        row = QStyleOptionViewItem(option)
        self.initStyleOption(row, index)
        row.text = ""
        style = row.widget.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, row, painter, row.widget)
        image_id = str(index.data(ID_ROLE))
        painter.save()
        self._draw(painter, row, image_id, str(index.data() or ""))
        painter.restore()

    def _draw(self, painter: QPainter, row: QStyleOptionViewItem, image_id: str, name: str) -> None:
        area = row.rect
        shown = image_id == self._session.image_id
        if shown:
            bar = QRect(area.left(), area.top(), 3, area.height())
            painter.fillRect(bar, QColor(LEVEL_COLOURS["info"]))
        place = QRect(area.left() + PAD + 3, area.top() + PAD, PICTURE, PICTURE)
        self._draw_picture(painter, place, self._thumbnails.get(image_id))
        text = area.adjusted(PICTURE + 3 * PAD + 3, PAD, -2 * PAD, -PAD)
        upper, lower = QRect(text), QRect(text)
        upper.setBottom(text.center().y())
        lower.setTop(text.center().y() + 1)
        upper.setRight(self._draw_mark(painter, upper, image_id))
        font = painter.font()
        font.setBold(shown)
        painter.setFont(font)
        painter.setPen(row.palette.color(QPalette.ColorRole.Text))
        elide, left = Qt.TextElideMode.ElideMiddle, Qt.AlignmentFlag.AlignLeft
        fitted = painter.fontMetrics().elidedText(name, elide, upper.width())
        painter.drawText(upper, left | Qt.AlignmentFlag.AlignVCenter, fitted)
        font.setBold(False)
        painter.setFont(font)
        lower.setRight(self._draw_badge(painter, lower, image_id, row.palette))
        faint = row.palette.color(QPalette.ColorRole.Text)
        faint.setAlpha(FAINT)
        painter.setPen(faint)
        painter.drawText(lower, left | Qt.AlignmentFlag.AlignVCenter, self._model.text(image_id))

    @staticmethod
    def _draw_picture(painter: QPainter, place: QRect, picture: QPixmap | None) -> None:
        if picture is None:
            painter.setPen(QColor(128, 128, 128, 90))
            painter.drawRect(place.adjusted(0, 0, -1, -1))
            return
        size = picture.size().scaled(place.size(), Qt.AspectRatioMode.KeepAspectRatio)
        target = QRect(place.topLeft(), size)
        target.moveCenter(place.center())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(target, picture)

    def _draw_mark(self, painter: QPainter, place: QRect, image_id: str) -> int:
        """Draw the check mark of a reviewed image; return where the name has to end."""
        if image_id not in self._session.reviewed:
            return place.right()
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(GREEN)
        side = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(place, side, "✓")
        return place.right() - painter.fontMetrics().horizontalAdvance("✓") - PAD

    def _draw_badge(self, painter: QPainter, place: QRect, image_id: str, palette: QPalette) -> int:
        """Draw the badge of a validation image; return where the text before it has to end."""
        project = self._session.project
        if project is None or project.images[image_id].split != "validation":
            return place.right()
        metrics = painter.fontMetrics()
        badge = QRect(0, 0, metrics.horizontalAdvance("validation") + 2 * PAD, metrics.height() + 2)
        badge.moveRight(place.right())
        badge.moveTop(place.center().y() - badge.height() // 2)
        colour = QColor(LEVEL_COLOURS["warning"])
        painter.setPen(colour)
        colour.setAlpha(40)
        painter.setBrush(colour)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawRoundedRect(badge, 4, 4)
        painter.setPen(palette.color(QPalette.ColorRole.Text))
        painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, "validation")
        return badge.left() - PAD
