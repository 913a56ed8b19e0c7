"""Asks for what a new project needs: a folder and classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QColorDialog,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QWidget,
)

from napari_threestage.errors import ThreeStageError
from napari_threestage.palette import new_color
from napari_threestage.project import LabelClass, Project, default_classes
from napari_threestage.project_file import check_classes
from napari_threestage.widgets.controls import (
    LEVEL_COLOURS,
    button,
    column,
    heading,
    note,
    row,
    small_button,
    swatch,
)

if TYPE_CHECKING:
    from napari_threestage.widgets.session import Session

FIRST_CLASSES = ("background", "object")
COLOUR_ROLE = int(Qt.ItemDataRole.UserRole)


class NewProjectDialog(QDialog):
    """Makes a project and opens it.

    Parameters
    ----------
    session
        Opens the new project.
    folder
        What stands in the field for the folder at first.
    """

    def __init__(self, session: Session, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setWindowTitle("New project")
        self.setMinimumWidth(440)
        self._folder = QLineEdit(str(folder))
        self._folder.setObjectName("new_folder")
        self._folder.setToolTip("A new or an empty folder: images, labels and runs go into it")
        browse = button("Browse…", "Choose a folder", self._browse)
        self._message = QLabel()
        self._message.setObjectName("new_message")
        self._message.setWordWrap(True)
        self._message.setStyleSheet(f"color:{LEVEL_COLOURS['error']}")
        self._make_classes()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        create = QDialogButtonBox.ButtonRole.AcceptRole
        self._create = buttons.addButton("Create", create)
        self._create.setObjectName("new_create")
        buttons.accepted.connect(self.create)
        buttons.rejected.connect(self.reject)
        explain = note(
            "What a pixel can be. Background is a class too. You can add, rename and merge classes "
            "at any time."
        )
        below = row(self._add, self._remove, self._colour, 1)
        self.setLayout(
            column(
                heading("Folder"),
                row(self._folder, browse, stretch=0),
                heading("Classes"),
                explain,
                self._classes,
                below,
                self._message,
                buttons,
                margins=12,
            )
        )
        self._folder.textChanged.connect(self._check)
        self._classes.itemChanged.connect(self._check)
        self._classes.currentRowChanged.connect(self._check)
        self._check()

    def _make_classes(self) -> None:
        self._classes = QListWidget()
        self._classes.setObjectName("new_classes")
        self._classes.setToolTip("Double-click or press F2 to rename")
        self._classes.setMinimumHeight(110)
        for entry in default_classes(FIRST_CLASSES):
            self._put(entry.name, entry.color)
        self._add = small_button("+", "Add a class", self.add_class)
        self._add.setObjectName("new_add")
        self._remove = small_button("−", "Take the class away", self._remove_class)
        self._remove.setObjectName("new_remove")
        self._colour = button("Colour…", "Give the class another colour", self._recolour)
        self._colour.setMinimumHeight(24)

    def _put(self, name: str, colour: tuple[int, int, int]) -> QListWidgetItem:
        item = QListWidgetItem(swatch(colour), name)
        item.setData(COLOUR_ROLE, colour)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
        self._classes.addItem(item)
        return item

    # --- what was chosen ------------------------------------------------------------------------

    @property
    def folder(self) -> Path | None:
        """The folder, None as long as none is named."""
        text = self._folder.text().strip()
        return Path(text).expanduser().absolute() if text else None

    @property
    def classes(self) -> list[LabelClass]:
        """The classes as they stand in the list; those without a name are left out."""
        items = [self._classes.item(at) for at in range(self._classes.count())]
        named = [(item.text().strip(), tuple(item.data(COLOUR_ROLE))) for item in items if item]
        named = [(name, colour) for name, colour in named if name]
        plain = default_classes([name for name, _ in named])
        return [
            entry.model_copy(update={"color": colour})
            for entry, (_, colour) in zip(plain, named, strict=True)
        ]

    def _problem(self) -> str:
        folder = self.folder
        if folder is None:
            return "Name a folder."
        try:
            if (folder / "project.json").exists():
                return "This folder is a project already: open it, or choose another folder."
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                return "This folder is not empty. Choose a new or an empty one."
        except OSError as error:
            return f"This folder cannot be read ({error.strerror})."
        try:
            check_classes(self.classes)
        except ThreeStageError as error:
            return error.message
        return ""

    def _check(self, *unused: object) -> None:
        problem = self._problem()
        self._message.setText(problem)
        self._create.setEnabled(not problem)
        self._remove.setEnabled(self._classes.currentRow() >= 0 and self._classes.count() > 2)
        self._colour.setEnabled(self._classes.currentRow() >= 0)

    # --- what a person does -----------------------------------------------------------------------

    def add_class(self) -> None:
        """Add a class and ask for its name in place."""
        taken = [entry.color for entry in self.classes]
        item = self._put(f"class {self._classes.count() + 1}", new_color(taken))
        self._classes.setCurrentItem(item)
        self._classes.editItem(item)
        self._check()

    def _remove_class(self) -> None:
        self._classes.takeItem(self._classes.currentRow())
        self._check()

    def _recolour(self) -> None:
        item = self._classes.currentItem()
        if item is None:
            return
        chosen = QColorDialog.getColor(QColor(*item.data(COLOUR_ROLE)), self, item.text())
        if chosen.isValid():
            colour = (chosen.red(), chosen.green(), chosen.blue())
            item.setData(COLOUR_ROLE, colour)
            item.setIcon(swatch(colour))

    def _browse(self) -> None:
        start = self.folder
        while start is not None and not start.is_dir() and start != start.parent:
            start = start.parent
        chosen = QFileDialog.getExistingDirectory(
            self, "A new or an empty folder", str(start or "")
        )
        if chosen:
            self._folder.setText(chosen)

    def create(self) -> None:
        """Make the project, and open it when it is there."""
        folder, classes = self.folder, self.classes
        if folder is None or self._problem():
            return
        self._create.setEnabled(False)
        self._session.background(
            lambda: Project.create(folder, classes).path, self._created, self._failed
        )

    def _created(self, path: Path) -> None:
        self.accept()
        self._session.open(path)

    def _failed(self, error: Exception) -> None:
        self._check()
        self._message.setText(str(error))
