"""Figures of results in the dock, drawn apart from the event loop.

Even small ones take longer than a frame, and the largest half a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtGui import QImage, QPalette, QPixmap
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QSizePolicy, QWidget

from napari_threestage.result_figures import Look, figure_pixels, new_figure

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from matplotlib.figure import Figure
    from qtpy.QtGui import QResizeEvent, QShowEvent, QWheelEvent

    from napari_threestage.widgets.session import Session

    Draw = Callable[[Figure, Look], None]

DOTS = 100.0  # an inch of a figure, in pixels as Qt counts them
CALM_MS = 120  # after the last change of size or theme
LEAST_WIDTH = 240


class Picture(QScrollArea):
    """A figure as wide as there is room; a wider one scrolls from side to side."""

    def __init__(self, session: Session, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self._session = session
        self._draw: Draw | None = None
        self._asked: tuple[Any, ...] = ()  # what the last picture that was begun looks like
        self._label = QLabel()
        self._label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.setWidget(self._label)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._begin)

    @property
    def image(self) -> QPixmap | None:
        """What is shown; None before it is drawn."""
        pixmap = self._label.pixmap()  # which some bindings return empty instead of not at all
        return None if pixmap is None or pixmap.isNull() else pixmap

    def show_figure(self, draw: Draw | None, description: str = "") -> None:
        """Draw another figure as soon as it can be seen; None for none."""
        self._draw, self._asked = draw, ()
        self._label.setText("Drawing …")  # a picture of something else would be taken for this
        self._label.adjustSize()
        self.setAccessibleName(description)
        self.setVisible(draw is not None)
        self._timer.start(0)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Draw what was to be drawn meanwhile."""
        super().showEvent(event)
        self._timer.start(0)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Draw for another width, when it stays."""
        super().resizeEvent(event)
        self._timer.start(CALM_MS)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Scroll from side to side; up and down is for the dock."""
        if event is not None and abs(event.angleDelta().x()) > abs(event.angleDelta().y()):
            super().wheelEvent(event)
        elif event is not None:
            event.ignore()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        kinds = (QEvent.Type.StyleChange, QEvent.Type.PaletteChange)
        if event is not None and event.type() in kinds and hasattr(self, "_timer"):
            self._timer.start(CALM_MS)

    def _begin(self) -> None:
        draw = self._draw
        if draw is None or not self.isVisible():
            return
        palette, ratio = self.palette(), self.devicePixelRatioF()
        ink, paper = (palette.color(role).name() for role in _ROLES)
        asked = (draw, max(LEAST_WIDTH, self.viewport().width()), ratio, ink, paper)
        if asked == self._asked:
            return
        self._asked = asked
        width, look = asked[1] / DOTS, Look.of(ink, paper)

        def show(pixels: np.ndarray) -> None:
            if isalive(self) and asked == self._asked:
                self._show(pixels, asked[1], ratio)

        self._session.background(lambda: paint(draw, width, look, DOTS * ratio), show)

    def _show(self, pixels: np.ndarray, room: int, ratio: float) -> None:
        height, width = pixels.shape[:2]
        image = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGBA8888)
        pixmap = QPixmap.fromImage(image)  # which copies it
        pixmap.setDevicePixelRatio(ratio)
        size = QSize(round(width / ratio), round(height / ratio))
        self._label.setPixmap(pixmap)
        self._label.resize(size)
        scrolls = size.width() > room + 1  # not when the room has just become less
        policy = Qt.ScrollBarPolicy
        bar = policy.ScrollBarAlwaysOn if scrolls else policy.ScrollBarAlwaysOff
        self.setHorizontalScrollBarPolicy(bar)
        extra = self.horizontalScrollBar().sizeHint().height() if scrolls else 0
        self.setFixedHeight(size.height() + extra)


_ROLES = (QPalette.ColorRole.WindowText, QPalette.ColorRole.Window)


def paint(draw: Draw, width: float, look: Look, dots: float) -> np.ndarray:
    """Return a figure as pixels, (H, W, 4)."""
    figure = new_figure(width, dots)
    draw(figure, look)
    return figure_pixels(figure)
