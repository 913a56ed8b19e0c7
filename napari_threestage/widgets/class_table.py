"""The classes of a project, to change them on one tab and to choose one on another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QItemSelectionModel, Qt
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableView,
    QWidget,
)

from napari_threestage.widgets.class_counts import ProjectCounts
from napari_threestage.widgets.class_merge import MergeDialog
from napari_threestage.widgets.class_model import ALL, HERE, KEY, NAME, ClassModel
from napari_threestage.widgets.controls import button, column, confirm, row, small_button
from napari_threestage.widgets.delete_key import DeleteKey
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QShowEvent

    from napari_threestage.project import LabelClass
    from napari_threestage.widgets.session import Session

ROW_HEIGHT = 22
ROWS = 8  # that the picker shows before it scrolls
NO_CLASS = "Choose a class first"


class ClassTable(QWidget):
    """Names, colours and pixels of the classes, and what changes them.

    Parameters
    ----------
    session
        Whose classes are shown and changed.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.counts = ProjectCounts(session, self)
        self.model = ClassModel(session, self.counts, parent=self)
        self.view = _table("class_table")
        self.view.setModel(self.model)
        self.view.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        _spread(self.view, {KEY: 48, HERE: 58, ALL: 62})
        self.view.setMinimumHeight(ROW_HEIGHT * 6)
        self._make_buttons()
        self._chosen_id = 0
        self.model.modelReset.connect(self._restore)
        self.view.selectionModel().currentChanged.connect(self._remember)
        listen(
            self,
            (session.project_changed, self._update_buttons),
            (session.classes_changed, self._update_buttons),
        )
        self._update_buttons()

    def _make_buttons(self) -> None:
        self._add = self._button("+", "Add a class", self.add, "class_add")
        self._delete = self._button("−", "Delete the class (Delete)", self.delete, "class_delete")
        self._up = self._button("▲", "Move the class up", lambda: self._move(-1), "class_up")
        self._down = self._button("▼", "Move the class down", lambda: self._move(1), "class_down")
        self._merge = button("Merge…", "Make this class part of another one", self.merge)
        self._merge.setObjectName("class_merge")
        self._colour = button("Colour…", "Give the class another colour", self.recolour)
        self._colour.setObjectName("class_colour")
        self._undo = self._button("↶", "", self.undo, "class_undo")
        self._redo = self._button("↷", "", self.redo, "class_redo")
        for wide in (self._merge, self._colour):
            wide.setFixedHeight(24)
            wide.setMinimumHeight(24)
        changes = (self._add, self._delete, self._up, self._down, self._merge, self._colour)
        buttons = row(*changes, 1, self._undo, self._redo)
        buttons.setSpacing(2)
        layout = column(self.view, buttons)
        self.setLayout(layout)
        DeleteKey(self.view, self.delete)

    def _button(self, text: str, tip: str, action: Callable[[], object], name: str) -> QWidget:
        made = small_button(text, tip, action)
        made.setObjectName(name)
        return made

    # --- selection ----------------------------------------------------------------------------

    @property
    def chosen(self) -> LabelClass | None:
        """The class of the current row."""
        index = self.view.currentIndex()
        return self.model.entry(index.row()) if index.isValid() else None

    def choose(self, class_id: int) -> None:
        """Make the row of a class the current one."""
        at = self.model.row_of_id(class_id)
        if at >= 0:
            self.view.setCurrentIndex(self.model.index(at, NAME))

    def _remember(self) -> None:
        chosen = self.chosen
        if chosen is not None:
            self._chosen_id = chosen.id
        self._update_buttons()

    def _restore(self) -> None:
        self.choose(self._chosen_id)
        self._update_buttons()

    def _update_buttons(self) -> None:
        writable, chosen = self._session.writable, self.chosen
        at, last = self.view.currentIndex().row(), self.model.rowCount() - 1
        self._add.setEnabled(writable)
        for one in (self._delete, self._merge):
            one.setEnabled(writable and chosen is not None and last >= 2)
        self._colour.setEnabled(writable and chosen is not None)
        self._up.setEnabled(writable and chosen is not None and at > 0)
        self._down.setEnabled(writable and chosen is not None and at < last)
        classes = self._session.classes
        self._undo.setEnabled(writable and classes.can_undo)
        self._redo.setEnabled(writable and classes.can_redo)
        undo, redo = classes.to_undo, classes.to_redo
        self._undo.setToolTip(f"Undo: {undo}" if undo else "No change of the classes to undo")
        self._redo.setToolTip(f"Redo: {redo}" if redo else "No change of the classes to redo")

    # --- changes ------------------------------------------------------------------------------

    def add(self) -> None:
        """Add a class and ask for its name in place."""
        project = self._session.project
        if project is None:
            return
        taken = {entry.name.casefold() for entry in project.classes}
        number = len(taken) + 1
        while f"class {number}" in taken:
            number += 1
        if self._session.classes.edit(lambda table: table.add(f"class {number}")):
            index = self.model.index(self.model.rowCount() - 1, NAME)
            self.view.setCurrentIndex(index)
            self.view.scrollTo(index)
            self.view.edit(index)

    def delete(self) -> None:
        """Delete the chosen class, after a warning when it has pixels."""
        chosen = self.chosen
        if chosen is None or not self._delete.isEnabled():
            return
        pixels = self.said_pixels(chosen)
        text = (
            f"{pixels} They will count as not labelled.\n\n"
            "The undo button below the classes brings the class and its pixels back."
        )
        if not pixels or confirm(self, "Delete a class", text, f"Delete {_short(chosen.name)}"):
            self._session.classes.edit(lambda table: table.remove(chosen.id))

    def undo(self) -> None:
        """Take back the last change, after a warning when labels would go with it."""
        if self._may_lose(undoing=True):
            self._session.classes.undo()

    def redo(self) -> None:
        """Make the change again that was taken back last, after the same warning."""
        if self._may_lose(undoing=False):
            self._session.classes.redo()

    def _may_lose(self, *, undoing: bool) -> bool:
        lost = self._session.classes.lost(undoing=undoing)
        pixels = " ".join(filter(None, map(self.said_pixels, lost)))
        verb, other = ("Undo", "redo") if undoing else ("Redo", "undo")
        text = (
            f"{pixels} They will count as not labelled.\n\n"
            f"The {other} button below the classes brings them back."
        )
        return not pixels or confirm(self, f"{verb} a change of the classes", text, verb)

    def merge(self) -> None:
        """Ask which class the chosen one becomes part of."""
        chosen, project = self.chosen, self._session.project
        if chosen is None or project is None:
            return
        others = [entry for entry in project.classes if entry.id != chosen.id]
        pixels = self.said_pixels(chosen) or f"'{chosen.name}' has no labelled pixels."
        dialog = MergeDialog(chosen, others, pixels, self)
        if dialog.exec():
            into = dialog.into
            if self._session.classes.edit(lambda table: table.merge(chosen.id, into)):
                self.choose(into)

    def recolour(self) -> None:
        """Ask for another colour."""
        chosen = self.chosen
        if chosen is None:
            return
        colour = QColorDialog.getColor(QColor(*chosen.color), self, f"Colour of {chosen.name}")
        if colour.isValid():
            rgb = (colour.red(), colour.green(), colour.blue())
            self._session.classes.edit(lambda table: table.recolour(chosen.id, rgb))

    def _move(self, by: int) -> None:
        chosen = self.chosen
        if chosen is not None:
            place = self.view.currentIndex().row() + by
            self._session.classes.edit(lambda table: table.move(chosen.id, place))

    def said_pixels(self, entry: LabelClass) -> str:
        """Return a sentence about a class's pixels; empty when it has none for certain."""
        counts, at = self.counts, self.model.row_of_id(entry.id) + 1
        complete = counts.complete
        pixels, images = (
            int(values[at]) if at < len(values) else 0 for values in (counts.totals, counts.images)
        )
        if complete and not pixels:
            return ""
        if not pixels:
            return f"The labelled pixels of '{entry.name}' are still being counted."
        least = "" if complete else "at least "
        s = "" if images == 1 else "s"
        return f"'{entry.name}' has {least}{pixels:,} labelled pixels in {images:,} image{s}."

    def showEvent(self, event: QShowEvent | None) -> None:
        """Count only once somebody looks."""
        super().showEvent(event)
        self.counts.begin()


