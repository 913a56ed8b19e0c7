"""The part Data: open or make a project, import images, name the classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel, QMenu, QPushButton, QWidget

from napari_threestage.widgets.channel_box import ChannelBox
from napari_threestage.widgets.class_table import ClassTable
from napari_threestage.widgets.controls import (
    LEVEL_COLOURS,
    button,
    column,
    heading,
    line,
    note,
    row,
    scrolled,
)
from napari_threestage.widgets.drops import dropped_paths, is_project
from napari_threestage.widgets.elided import ElidedLabel
from napari_threestage.widgets.image_summary import say_images, say_labels
from napari_threestage.widgets.import_dialog import ImportDialog
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.new_project import NewProjectDialog
from napari_threestage.widgets.recent import add_recent, forget_gone, recent_projects
from napari_threestage.widgets.samples import SampleMaker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QDragEnterEvent, QDropEvent

    from napari_threestage.widgets.session import Session

NOTHING_OPEN = (
    "Open a project folder or make a new one. To see what this is about, take a sample: "
    "Tissue needs no connection."
)
NO_IMAGES = "No images yet. Import a folder of images, or drop it here."


class DataPart(QWidget):
    """The project, its images and its classes.

    Parameters
    ----------
    session
        Opens and changes the project.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setAcceptDrops(True)
        self._make_project()
        self._make_images()
        self.classes = ClassTable(session)
        self._make_opened()
        self.setLayout(
            column(
                scrolled(
                    column(
                        row(self._name, self._badge, stretch=0),
                        self._path,
                        row(self._new, self._open, self._recent, self._samples),
                        self.samples,
                        self._empty,
                        self._opened,
                        0,
                        margins=6,
                    )
                )
            )
        )
        listen(
            self,
            (session.project_changed, self._on_project),
            (session.images_changed, self._update),
        )
        self.classes.counts.changed.connect(self._update_labels)
        self._on_project()

    def _make_project(self) -> None:
        self._name = ElidedLabel()
        self._name.setObjectName("project_name")
        self._name.setStyleSheet("font-weight:bold")
        self._badge = QLabel("read only")
        self._badge.setObjectName("read_only")
        amber = LEVEL_COLOURS["warning"]
        self._badge.setStyleSheet(
            f"border:1px solid {amber};border-radius:4px;padding:0px 4px;background:transparent"
        )
        self._path = ElidedLabel(Qt.TextElideMode.ElideMiddle)
        self._path.setObjectName("project_path")
        self._path.setStyleSheet("color:rgba(128,134,142,255)")
        self._new = button("New…", "Make a new project", self.ask_new)
        self._new.setObjectName("project_new")
        self._open = button("Open…", "Open the folder of a project", self.ask_open)
        self._open.setObjectName("project_open")
        self._recent = _menu_button("Recent", "Projects that were open last")
        self._recent.setObjectName("project_recent")
        self._recent.menu().aboutToShow.connect(self.fill_recent)
        self._samples = _menu_button("Samples", "Ready projects to try this with")
        self._samples.setObjectName("project_samples")
        self.samples = SampleMaker()
        self._samples.menu().aboutToShow.connect(lambda: self.samples.fill(self._samples.menu()))
        self.samples.made.connect(self.open)
        self.samples.failed.connect(lambda message, hint: self._session.say(message, hint, "error"))
        self._empty = note(NOTHING_OPEN)
        self._empty.setObjectName("data_empty")

    def _make_images(self) -> None:
        self._import = button(
            "Import images…", "Bring images and masks into the project", self.ask_import, main=True
        )
        self._import.setObjectName("import_images_button")
        self._images = note()
        self._images.setObjectName("image_summary")
        self._labels = note()
        self._labels.setObjectName("label_summary")

    def _make_opened(self) -> None:
        self._opened = QWidget()
        self._opened.setLayout(
            column(
                line(),
                heading("Images"),
                self._images,
                self._labels,
                self._import,
                ChannelBox(self._session),
                line(),
                heading("Classes"),
                self.classes,
            )
        )

    # --- what is shown --------------------------------------------------------------------------

    def _on_project(self) -> None:
        project = self._session.project
        if project is not None:
            add_recent(project.path)
        self._update()

    def _update(self) -> None:
        project, reason = self._session.project, self._session.read_only
        self._empty.setVisible(project is None)
        self._opened.setVisible(project is not None)
        self._name.setText("No project is open" if project is None else project.path.name)
        self._path.setVisible(project is not None)
        self._badge.setVisible(bool(reason))
        self._badge.setToolTip(reason)
        self._import.setEnabled(self._session.writable)
        if project is not None:
            self._path.setText(str(project.path.absolute()))
            images = project.images
            self._images.setText("\n".join(say_images(images.values())) if images else NO_IMAGES)
            self._update_labels()

    def _update_labels(self) -> None:
        project, counts = self._session.project, self.classes.counts
        images = {} if project is None else project.images
        self._labels.setVisible(bool(images))
        judging = sum(one.split == "validation" for one in images.values())
        self._labels.setText(
            say_labels(counts.labelled, counts.part, len(images), judging, counts.known)
        )

    def fill_recent(self) -> None:
        """Put the projects that were open last into the menu."""
        menu = self._recent.menu()
        menu.clear()
        menu.setToolTipsVisible(True)
        paths = recent_projects()
        names = [path.name for path in paths]
        for path in paths:
            there = is_project(path)
            twice = names.count(path.name) > 1
            text = f"{path.name}  ({path.parent.name})" if twice else path.name
            action = menu.addAction(text.replace("&", "&&"))
            action.setToolTip(str(path) if there else f"{path} is gone")
            action.setEnabled(there)
            action.triggered.connect(lambda checked, path=path: self.open(path))
        gone = [path for path in paths if not is_project(path)]
        if gone:
            menu.addSeparator()
            clear = menu.addAction("Forget those that are gone")
            clear.triggered.connect(forget_gone)
        if not paths:
            menu.addAction("None yet").setEnabled(False)

    # --- what a person does -----------------------------------------------------------------------

    def open(self, path: Path) -> None:
        """Open a project."""
        self._session.open(Path(path))

    def ask_open(self) -> None:
        """Ask which project to open."""
        chosen = QFileDialog.getExistingDirectory(self, "Folder of a project", str(_beside_last()))
        if chosen:
            self.open(Path(chosen))

    def ask_new(self) -> None:
        """Ask for what a new project needs."""
        folder = _beside_last() / "my_project"
        number = 1
        while folder.exists():
            number += 1
            folder = folder.with_name(f"my_project_{number}")
        NewProjectDialog(self._session, folder, self).exec()

    def ask_import(self, paths: Sequence[Path] = ()) -> None:
        """Ask what to import and how."""
        if not self._session.writable:
            self._session.say(
                "There is no project to import into."
                if self._session.project is None
                else "This project is open read only: nothing can be imported.",
                "Open or make a project first.",
                "warning",
            )
            return
        dialog = ImportDialog(self._session, paths, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.show()

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Take a project, images and folders of images."""
        if event is not None and dropped_paths(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Open a project, or ask how to import what was dropped."""
        paths = dropped_paths(event.mimeData()) if event is not None else []
        if event is None or not paths:
            return
        event.acceptProposedAction()
        if is_project(paths[0]):
            self.open(paths[0])
        else:
            self.ask_import(paths)


def _menu_button(text: str, tooltip: str) -> QPushButton:
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setMinimumHeight(26)
    made.setMenu(QMenu(made))
    return made


def _beside_last() -> Path:
    """Return where the last project is kept, or the home folder."""
    for path in recent_projects():
        if path.parent.is_dir() and path.parent.name != "samples":
            return path.parent
    return Path.home()
