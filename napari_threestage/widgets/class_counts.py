"""Pixels of each class in the whole project, counted little by little apart from the event loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from napari_threestage.classes import ClassTable
    from napari_threestage.project import Project
    from napari_threestage.widgets.session import Session

SLICE = 50  # images at a time, so that an image to be shown need not wait
PAUSE_MS = 20  # between two slices, for everything else
TELL_SECONDS = 0.3  # between two interim results: each time the window is drawn anew


class ProjectCounts(QObject):
    """Counts that follow the project; `begin` starts them.

    Parameters
    ----------
    session
        Whose project is counted.
    """

    changed = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._begun = False
        self._table: ClassTable | None = None
        self._counts: dict[str, np.ndarray] = {}
        self._waiting: list[str] = []
        self._round = 0  # results of an earlier one are stale
        self._told = 0.0
        self.totals = self.images = np.zeros(1, np.int64)
        self.labelled = self.part = 0  # images that are labelled as a whole, and in part
        listen(
            self,
            (session.project_changed, self._restart),
            (session.images_changed, self._restart),
            (session.classes_changed, self._follow_classes),
            (session.counts_changed, self._recount),
        )

    @property
    def known(self) -> int:
        """Number of images that are counted."""
        return len(self._counts)

    @property
    def complete(self) -> bool:
        """Whether all images are counted."""
        project = self._session.project
        return project is not None and len(self._counts) >= len(project.images)

    def begin(self) -> None:
        """Count, and go on counting whenever something changes."""
        if not self._begun:
            self._begun = True
            self._restart()

    def _restart(self) -> None:
        project = self._session.project
        self._clear(None if project is None else project.class_table)
        self._waiting = [] if project is None else list(project.images)[::-1]
        if self._begun and self._waiting:
            QTimer.singleShot(0, self._next)
        self.changed.emit()

    def _clear(self, table: ClassTable | None) -> None:
        self._round += 1
        self._table, self._counts = table, {}
        length = 1 if table is None else len(table.classes) + 1
        self.totals, self.images = np.zeros(length, np.int64), np.zeros(length, np.int64)
        self.labelled = self.part = 0

    def _follow_classes(self) -> None:
        """Put the counts in the new order, or count anew when pixels mean something else now."""
        project, old, known = self._session.project, self._table, self._counts
        if project is None or old is None:
            return
        new = project.class_table
        ids, before = list(new.ids), list(old.ids)
        # A class that was added anew has no pixels; one that comes back may have some.
        back = any(one < old.next_id for one in set(ids) - set(before))
        same = new.merged == old.merged and set(before) <= set(ids) and not back
        if not same or not self.complete:
            self._restart()
            return
        places = [ids.index(one) for one in before]

        def moved(counts: np.ndarray) -> np.ndarray:
            found = np.zeros(len(ids), np.int64)
            found[places] = counts
            return found

        totals, images, labelled, part = self.totals, self.images, self.labelled, self.part
        self._clear(new)
        self.totals, self.images = moved(totals), moved(images)
        self.labelled, self.part = labelled, part
        self._counts = {image_id: moved(counts) for image_id, counts in known.items()}
        self.changed.emit()

    def _next(self) -> None:
        project, this_round = self._session.project, self._round
        if project is None or not self._waiting:
            return
        ids = [self._waiting.pop() for _ in range(min(SLICE, len(self._waiting)))]

        def take(found: dict[str, np.ndarray]) -> None:
            if this_round != self._round:
                return
            for image_id, counts in found.items():
                self._put(image_id, counts)
            if not self._waiting or time.monotonic() - self._told > TELL_SECONDS:
                self._told = time.monotonic()
                self.changed.emit()
            QTimer.singleShot(PAUSE_MS, self._next)

        self._session.background(lambda: _count(project, ids), take, self._session.fail)

    def _recount(self, image_id: str) -> None:
        project = self._session.project
        if image_id in self._counts and project is not None and image_id in project.images:
            self._put(image_id, self._session.counts(image_id))
            self.changed.emit()

    def _put(self, image_id: str, counts: np.ndarray) -> None:
        if len(counts) != len(self.totals):
            return  # counted by the classes of before
        old = self._counts.get(image_id, np.zeros_like(self.totals))
        for one, sign in ((old, -1), (counts, 1)):
            if one[1:].any():
                self.labelled += sign * (not one[0])
                self.part += sign * bool(one[0])
        self.totals = self.totals + counts - old
        self.images = self.images + (counts > 0) - (old > 0)
        self._counts[image_id] = counts


def _count(project: Project, ids: list[str]) -> dict[str, np.ndarray]:
    return {image_id: project.label_counts(image_id) for image_id in ids}
