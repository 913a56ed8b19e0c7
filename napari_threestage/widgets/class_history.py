"""Changes of the classes, and back; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_threestage.errors import ThreeStageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_threestage.classes import ClassTable
    from napari_threestage.project_file import LabelClass
    from napari_threestage.widgets.session import Session


class ClassHistory:
    """Changes the class table of the session's project; each change can be taken back."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._before: list[ClassTable] = []
        self._after: list[ClassTable] = []  # what was taken back, the latest last

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether there is a change that was taken back."""
        return bool(self._after)

    @property
    def to_undo(self) -> str:
        """The change that `undo` takes back, in words; empty without any."""
        return self._words(self._before, undoing=True)

    @property
    def to_redo(self) -> str:
        """The change that `redo` makes again, in words; empty without any."""
        return self._words(self._after, undoing=False)

    def lost(self, *, undoing: bool) -> list[LabelClass]:
        """Return the classes whose pixels would count as not labelled after undo, or redo."""
        tables, project = self._before if undoing else self._after, self._session.project
        if not tables or project is None:
            return []
        return [entry for entry in project.classes if not tables[-1].resolve(entry.id)]

    def edit(self, change: Callable[[ClassTable], ClassTable]) -> bool:
        """Change the table by one of its methods; false after saying what is wrong."""
        project = self._session.project
        if project is None or not self._session.writable:
            return False
        before = project.class_table
        try:
            self._set(change(before))
        except ThreeStageError as error:
            self._session.fail(error)
            return False
        self._before.append(before)
        self._after.clear()
        self._tell(before)
        return True

    def undo(self) -> None:
        """Take back the last change; pixels come back with it."""
        self._step(self._before, self._after)

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        self._step(self._after, self._before)

    def forget(self) -> None:
        """Forget all changes: another project is opened."""
        self._before.clear()
        self._after.clear()

    def _step(self, tables: list[ClassTable], others: list[ClassTable]) -> None:
        project = self._session.project
        if not tables or project is None or not self._session.writable:
            return
        now = project.class_table
        try:
            self._set(tables[-1])
        except ThreeStageError as error:
            self._session.fail(error)
            return
        tables.pop()
        others.append(now)
        self._tell(now)

    def _words(self, tables: list[ClassTable], *, undoing: bool) -> str:
        project = self._session.project
        if not tables or project is None:
            return ""
        now, then = project.class_table, tables[-1]
        return what_changed(then, now) if undoing else what_changed(now, then)

    def _set(self, table: ClassTable) -> None:
        session, project = self._session, self._session.project
        assert project is not None
        session.commit()  # with the meaning that the pixels had when they were painted
        before = project.class_table
        project.set_class_table(table)
        try:
            project.save()
        except ThreeStageError:
            project.set_class_table(before)
            raise

    def _tell(self, before: ClassTable) -> None:
        """Let everybody know; the picked class stays the same, wherever it is now."""
        session = self._session
        assert session.project is not None
        picked, ids = (
            int(before.ids[session.picked_class]),
            session.project.class_table.ids.tolist(),
        )
        session.pick_class(ids.index(picked) if picked in ids else 1)
        session.classes_changed.emit()
        if before.ids.tolist() != ids:
            session.refresh()


def what_changed(before: ClassTable, after: ClassTable) -> str:
    """Return the one change between two tables in words, e.g. ``add 'cell'``."""
    old = {entry.id: entry for entry in before.classes}
    new = {entry.id: entry for entry in after.classes}
    for class_id in old.keys() - new.keys():
        into = after.resolve(class_id)
        end = f" into '{new[into].name}'" if into else ""
        return f"{'merge' if into else 'delete'} '{old[class_id].name}'{end}"
    for class_id in new.keys() - old.keys():
        return f"add '{new[class_id].name}'"
    for class_id, entry in new.items():
        if entry.name != old[class_id].name:
            return f"rename '{old[class_id].name}' to '{entry.name}'"
        if entry.color != old[class_id].color:
            return f"colour of '{entry.name}'"
    return "order of the classes"