class ClassPicker(QWidget):
    """The classes to paint with, the eraser first.

    Parameters
    ----------
    session
        Whose class is picked.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.model = ClassModel(session, eraser=True, parent=self)
        self.view = _PickerView("class_picker")
        self.view.setModel(self.model)
        self.view.horizontalHeader().hide()
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        _spread(self.view, {KEY: 48, HERE: 60})
        self._empty = QLabel("Open a project on the Data tab first.")
        self.setLayout(column(self._empty, self.view))
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.view.selectionModel().currentRowChanged.connect(self._pick)
        self.model.modelReset.connect(self._follow)
        listen(
            self,
            (session.class_picked, self._follow),
            (session.project_changed, self._follow),
        )
        self._follow()

    def _pick(self) -> None:
        index = self.view.currentIndex()
        if index.isValid() and index.row() != self._session.picked_class:
            self._session.pick_class(self.model.class_index(index.row()))

    def _follow(self, *unused: object) -> None:
        rows = self.model.rowCount()
        self._empty.setVisible(not rows)
        self.view.setVisible(bool(rows))
        self.view.setFixedHeight(ROW_HEIGHT * min(max(rows, 1), ROWS) + 4)
        index = self.model.index(self.model.row_of(self._session.picked_class), NAME)
        if not rows or not index.isValid():
            return
        selection = self.view.selectionModel()
        if self.view.currentIndex().row() != index.row():
            flags = QItemSelectionModel.SelectionFlag
            selection.setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
        self.view.scrollTo(index)


class _PickerView(QTableView):
    """A table whose rows are chosen by the arrow keys; Tab leaves it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        _set_up(self, name)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave keys that choose nothing to the others, such as the viewer's tools."""
        moves = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End)
        pages = (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)
        if event is not None and event.key() in moves + pages:
            super().keyPressEvent(event)
        elif event is not None:
            event.ignore()


def _table(name: str) -> QTableView:
    view = QTableView()
    _set_up(view, name)
    return view


def _set_up(view: QTableView, name: str) -> None:
    view.setObjectName(name)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    view.setShowGrid(False)
    view.setWordWrap(False)
    view.setTabKeyNavigation(False)
    rows = view.verticalHeader()
    rows.hide()
    rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    rows.setMinimumSectionSize(ROW_HEIGHT)
    rows.setDefaultSectionSize(ROW_HEIGHT)


def _spread(view: QTableView, widths: dict[int, int]) -> None:
    header = view.horizontalHeader()
    header.setMinimumSectionSize(24)
    header.setHighlightSections(False)
    header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
    for section, width in widths.items():
        header.setSectionResizeMode(section, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(section, width)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
