"""All runs of the session's project as rows, read apart from the event loop; no Qt.

Who shows them calls `look` while anybody can see it, and shows `rows` when `changed` comes.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_threestage.errors import ThreeStageError
from napari_threestage.run_notes import set_note
from napari_threestage.run_upkeep import read_rows
from napari_threestage.runs import find_run

if TYPE_CHECKING:
    from napari_threestage.project import Project
    from napari_threestage.run_upkeep import RunRow
    from napari_threestage.runs import Run
    from napari_threestage.widgets.session import Session

FRESH_SECONDS = 1.0  # until a row may have been changed elsewhere
SAVE_SECONDS = 2.0  # to wait for labels; those that cannot be written are not counted yet


class RunList:
    """What there is to know of each run, the latest first.

    Attributes
    ----------
    problem
        Why the runs cannot be read; empty when they can.
    """

    changed = Signal()  # `rows` has been read
    outdated = Signal()  # something has changed: whoever shows them looks again
    train_wanted = Signal()  # a run was started from another one: somebody wants to watch it

    def __init__(self, session: Session) -> None:
        self._session = session
        self.rows: list[RunRow] = []
        self.problem = ""
        self._due = True
        self._painted = self._reading = False
        self._read_at = 0.0
        session.project_changed.connect(self._on_project)
        session.classes_changed.connect(self.outdate)
        session.images_changed.connect(self.outdate)
        session.counts_changed.connect(self._on_labels)
        session.image_shown.connect(self._on_image)

    def row(self, run_id: str | None) -> RunRow | None:
        """Return the row of a run, when it has been read already."""
        return next((row for row in self.rows if row.run == run_id), None)

    def title(self, run: Run | None) -> str:
        """Return the name of a run, or else its id."""
        if run is None:
            return ""
        found = self.row(run.id)
        return (found.name if found is not None else "") or run.id

    def look(self) -> None:
        """Read the runs anew, unless nothing can have changed since."""
        project = self._session.project
        fresh = time.monotonic() - self._read_at < FRESH_SECONDS
        if project is None or self._reading or (fresh and not self._due):
            return
        if self._painted:
            self._session.fold()  # what is stale is found in the label sets
        self._reading, self._due, self._painted = True, False, False
        autosave = self._session.autosave

        def read() -> list[RunRow]:
            if autosave is not None:
                autosave.wait(SAVE_SECONDS)
            return read_rows(project)

        self._session.background(
            read,
            lambda rows: self._take(project, rows),
            lambda error: self._failed(project, error),
        )

    def refresh(self) -> None:
        """Read the runs anew: they have been changed."""
        self._due = True
        self.look()

    def note(self, run_id: str, name: str | None = None, pinned: bool | None = None) -> None:
        """Name a run, or pin it; shown at once, kept in the background."""
        project = self._session.project
        if project is None or not self._session.writable:
            return
        self.rows = [_noted(row, name, pinned) if row.run == run_id else row for row in self.rows]
        self.changed.emit()

        def failed(error: Exception) -> None:
            self._session.fail(error)
            self.refresh()

        self._session.background(
            lambda: set_note(project, run_id, name=name, pinned=pinned),
            lambda result: self.refresh(),
            failed,
        )

    def show(self, run_id: str) -> None:
        """Look at a run."""
        if self._session.project is not None:
            try:
                self._session.runs.follow(find_run(self._session.project, run_id))
            except ThreeStageError as error:  # it was deleted elsewhere
                self._session.fail(error)
                self.refresh()

    def train(self, how: str, run_id: str) -> None:
        """Start a run that is made of another one: ``--refresh`` or ``--baseline``."""
        if self._session.runs.start([how, run_id]):
            self.train_wanted.emit()

    def outdate(self) -> None:
        """Have the runs read anew as soon as anybody looks."""
        self._due = True
        self.outdated.emit()

    # --- what happens meanwhile -----------------------------------------------------------------

    def _on_project(self) -> None:
        self.rows, self.problem = [], ""
        self.changed.emit()
        self.outdate()

    def _on_labels(self, image_id: str) -> None:
        """Wait with the look until the image is left or a tab is opened: this is each stroke."""
        self._due = self._painted = True

    def _on_image(self, content: object) -> None:
        if self._painted:
            self.outdate()

    def _take(self, project: Project, rows: list[RunRow]) -> None:
        self._reading = False
        if self._session.project is project:
            self.rows, self._read_at, self.problem = rows, time.monotonic(), ""
            self._leave_deleted()
            self.changed.emit()
        if self._due or self._session.project is not project:
            self.outdated.emit()

    def _leave_deleted(self) -> None:
        """Look at another run when the one that is looked at is gone, and at no second one."""
        runs, second = self._session.runs, self._session.second
        if second.run is not None and not second.run.path.is_dir():
            second.compare_with(None)
        if runs.run is not None and not runs.run.path.is_dir():
            runs.find()

    def _failed(self, project: Project, error: Exception) -> None:
        self._reading = False
        if self._session.project is project and self.problem != str(error):
            self.problem = str(error)
            self._session.fail(error)
            self.changed.emit()


def _noted(row: RunRow, name: str | None, pinned: bool | None) -> RunRow:
    return replace(
        row,
        name=row.name if name is None else name,
        pinned=row.pinned if pinned is None else pinned,
    )
