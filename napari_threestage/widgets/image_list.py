"""The list of images: find one, show it, mark it, choose what it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import QItemSelectionModel, QModelIndex, QPoint, Qt
from qtpy.QtWidgets import QApplication, QComboBox, QLineEdit, QListView, QMenu, QWidget

from napari_threestage.widgets.controls import column, note, row
from napari_threestage.widgets.image_delegate import ImageDelegate
from napari_threestage.widgets.image_model import ImageModel
from napari_threestage.widgets.listening import listen
from napari_threestage.widgets.project_changes import change_project
from napari_threestage.widgets.thumbnail_loader import ThumbnailLoader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_threestage.image_state import Filter, Sort
    from napari_threestage.widgets.session import Session

FILTERS: dict[str, Filter] = {
    "All": "all",
    "Not labelled": "unlabelled",
    "Partly labelled": "part",
    "Labelled": "labelled",
    "Reviewed": "reviewed",
    "Not reviewed": "not reviewed",
}
SORTS: dict[str, Sort] = {
    "By name": "name",
    "As imported": "import",
    "Unlabelled first": "state",
    "Most labels first": "labelled pixels",
}


class ImageList(QWidget):
    """The images of the project.

    Parameters
    ----------
    session
        Whose images are listed; next and previous follow the list.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.model = ImageModel(session, self)
        self.thumbnails = ThumbnailLoader(session, self)
        self._make_filters()
        self.view = _View()
        self.view.setModel(self.model)
        self.view.setItemDelegate(ImageDelegate(session, self.model, self.thumbnails))
        self.view.clicked.connect(self._clicked)
        self.view.activated.connect(self._open)
        self.view.customContextMenuRequested.connect(self._show_menu)
        self._empty = note()
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setObjectName("images_empty")
        self.setLayout(column(self._search, row(self._filter, self._sort), self._empty, self.view))
        self.model.selected.connect(self._after_select)
        self.thumbnails.made.connect(self._redraw)
        listen(
            self,
            (session.image_shown, self._follow),
        )
        self._after_select()

    def _make_filters(self) -> None:
        self._search = QLineEdit()
        self._search.setObjectName("image_search")
        self._search.setPlaceholderText("Find by name")
        self._search.setToolTip("List only images whose name contains this")
        self._search.setClearButtonEnabled(True)
        self._filter = _choice("image_filter", "List only these images", list(FILTERS))
        self._sort = _choice(
            "image_sort", "Order of the list, and of next and previous", list(SORTS)
        )
        self._search.textChanged.connect(self._choose)
        self._filter.currentIndexChanged.connect(self._choose)
        self._sort.currentIndexChanged.connect(self._choose)

    # --- rows ---------------------------------------------------------------------------------

    def _choose(self, *unused: object) -> None:
        state, sort = FILTERS[self._filter.currentText()], SORTS[self._sort.currentText()]
        self.model.choose(self._search.text(), state, sort)

    def _after_select(self) -> None:
        project, listed = self._session.project, self.model.rowCount()
        total = 0 if project is None else len(project.images)
        self._search.setPlaceholderText(f"Find by name among {total:,} images")
        self._empty.setVisible(not listed)
        self.view.setVisible(bool(listed))
        if total and not listed:
            self._empty.setText(
                "No image is like that." if self.model.complete else "Looking at the images …"
            )
        elif not total:
            self._empty.setText("No images yet: import some in Data.")
        self._follow()

    def _redraw(self, image_id: str) -> None:
        at = self.model.row_of(image_id)
        if at >= 0:
            self.view.update(self.model.index(at))

    def _follow(self, content: object = None) -> None:
        """Make the image that is shown the current row, in sight."""
        at = self.model.row_of(self._session.image_id)
        if at >= 0:
            index, flags = self.model.index(at), QItemSelectionModel.SelectionFlag
            selection = self.view.selectionModel()
            kept = selection.isSelected(index)
            selection.setCurrentIndex(index, flags.NoUpdate if kept else flags.ClearAndSelect)
            self.view.scrollTo(index)
        self.view.viewport().update()

    # --- what a person does -------------------------------------------------------------------

    def _clicked(self, index: QModelIndex) -> None:
        if QApplication.keyboardModifiers() == Qt.KeyboardModifier.NoModifier:
            self._open(index)

    def _open(self, index: QModelIndex) -> None:
        image_id = self.model.image_id(index.row())
        # To show an image anew forgets the steps to undo, so not without need.
        if image_id and (image_id != self._session.image_id or self._session.unshown):
            self._session.show(image_id)

    @property
    def chosen(self) -> list[str]:
        """The images of the selected rows, in the order of the list."""
        rows = sorted(index.row() for index in self.view.selectedIndexes())
        return [self.model.image_id(at) for at in rows]

    def _show_menu(self, position: QPoint) -> None:
        menu = self.make_menu()
        menu.exec(self.view.viewport().mapToGlobal(position))
        menu.deleteLater()

    def make_menu(self) -> QMenu:
        """Return what can be done with the selected images."""
        images, project = self.chosen, self._session.project
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        if not images or project is None:
            return menu
        these = "" if len(images) == 1 else f" ({len(images):,} images)"
        marked = all(one in self._session.reviewed for one in images)
        judging = all(project.images[one].split == "validation" for one in images)
        review = menu.addAction(f"Mark as {'not ' if marked else ''}reviewed{these}")
        review.triggered.connect(lambda: self._review(images, not marked))
        split: Literal["train", "validation"] = "train" if judging else "validation"
        use = menu.addAction(f"Use for {'training' if judging else 'validation'}{these}")
        use.setToolTip("Images for validation only judge the stages; nothing is learnt from them")
        use.triggered.connect(lambda: self._set_split(images, split))
        for action in menu.actions():
            action.setEnabled(self._session.writable)
        return menu

    def _review(self, images: Sequence[str], reviewed: bool) -> None:
        self._session.review(images[0] if len(images) == 1 else images, reviewed)

    def _set_split(self, images: Sequence[str], split: Literal["train", "validation"]) -> None:
        change_project(self._session, lambda project: project.set_split(images, split))


class _View(QListView):
    """Rows of one height, drawn as they come into sight."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("image_list")
        self.setUniformItemSizes(True)
        self.setSelectionMode(QListView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.verticalScrollBar().setSingleStep(28)

    def dataChanged(self, first: QModelIndex, last: QModelIndex, roles: Sequence[int] = ()) -> None:
        """Draw rows anew if they are in sight; Qt would lay out and draw the whole list."""
        area = self.viewport().rect()
        above = self.visualRect(last).bottom() < area.top()
        below = self.visualRect(first).top() > area.bottom()
        if not above and not below:
            self.viewport().update()


def _choice(name: str, tip: str, entries: Sequence[str]) -> QComboBox:
    made = QComboBox()
    made.setObjectName(name)
    made.setToolTip(tip)
    made.addItems(entries)
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    made.setMinimumContentsLength(8)
    return made
