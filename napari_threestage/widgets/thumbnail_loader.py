"""Thumbnails made in a thread of their own, only for the rows that are seen."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtGui import QImage, QPixmap

from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.thumbnails import make_thumbnail, middle_labels

if TYPE_CHECKING:
    from napari_threestage.project import Project
    from napari_threestage.widgets.session import Session

log = logging.getLogger(__name__)
KEPT = 500
PIXELS = 96  # twice what a row shows, for screens with small pixels
WAITING = 40  # rows; those that were scrolled past are forgotten
RENEW_MS = 1000
FETCH_MS = 100  # each time the window is drawn anew, which is slow without a graphics card


@dataclass(frozen=True)
class _Order:
    project: Project
    image_id: str
    labels: np.ndarray | None  # of the image that is being painted; others are read


class _Studio:
    """Draws what was ordered last; knows nothing of Qt, which may be gone before its thread is."""

    def __init__(self) -> None:
        self._orders: OrderedDict[str, _Order] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="threestage-thumbnails")
        self._open = 0
        self.drawn: deque[tuple[_Order, np.ndarray | None]] = deque()

    @property
    def busy(self) -> bool:
        """Whether anything is ordered and not drawn yet."""
        return self._open > 0

    def order(self, order: _Order) -> str:
        """Order a thumbnail; return the image whose order is given up for it, or empty."""
        with self._lock:
            self._orders[order.image_id] = order
            self._orders.move_to_end(order.image_id)
            many = len(self._orders) > WAITING
            given_up = self._orders.popitem(last=False)[0] if many else ""
            self._open += 1
        self._pool.submit(self._draw)
        return given_up

    def forget(self) -> None:
        """Give up all orders."""
        with self._lock:
            self._orders.clear()

    def _draw(self) -> None:
        with self._lock:
            order = self._orders.popitem()[1] if self._orders else None
        if order is not None:
            picture = None
            try:
                picture = make_thumbnail(order.project, order.image_id, PIXELS, order.labels)
            except Exception as error:  # the image itself says so where it is shown
                log.warning("No thumbnail of %s: %s", order.image_id, error)
            self.drawn.append((order, picture))
        with self._lock:
            self._open -= 1


class ThumbnailLoader(QObject):
    """The thumbnails of the images seen last.

    Parameters
    ----------
    session
        Whose images are drawn.
    """

    made = Signal(str)  # id of an image whose thumbnail is new, or would be

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._kept: OrderedDict[str, QPixmap | None] = OrderedDict()  # None: cannot be drawn
        self._stale: set[str] = set()
        self._changed: set[str] = set()
        self._left = ""
        self._studio = _Studio()
        self._fetching = QTimer(self)
        self._fetching.setInterval(FETCH_MS)
        self._fetching.timeout.connect(self._fetch)
        self._renewal = QTimer(self)
        self._renewal.setSingleShot(True)
        self._renewal.setInterval(RENEW_MS)
        self._renewal.timeout.connect(self._renew)
        listen(
            self,
            (session.project_changed, self._forget),
            (session.images_changed, self._note_all),
            (session.classes_changed, self._note_all),
            (session.counts_changed, self._note),
            (session.image_shown, self._note_left),
        )

    @property
    def kept(self) -> int:
        """Number of thumbnails in memory."""
        return len(self._kept)

    def get(self, image_id: str) -> QPixmap | None:
        """Return the thumbnail of an image, an old one until `made` tells that there is a new one.

        None where there is none yet, or the image cannot be drawn.
        """
        if image_id not in self._kept or image_id in self._stale:
            self._order(image_id)
        if image_id in self._kept:
            self._kept.move_to_end(image_id)
        return self._kept.get(image_id)

    def _order(self, image_id: str) -> None:
        project, content = self._session.project, self._session.content
        if project is None or image_id not in project.images:
            return
        self._stale.discard(image_id)
        labels = None
        if content is not None and image_id == self._session.image_id:
            labels = middle_labels(content.editor.truth, PIXELS)
        given_up = self._studio.order(_Order(project, image_id, labels))
        if given_up in self._kept:
            self._stale.add(given_up)
        if not self._fetching.isActive():
            self._fetching.start()

    def _fetch(self) -> None:
        if not self._studio.busy:
            self._fetching.stop()
        while self._studio.drawn:
            order, picture = self._studio.drawn.popleft()
            if order.project is self._session.project:
                self._keep(order.image_id, picture)

    def _keep(self, image_id: str, picture: np.ndarray | None) -> None:
        self._kept[image_id] = None if picture is None else _pixmap(picture)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        self.made.emit(image_id)

    # --- what changes -------------------------------------------------------------------------

    def _forget(self) -> None:
        self._studio.forget()
        self._kept.clear()
        self._stale.clear()

    def _note(self, image_id: str) -> None:
        self._changed.add(image_id)
        self._renewal.start()

    def _note_left(self, content: object) -> None:
        # The strokes of an image reach its label set when it is left.
        if self._left:
            self._note(self._left)
        self._left = self._session.image_id

    def _note_all(self) -> None:
        self._changed |= self._kept.keys()
        self._renewal.start()

    def _renew(self) -> None:
        changed, self._changed = self._changed & self._kept.keys(), set()
        self._stale |= changed
        for image_id in changed:
            self.made.emit(image_id)  # so that what is seen is asked for again


def _pixmap(picture: np.ndarray) -> QPixmap:
    height, width = picture.shape[:2]
    data = np.ascontiguousarray(picture).tobytes()
    image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)  # copies, so `data` may go
