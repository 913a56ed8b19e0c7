"""The classes as rows: colour, name, key, pixels here and in the whole project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt

from napari_threestage.widgets.controls import swatch
from napari_threestage.widgets.listening import listen

if TYPE_CHECKING:
    import numpy as np

    from napari_threestage.project import LabelClass
    from napari_threestage.widgets.class_counts import ProjectCounts
    from napari_threestage.widgets.session import Session

NAME, KEY, HERE, ALL = range(4)
TITLES = ("Class", "Key", "Here", "Project")
TITLE_TIPS = (
    "Double-click or press F2 to rename",
    "Press this key over the image to paint with the class",
    "Labelled pixels in the image that is shown",
    "Labelled pixels in all images",
)
ERASER = "Not labelled (eraser)"
KEYS = 9  # classes that have one
UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def short_number(number: int) -> str:
    """Return a number as people read it at a glance: ``1.2 k``, ``34 M``."""
    for size, unit in UNITS:
        value = number / size
        if value >= (1 if unit == "k" else 0.9995):
            return f"{value:.0f} {unit}" if value >= 99.95 else f"{value:.1f} {unit}"
    return str(number)


class ClassModel(QAbstractTableModel):
    """The classes of the session's project.

    Parameters
    ----------
    session
        Whose classes are shown and changed.
    totals
        Pixels in the whole project; without them that column is missing.
    eraser
        Whether the first row stands for *not labelled*; then names cannot be edited.
    """

    def __init__(
        self,
        session: Session,
        totals: ProjectCounts | None = None,
        *,
        eraser: bool = False,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._totals, self._eraser = session, totals, eraser
        self._classes: list[LabelClass] = []
        self._here: np.ndarray | None = None
        listen(
            self,
            (session.project_changed, self._reset),
            (session.classes_changed, self._renew),
            (session.image_shown, self._recount),
            (session.counts_changed, self._recount_one),
        )
        if totals is not None:
            totals.changed.connect(self._show_totals)
        self._reset()

    # --- rows ---------------------------------------------------------------------------------

    def entry(self, row: int) -> LabelClass | None:
        """Return the class of a row; None for the eraser and beyond the end."""
        place = self.class_index(row) - 1
        return self._classes[place] if 0 <= place < len(self._classes) else None

    def class_index(self, row: int) -> int:
        """Return the index of a row's class: 0 not labelled, 1.. a class."""
        return row if self._eraser else row + 1

    def row_of(self, class_index: int) -> int:
        """Return the row of a class's index."""
        return class_index if self._eraser else class_index - 1

    def row_of_id(self, class_id: int) -> int:
        """Return the row of a class's id, -1 when there is none."""
        ids = [entry.id for entry in self._classes]
        return self.row_of(ids.index(class_id) + 1) if class_id in ids else -1

    # --- Qt -----------------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of rows."""
        if (parent is not None and parent.isValid()) or not self._classes:
            return 0
        return len(self._classes) + self._eraser

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return 4 if self._totals is not None else 3

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the titles."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _aligned(section)
        texts = {Qt.ItemDataRole.DisplayRole: TITLES, Qt.ItemDataRole.ToolTipRole: TITLE_TIPS}
        return texts[role][section] if role in texts else None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Names can be edited where the project can."""
        flags = super().flags(index)
        if index.column() == NAME and not self._eraser and self._session.writable:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        row, column = index.row(), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.EditRole and column == NAME:
            return self._name(row)
        if role == Qt.ItemDataRole.DecorationRole and column == NAME:
            entry = self.entry(row)
            return swatch(entry.color if entry else (0, 0, 0, 0))
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _aligned(column)
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Rename a class."""
        entry = self.entry(index.row())
        if role != Qt.ItemDataRole.EditRole or entry is None or str(value).strip() == entry.name:
            return False
        return self._session.classes.edit(lambda table: table.rename(entry.id, str(value)))

    # --- cells --------------------------------------------------------------------------------

    def _name(self, row: int) -> str:
        entry = self.entry(row)
        return entry.name if entry is not None else ERASER

    def _text(self, row: int, column: int) -> str:
        if column == NAME:
            return self._name(row)
        index = self.class_index(row)
        if column == KEY:
            return f"Alt+{index}" if index <= KEYS else ""
        number = self._pixels(index, column)
        return "" if number is None else short_number(number)

    def _tip(self, row: int, column: int) -> str:
        if column == NAME:
            return self._name(row)
        index = self.class_index(row)
        if column == KEY:
            return TITLE_TIPS[KEY] if index <= KEYS else f"Only the first {KEYS} classes have a key"
        number = self._pixels(index, column)
        if number is None:
            return ""
        if column == HERE:
            return f"{number:,} pixels of the image that is shown"
        assert self._totals is not None
        counting = "" if self._totals.complete else ", still counting"
        return f"{number:,} pixels in {int(self._totals.images[index]):,} images{counting}"

    def _pixels(self, index: int, column: int) -> int | None:
        if column == ALL and self._totals is not None:
            counts = self._totals.totals
        elif self._here is not None:
            counts = self._here
        else:
            return None
        return int(counts[index]) if index < len(counts) else None

    # --- changes ------------------------------------------------------------------------------

    def _reset(self) -> None:
        project = self._session.project
        self.beginResetModel()
        self._classes = [] if project is None else list(project.classes)
        self._read_here()
        self.endResetModel()

    def _renew(self) -> None:
        project = self._session.project
        if project is None or [one.id for one in project.classes] != [
            one.id for one in self._classes
        ]:
            self._reset()
            return
        self._classes = list(project.classes)
        self._tell(NAME, NAME)

    def _recount(self, content: object) -> None:
        self._read_here()
        self._tell(HERE, HERE)

    def _recount_one(self, image_id: str) -> None:
        if image_id == self._session.image_id:
            self._recount(None)

    def _read_here(self) -> None:
        content = self._session.content
        self._here = None if content is None else content.editor.counts()

    def _show_totals(self) -> None:
        self._tell(ALL, ALL)

    def _tell(self, first: int, last: int) -> None:
        if self.rowCount():
            self.dataChanged.emit(self.index(0, first), self.index(self.rowCount() - 1, last))


def _aligned(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column in (HERE, ALL) else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
