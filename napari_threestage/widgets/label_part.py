"""The part Label: choose an image, choose a class, paint, and take over what a stage found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QSplitter, QStackedLayout, QStackedWidget, QTabBar, QWidget

from napari_threestage.widgets.class_table import ClassPicker
from napari_threestage.widgets.command_box import Turns
from napari_threestage.widgets.controls import button, column, note, row, small_button
from napari_threestage.widgets.image_list import ImageList
from napari_threestage.widgets.label_next import LabelNext
from napari_threestage.widgets.place_finder import PlaceFinder, PlaceKey
from napari_threestage.widgets.suspects_box import SuspectsBox
from napari_threestage.widgets.take_over_box import TakeOverBox

if TYPE_CHECKING:
    from napari_threestage.widgets.workbench import Workbench


class LabelPart(QWidget):
    """Everything that painting needs beside napari's own tools."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._layers = bench.session, bench.layers
        self._reviewed = QCheckBox("Reviewed")
        self._reviewed.setObjectName("reviewed")
        self._reviewed.setToolTip("You have looked this image through (K)")
        self._reviewed.clicked.connect(self._review)
        self._paint = button(
            "Paint",
            "Take the brush; napari's layer controls have fill, polygon and picker (U)",
            bench.painter.start_painting,
        )
        self._paint.setObjectName("paint")
        previous = small_button("◀", "Previous image (Shift+N)", lambda: self._session.step(-1))
        following = small_button("▶", "Next image (N)", lambda: self._session.step(1))
        previous.setObjectName("previous_image")
        following.setObjectName("next_image")
        keys = "or {} while the Ground truth layer is active"
        self._undo = small_button(
            "↶", f"Undo the last stroke ({keys.format('Ctrl+Z')})", lambda: self._step(-1)
        )
        self._redo = small_button(
            "↷", f"Redo the stroke ({keys.format('Ctrl+Shift+Z')})", lambda: self._step(1)
        )
        self._undo.setObjectName("paint_undo")
        self._redo.setObjectName("paint_redo")
        self._take_over = TakeOverBox(bench)
        lower = QWidget()
        lower.setLayout(
            column(
                row(previous, following, self._reviewed, 1, self._undo, self._redo, self._paint),
                ClassPicker(self._session),
                self._take_over,
            )
        )
        split = QSplitter(Qt.Orientation.Vertical)
        self._lists = Lists(bench)
        split.addWidget(self._lists)
        split.addWidget(lower)
        split.setChildrenCollapsible(False)
        split.setStretchFactor(0, 1)
        split.setSizes([300, 280])
        empty = QWidget()
        empty.setLayout(
            column(
                note("Nothing to label yet: open a project and import images in Data."),
                1,
                margins=6,
            )
        )
        self._pages = QStackedLayout()
        self._pages.addWidget(empty)
        self._pages.addWidget(split)
        self.setLayout(self._pages)
        self._session.project_changed.connect(self._update)
        self._session.images_changed.connect(self._update)
        self._session.image_shown.connect(self._on_image)
        self._session.counts_changed.connect(self._on_counts)
        self._update()

    def end(self) -> None:
        """End what goes on: the dock is going."""
        self._lists.end()

    def _update(self) -> None:
        project = self._session.project
        self._pages.setCurrentIndex(int(project is not None and bool(project.images)))
        for one in (self._paint, self._reviewed, self._undo, self._redo):
            one.setEnabled(self._session.writable)
        self._on_counts(self._session.image_id)

    def _on_image(self, content: object) -> None:
        self._update()

    def _on_counts(self, image_id: str) -> None:
        if image_id == self._session.image_id:
            self._reviewed.setChecked(image_id in self._session.reviewed)

    def _step(self, by: int) -> None:
        """Take back the last stroke (-1), or make it again (1)."""
        truth = self._layers.truth
        if truth is not None and truth.editable:
            (truth.undo if by < 0 else truth.redo)()

    def _review(self, reviewed: bool) -> None:
        if self._session.image_id:
            self._session.review(self._session.image_id, reviewed)


class Lists(QWidget):
    """Three ways to the image that is worth a look: all of them, what to label, what to check.

    The key that goes on acts in the list that is open.
    """

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        images, turns = ImageList(bench.session), Turns(self)
        self._label_next = LabelNext(bench, images.thumbnails, turns)
        suspects = SuspectsBox(bench, images.thumbnails, turns)
        self._tabs, self._stack = QTabBar(), QStackedWidget()
        self._tabs.setObjectName("label_lists")
        self._tabs.setExpanding(True)
        self._tabs.setDrawBase(False)
        ranked = self._label_next
        for title, tooltip, widget in (
            ("All images", "Every image, by name and by how far it is labelled", images),
            ("Label next", "The images that would teach the next run most (J: next)", ranked),
            ("Check labels", "Labels that all stages contradict (J: next)", suspects),
        ):
            self._tabs.setTabToolTip(self._tabs.addTab(title), tooltip)
            self._stack.addWidget(widget)
        self._tabs.currentChanged.connect(self._stack.setCurrentIndex)
        self.setLayout(column(self._tabs, self._stack))
        key = bench.findChild(PlaceKey)
        if key is not None:
            key.pressed.connect(self._step)

    def end(self) -> None:
        """End the searches."""
        for number in range(self._stack.count()):
            finder = self._stack.widget(number)
            if isinstance(finder, PlaceFinder):
                finder.box.drop()

    def _step(self, by: int) -> None:
        """Go to the next place of the open list; open the one of what to label where none is."""
        finder = self._stack.currentWidget()
        if isinstance(finder, PlaceFinder):
            finder.step(by)
        else:
            self._tabs.setCurrentIndex(self._stack.indexOf(self._label_next))
