"""The divider of the wipe: a line over the canvas that the mouse drags, and what is beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.qt import QtViewer
from qtpy.compat import isalive
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QApplication, QLabel, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel
    from qtpy.QtGui import QMouseEvent, QPaintEvent

REACH = 6  # pixels on each side of the line within which the mouse takes hold of it
GAP = 8  # pixels between the line and the names
GRIP = 34  # height of the handle


class WipeLine(QWidget):
    """Stands over the canvas, where it is narrow, so that all else there works as without it.

    Parameters
    ----------
    canvas
        The widget in which napari draws.
    drag
        Called with the place of the mouse on the canvas, in pixels from the left.
    """

    def __init__(self, canvas: QWidget, drag: Callable[[float], None]) -> None:
        super().__init__(canvas)
        self._canvas, self._drag = canvas, drag
        self._held = False
        self.setObjectName("wipe_line")
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip("Drag to wipe")
        self._names = [_name(canvas), _name(canvas)]

    @classmethod
    def over(cls, viewer: ViewerModel, drag: Callable[[float], None]) -> WipeLine | None:
        """Return a line over the canvas of a viewer; None when it has no window."""
        for window in QApplication.topLevelWidgets():
            for one in window.findChildren(QtViewer):
                if one.viewer is viewer:
                    return cls(one.canvas.native, drag)
        return None

    def show_at(self, x: float | None, names: Sequence[str]) -> None:
        """Stand at a place of the canvas, with a name on each side; None: nowhere."""
        if not isalive(self):
            return
        there = x is not None and 0 <= x <= self._canvas.width()
        for widget in (self, *self._names):
            widget.setVisible(there)
        if x is None or not there:
            return
        at = round(x)
        self.setGeometry(at - REACH, 0, 2 * REACH + 1, self._canvas.height())
        for label, name in zip(self._names, names, strict=True):
            label.setText(name)
            label.adjustSize()
        self._names[0].move(at - GAP - self._names[0].width(), GAP)
        self._names[1].move(at + GAP, GAP)

    def remove(self) -> None:
        """Go away for good."""
        for widget in (self, *self._names):
            if isalive(widget):
                widget.hide()
                widget.deleteLater()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw a light line with dark edges, seen on any image, and a handle."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(REACH - 1, 0, 3, self.height(), QColor(0, 0, 0, 150))
        painter.fillRect(REACH, 0, 1, self.height(), QColor(255, 255, 255))
        painter.setPen(QColor(0, 0, 0, 150))
        painter.setBrush(QColor(255, 255, 255))
        grip = QRectF(REACH - 3.5, (self.height() - GRIP) / 2, 8, GRIP)
        painter.drawRoundedRect(grip, 4, 4)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Take hold of the line."""
        if event is not None:
            self._held = event.button() == Qt.MouseButton.LeftButton
            event.setAccepted(self._held)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Take the line along."""
        if event is not None and self._held:
            self._drag(self.mapToParent(event.position().toPoint()).x())

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Let go of the line."""
        self._held = False


def _name(canvas: QWidget) -> QLabel:
    label = QLabel(canvas)
    label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setStyleSheet("background:rgba(0,0,0,150);color:white;padding:2px 6px;border-radius:3px")
    return label
