"""What the segmenter in training thinks of a few windows, as it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget

from napari_threestage.widgets.controls import column, note
from napari_threestage.widgets.listening import listen
from napari_threestage.window_pictures import SIDE, window_pictures

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_threestage.events import Sampled
    from napari_threestage.widgets.session import Session
    from napari_threestage.window_pictures import WindowPicture

GAP = 4
SHOWN = 140  # pixels of the longest side on the screen


class SampleStrip(QWidget):
    """The latest samples: each window beside what the segmenter makes of it.

    They are read in the background, one event at a time, and only while they are seen.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._shown: tuple[object, ...] = ()  # what the pictures are of
        self._reading = False
        self._text = note()
        self._text.setObjectName("sample_text")
        self._tiles = QVBoxLayout()
        self._tiles.setSpacing(2)
        self.setLayout(column(self._text, self._tiles))
        for signal in (session.runs.changed, session.runs.progressed, session.classes_changed):
            listen(self, (signal, self.refresh))
        self.refresh()

    @property
    def tiles(self) -> list[QToolButton]:
        """The buttons with the pictures."""
        items = [self._tiles.itemAt(place) for place in range(self._tiles.count())]
        return [item.widget() for item in items]

    def refresh(self) -> None:
        """Read what is new, if anybody looks."""
        project, run, sampled = self._session.project, self._session.runs.run, self._latest()
        if project is None or run is None or sampled is None:
            self._shown = ()
            self._show([])
            self._text.setText(_why_empty(self._session.runs.state))
            return
        colours = tuple((entry.id, entry.color) for entry in project.classes)
        wanted = (run.id, sampled, colours)
        if wanted == self._shown or self._reading or not self.isVisible():
            return
        self._reading = True

        def done(pictures: list[WindowPicture]) -> None:
            self._reading = False
            self._shown = wanted
            if self._session.runs.run is run:
                self._text.setText(_words(sampled, pictures))
                self._show(pictures)
            self.refresh()  # there may be a newer one already

        def failed(error: Exception) -> None:
            self._reading = False
            self._shown = wanted
            self._text.setText(f"The samples could not be read: {error}")

        self._session.background(lambda: window_pictures(project, run, sampled), done, failed)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Catch up with what happened meanwhile."""
        super().showEvent(event)
        self.refresh()

    def _latest(self) -> Sampled | None:
        for stage in reversed(self._session.runs.view.stages):
            if stage.samples:
                return stage.samples[-1]
        return None

    def _show(self, pictures: list[WindowPicture]) -> None:
        for tile in self.tiles[len(pictures) :]:
            self._tiles.removeWidget(tile)
            tile.hide()
            tile.deleteLater()
        while len(self.tiles) < len(pictures):
            self._tiles.addWidget(self._tile())
        for tile, picture in zip(self.tiles, pictures, strict=True):
            self._fill(tile, picture)

    def _tile(self) -> QToolButton:
        tile = QToolButton()
        tile.setAutoRaise(True)
        tile.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        tile.clicked.connect(lambda: self._session.show(tile.property("image")))
        return tile

    def _fill(self, tile: QToolButton, picture: WindowPicture) -> None:
        height = picture.image.shape[0]
        gap = np.full((height, GAP, 3), 128, np.uint8)
        pixmap = _pixmap(np.hstack([picture.image, gap, picture.mask]))
        scale = SHOWN / SIDE
        size = QSize(round(pixmap.width() * scale), round(pixmap.height() * scale))
        tile.setIcon(QIcon(pixmap))
        tile.setIconSize(size)
        tile.setProperty("image", picture.image_id)
        tile.setObjectName(f"sample {picture.image_id}")
        metrics = tile.fontMetrics()
        elided = metrics.elidedText(picture.name, Qt.TextElideMode.ElideMiddle, size.width())
        tile.setText(elided)
        tile.setToolTip(f"{picture.name}\n{_classes(self._session, picture)}\nClick: show it")


def _pixmap(pixels: np.ndarray) -> QPixmap:
    pixels = np.ascontiguousarray(pixels)
    height, width, _ = pixels.shape
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())


def _classes(session: Session, picture: WindowPicture) -> str:
    classes = session.project.classes if session.project is not None else []
    names = [classes[index - 1].name for index in picture.present if index <= len(classes)]
    return f"Found: {', '.join(names) or 'nothing'}"


def _words(sampled: Sampled, pictures: list[WindowPicture]) -> str:
    outline = (
        "; white: the borders of your labels" if any(one.has_truth for one in pictures) else ""
    )
    return f"Stage {sampled.stage}, step {sampled.step}: image and present mask{outline}."


def _why_empty(state: str) -> str:
    if state in ("starting", "running", "paused"):
        return "The first samples come some seconds after the first steps."
    return "This run has left no samples."
